"""One SMTP session with a relay, over aiosmtplib, and a courier that keeps a few of them.

The body goes out by hand and not through `SMTP.data()`: between the relay's 354 and the first byte is the last moment to ask
whether the reader still wants it, and only there is it known whether a lost connection leaves the mail uncertain.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiosmtplib

from newsletter.core.errors import RelayUnreachable
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import DeliveryState, Outcome, outcome_of, unreachable_pause

Gate = Callable[[], Awaitable[bool]]
"""Asked right before a body is begun; false: do not."""

_LINE_DOT = re.compile(rb"(?m)^\.")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail with its envelope, ready for a relay."""

    sender: str
    """Envelope sender (return path)."""
    recipient: str
    data: bytes
    """Lines end with CRLF; dots are not stuffed."""
    utf8: bool = False
    """Needs SMTPUTF8 (RFC 6531)."""


async def _always() -> bool:
    return True


class Session:
    """One connection, after STARTTLS and AUTH. Not for two tasks at once."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client

    @classmethod
    async def open(cls, relay: Relay, *, timeout: float) -> Session:
        """Raises `RelayUnreachable` with the reason and what to do; no mail is touched by that."""
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.user or None,
            password=relay.password or None,
            timeout=timeout,
            use_tls=relay.tls == "implicit",
            start_tls=relay.tls == "starttls",
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise RelayUnreachable(_why(relay, error)) from None
        return cls(client)

    @property
    def usable(self) -> bool:
        return self._client.is_connected

    async def send(self, mail: Mail, gate: Gate = _always) -> Outcome:
        """Hand over one mail. Never raises for what a relay does: the outcome says it."""
        try:
            if mail.utf8 and not self._client.supports_extension("smtputf8"):
                return Outcome(DeliveryState.FAILED, 553, "5.6.7", "The relay does not take addresses beyond ASCII (SMTPUTF8).")
            await self._envelope(mail)
            return await self._body(mail, gate)
        except aiosmtplib.SMTPResponseException as refusal:
            await self._reset()
            return outcome_of(refusal.code, refusal.message)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            return Outcome(DeliveryState.DEFERRED, reply=f"The connection was lost before the body ({type(error).__name__}).")

    async def _envelope(self, mail: Mail) -> None:
        encoding = "utf-8" if mail.utf8 else "ascii"
        options = ["SMTPUTF8", "BODY=8BITMIME"] if mail.utf8 else []
        if self._client.supports_extension("size"):
            options.append(f"SIZE={len(mail.data)}")
        await self._client.mail(mail.sender, options=options, encoding=encoding)
        await self._client.rcpt(mail.recipient, encoding=encoding)
        reply = await self._client.execute_command(b"DATA")
        if reply.code != 354:
            raise aiosmtplib.SMTPDataError(reply.code, reply.message)

    async def _body(self, mail: Mail, gate: Gate) -> Outcome:
        """After the 354. From here on there are two ways out: the body with its dot, or closing the connection."""
        protocol = self._client.protocol
        if protocol is None or not await gate():
            self.close()
            return Outcome(DeliveryState.SKIPPED)
        try:
            protocol.write(_LINE_DOT.sub(b"..", mail.data) + b".\r\n")
            reply = await protocol.read_response(timeout=self._client.timeout)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            return Outcome(DeliveryState.UNCERTAIN, reply=f"No answer came after the body ({type(error).__name__}).")
        if reply.code == 421:
            self.close()
        return outcome_of(reply.code, reply.message)

    async def _reset(self) -> None:
        """Forget the envelope; a relay that cannot even do that is left."""
        try:
            if self._client.is_connected:
                await self._client.rset()
        except (aiosmtplib.SMTPException, OSError):
            self.close()

    def close(self) -> None:
        self._client.close()

    async def quit(self) -> None:
        """Politely, in a second at most."""
        try:
            async with asyncio.timeout(1):
                await self._client.quit()
        except (aiosmtplib.SMTPException, OSError):
            self.close()


def _why(relay: Relay, error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"Relay {relay} refused user or password: check them in NEWSLETTER_SMTP_URL."
    if isinstance(cause, ssl.SSLCertVerificationError) or isinstance(error, ssl.SSLCertVerificationError):
        return f"Relay {relay} has a certificate that cannot be verified: use the host name that is in it, or correct the certificate."
    if isinstance(error, aiosmtplib.SMTPException) and "STARTTLS" in str(error):
        return f"Relay {relay} offers no STARTTLS: use smtps://, or ?starttls=never for a relay on this machine."
    return f"Relay {relay} cannot be reached ({type(error).__name__}): check NEWSLETTER_SMTP_URL and whether it runs."


class Courier:
    """Keeps up to `connections` sessions, opens them when needed, and changes to the next relay when one cannot be reached."""

    def __init__(self, relays: Sequence[Relay], *, connections: int, timeout: float) -> None:
        self._relays = relays
        self._timeout = timeout
        self.connections = connections
        self._room = asyncio.Semaphore(connections)
        self._idle: list[Session] = []
        self._failures = dict.fromkeys(relays, 0)
        self._leave_alone_until = dict.fromkeys(relays, 0.0)

    async def send(self, mail: Mail, gate: Gate = _always) -> Outcome:
        """Hand one mail to whichever relay answers. Raises `RelayUnreachable` when none does: the mail was not touched."""
        async with self._room:
            session = await self._session()
            try:
                outcome = await session.send(mail, gate)
            except BaseException:
                session.close()
                raise
            if session.usable:
                self._idle.append(session)
            return outcome

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))

    async def _session(self) -> Session:
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                return session
        failure: RelayUnreachable | None = None
        for relay in self._relays:
            if time.monotonic() >= self._leave_alone_until[relay]:
                try:
                    session = await Session.open(relay, timeout=self._timeout)
                except RelayUnreachable as error:
                    failure = error
                    self._failures[relay] += 1
                    self._leave_alone_until[relay] = time.monotonic() + unreachable_pause(self._failures[relay]).total_seconds()
                else:
                    self._failures[relay] = 0
                    return session
        raise failure or RelayUnreachable("No relay can be reached at the moment; it is tried again by itself.")
