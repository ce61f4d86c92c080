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
from dataclasses import dataclass, replace
from datetime import timedelta

import aiosmtplib
import idna

from newsletter.core.errors import RelayUnreachable
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import DeliveryState, Outcome, outcome_of, unreachable_pause

Gate = Callable[[], Awaitable[bool]]
"""Asked right before a body is begun; false: do not."""

_LINE_DOT = re.compile(rb"(?m)^\.")
_NOT_IN_A_PATH = re.compile(r"""[\x00-\x20\x7f()<>\[\]:;,\\"]""")
_UNWRITABLE = Outcome(DeliveryState.FAILED, 553, "5.1.3", "This address cannot be written in an envelope.")


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

    def __init__(self, client: aiosmtplib.SMTP, relay: Relay) -> None:
        self._client = client
        self.relay = relay
        self.ended_early = False
        """The relay ended the session before it was given the body: another session may have the same mail at once."""

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
        return cls(client, relay)

    @property
    def usable(self) -> bool:
        return self._client.is_connected

    async def send(self, mail: Mail, gate: Gate = _always) -> Outcome:
        """Hand over one mail. The outcome says what the relay did.

        Raises `RelayUnreachable` when the relay takes no mail at all from us as we are, and what `gate` raises; in either case
        no body was begun, and the session is of no more use.
        """
        if mail.utf8 and not self._client.supports_extension("smtputf8"):
            return Outcome(DeliveryState.FAILED, 553, "5.6.7", "The relay does not take addresses beyond ASCII (SMTPUTF8).")
        try:
            mail = replace(mail, sender=_path(mail.sender), recipient=_path(mail.recipient))
        except ValueError:
            return _UNWRITABLE
        if refused := await self._envelope(mail):
            return refused
        # The relay has said 354: from here on there are two ways out, the body with its dot or closing the connection.
        try:
            wanted = await gate()
        except BaseException:
            self.close()
            raise
        if not wanted:
            self.close()
            return Outcome(DeliveryState.SKIPPED)
        return await self._body(mail)

    async def _envelope(self, mail: Mail) -> Outcome | None:
        """None when the relay is ready for the body."""
        encoding = "utf-8" if mail.utf8 else "ascii"
        options = ["SMTPUTF8", "BODY=8BITMIME"] if mail.utf8 else []
        if self._client.supports_extension("size"):
            options.append(f"SIZE={len(mail.data)}")
        try:
            await self._client.mail(mail.sender, options=options, encoding=encoding)
            await self._client.rcpt(mail.recipient, encoding=encoding)
            reply = await self._client.execute_command(b"DATA")
        except aiosmtplib.SMTPResponseException as refusal:
            return await self._refused(refusal.code, refusal.message)
        except (aiosmtplib.SMTPException, OSError) as error:
            return self._lost(type(error).__name__)
        except ValueError:
            await self._reset()
            return _UNWRITABLE
        return None if reply.code == 354 else await self._refused(reply.code, reply.message)

    async def _refused(self, code: int, text: str) -> Outcome:
        """Only the answer to the last dot can take a mail: a good answer in the wrong place means that we are out of step."""
        if code == 530:
            self.close()
            raise RelayUnreachable(f"Relay {self.relay} wants a login or TLS: put user and password into NEWSLETTER_SMTP_URL.")
        if not 400 <= code < 600:
            self.close()
            return Outcome(DeliveryState.DEFERRED, reply=f"The relay was out of step ({code}).")
        if code == 421:
            self.close()
            self.ended_early = True
        else:
            await self._reset()
        return outcome_of(code, text)

    def _lost(self, reason: str) -> Outcome:
        self.close()
        self.ended_early = True
        return Outcome(DeliveryState.DEFERRED, reply=f"The connection was lost before the body ({reason}).")

    async def _body(self, mail: Mail) -> Outcome:
        protocol = self._client.protocol
        if protocol is None or not protocol.is_connected:
            return self._lost("while it was looked up who still wants it")
        try:
            protocol.write(_LINE_DOT.sub(b"..", mail.data) + b".\r\n")
            reply = await protocol.read_response(timeout=self._client.timeout)
        except (aiosmtplib.SMTPException, OSError) as error:
            self.close()
            return Outcome(DeliveryState.UNCERTAIN, reply=f"No answer came after the body ({type(error).__name__}).")
        if not (200 <= reply.code < 300 or 400 <= reply.code < 600):
            self.close()
            return Outcome(DeliveryState.UNCERTAIN, reply=f"The answer after the body was neither yes nor no ({reply.code}).")
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


def _path(address: str) -> str:
    """The address as it stands in an envelope: a domain beyond ASCII as A-labels, since only a local part needs SMTPUTF8.

    Raises `ValueError` when no such domain can exist, and for what aiosmtplib would read as another address than this.
    """
    if _NOT_IN_A_PATH.search(address):
        raise ValueError("not a plain address")
    local, _, domain = address.rpartition("@")
    return address if domain.isascii() else f"{local}@{idna.encode(domain, uts46=True).decode()}"


def _why(relay: Relay, error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"Relay {relay} refused user or password: check them in NEWSLETTER_SMTP_URL."
    if _was_about_certificate(error):
        return (
            f"Relay {relay} has a certificate that cannot be verified: "
            "use the host name that is in it, or correct the certificate."
        )
    if isinstance(error, aiosmtplib.SMTPException) and "AUTH extension" in str(error):
        return f"Relay {relay} takes no login: leave user and password out of NEWSLETTER_SMTP_URL."
    if isinstance(error, aiosmtplib.SMTPException) and "STARTTLS" in str(error):
        return f"Relay {relay} offers no STARTTLS: use smtps://, or ?starttls=never for a relay on this machine."
    return f"Relay {relay} cannot be reached ({type(error).__name__}): check NEWSLETTER_SMTP_URL and whether it runs."


def _was_about_certificate(error: BaseException | None) -> bool:
    """aiosmtplib wraps what TLS says, once or twice."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


class Courier:
    """Keeps up to `connections` sessions, opens them when needed, and changes to the next relay when one cannot be reached."""

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        connections: int,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._relays = relays
        self._timeout = timeout
        self._monotonic = monotonic
        self.connections = connections
        self._room = asyncio.Semaphore(connections)
        self._idle: list[Session] = []
        self._failures = dict.fromkeys(relays, 0)
        self._leave_alone_until = dict.fromkeys(relays, monotonic())

    @property
    def rest(self) -> timedelta:
        """How long every relay is still left alone, because none could be reached; zero when one may be tried."""
        return timedelta(seconds=max(0.0, min(self._leave_alone_until.values()) - self._monotonic()))

    async def send(self, mail: Mail, gate: Gate = _always) -> Outcome:
        """Hand one mail to whichever relay answers. Raises `RelayUnreachable` when none does: the mail was not touched."""
        async with self._room:
            if session := self._kept():
                outcome = await self._hand_over(session, mail, gate)
                if not session.ended_early:
                    return outcome
            # Relays end sessions after a time or a number of mails: that is not this mail's doing.
            return await self._hand_over(await self._opened(), mail, gate)

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))

    async def _hand_over(self, session: Session, mail: Mail, gate: Gate) -> Outcome:
        try:
            outcome = await session.send(mail, gate)
        except BaseException as error:
            session.close()
            if isinstance(error, RelayUnreachable):
                self._leave_alone(session.relay)
            raise
        self._failures[session.relay] = 0
        if session.usable:
            self._idle.append(session)
        return outcome

    def _kept(self) -> Session | None:
        """A session of before that is still there, as far as one can know."""
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                return session
        return None

    async def _opened(self) -> Session:
        failure: RelayUnreachable | None = None
        for relay in self._relays:
            if self._monotonic() >= self._leave_alone_until[relay]:
                try:
                    session = await Session.open(relay, timeout=self._timeout)
                except RelayUnreachable as error:
                    failure = error
                    self._leave_alone(relay)
                else:
                    return session
        raise failure or RelayUnreachable("No relay can be reached at the moment; it is tried again by itself.")

    def _leave_alone(self, relay: Relay) -> None:
        """For longer each time. Connections that fail together are one failure."""
        now = self._monotonic()
        if now >= self._leave_alone_until[relay]:
            self._failures[relay] += 1
            self._leave_alone_until[relay] = now + unreachable_pause(self._failures[relay]).total_seconds()
