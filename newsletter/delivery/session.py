"""One SMTP session with a relay: opened by aiosmtplib, then driven by ourselves, pipelined.

RFC 2920: MAIL, RCPT and DATA go out in one write, and the next mail's envelope goes out behind the body, so that a mail costs
one round trip. Between the relay's 354 and the first byte of the body is the last moment to ask whether the reader still wants
it; there too it is decided whether a lost connection leaves the mail uncertain. With a relay that does not announce PIPELINING
we go in lockstep.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, cast

import aiosmtplib
import idna

from newsletter.core.errors import RelayUnreachable
from newsletter.delivery.pipeline import ConnectionLost, Pipeline, Reply
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import DeliveryState, Outcome, outcome_of

Gate = Callable[[], Awaitable[bool]]
"""Asked right before a body is begun; false: do not."""

_LINE_DOT = re.compile(rb"(?m)^\.")
_NOT_IN_A_PATH = re.compile(r"""[\x00-\x20\x7f()<>\[\]:;,\\"]""")
_UNWRITABLE = Outcome(DeliveryState.FAILED, 553, "5.1.3", "This address cannot be written in an envelope.")
_NO_SMTPUTF8 = Outcome(DeliveryState.FAILED, 553, "5.6.7", "The relay does not take addresses beyond ASCII (SMTPUTF8).")
_ENDED = Outcome(DeliveryState.DEFERRED, reply="The relay ended the session before the body.")
_GO_AHEAD = 354
_WANTED = (frozenset({250}), frozenset({250, 251}), frozenset({_GO_AHEAD}))
"""Good answers to MAIL, RCPT and DATA. A good answer in the wrong place means that we are out of step."""
_RESET = b"RSET\r\n"
_DATA = b"DATA\r\n"
_DOT = b".\r\n"


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


class Parcel(Protocol):
    """A mail on its way, as its owner sees it."""

    mail: Mail

    def may_begin(self) -> Awaitable[bool] | None:
        """Asked right before the body is begun: None says yes at once, else it is waited for, and false says no."""

    def settle(self, outcome: Outcome) -> None:
        """What became of it."""

    def lost(self, outcome: Outcome) -> None:
        """The session ended before it was given the body: another may have the mail at once, or else this is the outcome."""


class Feed(Protocol):
    """Where a session gets its mails from."""

    def next(self) -> Parcel | None:
        """The next one, which is this session's from now on until it is settled or lost; None: nothing to do."""


class Session:
    """One connection, after STARTTLS and AUTH. Not for two tasks at once."""

    def __init__(self, client: aiosmtplib.SMTP, pipeline: Pipeline, relay: Relay) -> None:
        self.relay = relay
        self.ended_early = False
        """The last `send` ended before the relay was given the body: another session may have the same mail at once."""
        self._client = client  # Whose child the connection is: kept as long.
        self._pipeline = pipeline
        self._pipelining = client.supports_extension("pipelining")
        self._size = client.supports_extension("size")
        self._utf8 = client.supports_extension("smtputf8")
        self._commands: tuple[bytes, ...] = ()
        self._taking_back = b""
        """What makes the relay forget an envelope that was refused."""
        self._at_mail = False
        """The last refusal was the answer to MAIL."""
        self._clearing = False
        """That was said, and the relay has not answered to it yet."""

    @classmethod
    async def open(cls, relay: Relay, *, timeout: float) -> Session:
        """Raises `RelayUnreachable` with the reason and what to do; no mail is touched by that."""
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.user or None,
            password=relay.password or None,
            oauth_token_generator=_token_reader(relay),
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
        return cls(client, Pipeline(cast("asyncio.Transport", client.transport), timeout=timeout), relay)

    @property
    def usable(self) -> bool:
        return self._pipeline.is_idle

    async def deliver(self, feed: Feed) -> None:
        """Hand over what the feed gives, until it gives nothing or the session ends; every parcel is settled or lost by then.

        Raises `RelayUnreachable` when the relay takes no mail at all from us as we are, and what `may_begin` raises; in either
        case no body was begun, and the session is of no more use.
        """
        try:
            parcel = self._offer(feed)
            while parcel is not None:
                parcel = await self._hand_over(parcel, feed)
            await self._cleared()
        except ConnectionLost:
            self.close()
        except BaseException:
            self.close()
            raise

    async def send(self, mail: Mail, gate: Gate | None = None) -> Outcome:
        """Hand over one mail; raises as `deliver` does."""
        single = _Single(mail, gate)
        await self.deliver(single)
        self.ended_early = single.was_lost
        assert single.outcome is not None
        return single.outcome

    def close(self) -> None:
        self._pipeline.close()

    async def quit(self) -> None:
        """Politely, in a second at most."""
        if self._pipeline.is_idle:
            self._pipeline.write(b"QUIT\r\n")
            with contextlib.suppress(ConnectionLost, TimeoutError):
                async with asyncio.timeout(1):
                    await self._pipeline.reply()
        self.close()

    # What goes out.

    def _offer(self, feed: Feed, *behind: bytes) -> Parcel | None:
        """Write `behind` and, in the same write, the envelope of the next mail; returns that mail's parcel."""
        while (parcel := feed.next()) is not None:
            try:
                self._commands = self._envelope(parcel.mail)
            except ValueError:
                parcel.settle(_UNWRITABLE)
            else:
                if not parcel.mail.utf8 or self._utf8:
                    break
                parcel.settle(_NO_SMTPUTF8)
        if parcel is not None and self._pipelining:
            behind += self._commands
        if behind:
            self._pipeline.write(*behind)
        return parcel

    def _envelope(self, mail: Mail) -> tuple[bytes, ...]:
        """Raises `ValueError` for an address that cannot stand in an envelope."""
        options = " SMTPUTF8 BODY=8BITMIME" if mail.utf8 else ""
        if self._size:
            options += f" SIZE={len(mail.data)}"
        encoding = "utf-8" if mail.utf8 else "ascii"
        sender, recipient = _sender_path(mail.sender), _path(mail.recipient)
        return f"MAIL FROM:<{sender}>{options}\r\n".encode(encoding), f"RCPT TO:<{recipient}>\r\n".encode(encoding), _DATA

    # One mail, from the answers to its envelope to its outcome.

    async def _hand_over(self, parcel: Parcel, feed: Feed) -> Parcel | None:
        """Returns the parcel that was offered next, if any."""
        try:
            refused = await self._refused()
            wanted = refused is not None or await self._permitted(parcel)
        except ConnectionLost as lost:
            self.close()
            parcel.lost(Outcome(DeliveryState.DEFERRED, reply=f"The connection was lost before the body ({lost})."))
            return None
        except BaseException:
            parcel.lost(Outcome(DeliveryState.DEFERRED, reply="The session was given up before the body."))
            raise
        if not wanted:
            self.close()  # The relay has said 354: nothing else keeps it from taking a mail.
            parcel.settle(Outcome(DeliveryState.SKIPPED))
            return None
        if refused is not None:
            return self._go_on(parcel, refused, feed)
        return await self._body(parcel, feed)

    async def _permitted(self, parcel: Parcel) -> bool:
        """Whether to begin the body. Raises `ConnectionLost` when there is nobody left to give it to."""
        permission = parcel.may_begin()
        wanted = permission is None or await permission
        if wanted and self._pipeline.is_lost:
            raise ConnectionLost("while it was looked up who still wants it")
        return wanted

    async def _refused(self) -> Reply | None:
        """The first bad answer to the envelope; None when the relay is ready for the body.

        Pipelined, all three are answered, whatever the first said; where an answer after a bad one is missing, that one counts.
        """
        await self._cleared()
        refusal: Reply | None = None
        self._at_mail = False
        for command, wanted in zip(self._commands, _WANTED, strict=True):
            if not self._pipelining:
                self._pipeline.write(command)
            try:
                reply = await self._pipeline.reply()
            except ConnectionLost:
                if refusal is None:
                    raise
                self.close()
                return refusal
            if reply.code not in wanted:
                self._at_mail = self._at_mail or (refusal is None and command is self._commands[0])
                refusal = refusal or reply
                if not self._pipelining:
                    break
            elif refusal is not None:
                # A relay that goes on after a refusal: DATA without a recipient has to get a body, an empty one (RFC 2920,
                # section 3.1), which nobody receives. One that took the recipient without a sender would deliver that.
                if command != _DATA:
                    self.close()
                self._taking_back = _DOT
                return refusal
        self._taking_back = _RESET
        return refusal

    def _go_on(self, parcel: Parcel, refusal: Reply, feed: Feed) -> Parcel | None:
        """Settle a mail whose envelope was refused, take that envelope back, offer the next."""
        if refusal.code == 530:
            parcel.lost(Outcome(DeliveryState.DEFERRED, reply="The relay wants a login or TLS."))
            raise RelayUnreachable(f"Relay {self.relay} wants a login or TLS: put user and password into NEWSLETTER_SMTP_URL.")
        if not 400 <= refusal.code < 600:
            self.close()
            parcel.settle(Outcome(DeliveryState.DEFERRED, reply=f"The relay was out of step ({refusal.code})."))
            return None
        outcome = replace(outcome_of(refusal.code, refusal.text), about_sender=self._at_mail)
        if refusal.code == 421:
            self.close()
            parcel.lost(outcome)
            return None
        parcel.settle(outcome)
        if self._pipeline.is_lost:
            return None
        self._clearing = True
        return self._offer(feed, self._taking_back)

    async def _cleared(self) -> None:
        """Wait until the relay has forgotten a refused envelope. Raises `ConnectionLost` when it cannot even do that."""
        if self._clearing:
            self._clearing = False
            if (await self._pipeline.reply()).code == 421:
                raise ConnectionLost("the relay closes")

    async def _body(self, parcel: Parcel, feed: Feed) -> Parcel | None:
        """The body, with the next envelope right behind it; the body's answer comes first."""
        data = parcel.mail.data
        stuffed = _LINE_DOT.sub(b"..", data) if b"\n." in data or data.startswith(b".") else data
        following = self._offer(feed, stuffed, _DOT)
        try:
            outcome = await self._verdict()
        except BaseException:
            parcel.settle(Outcome(DeliveryState.UNCERTAIN, reply="The answer after the body was not waited for."))
            if following is not None:
                following.lost(_ENDED)
            raise
        parcel.settle(outcome)
        if self._pipeline.is_lost and following is not None:
            following.lost(_ENDED)
            return None
        return following

    async def _verdict(self) -> Outcome:
        """Only the answer to the last dot can take a mail."""
        try:
            reply = await self._pipeline.reply()
        except ConnectionLost as lost:
            self.close()
            return Outcome(DeliveryState.UNCERTAIN, reply=f"No answer came after the body ({lost}).")
        if not (200 <= reply.code < 300 or 400 <= reply.code < 600):
            self.close()
            return Outcome(DeliveryState.UNCERTAIN, reply=f"The answer after the body was neither yes nor no ({reply.code}).")
        if reply.code == 421:
            self.close()
        return outcome_of(reply.code, reply.text)


class _Single:
    """A feed of one mail, and its parcel."""

    def __init__(self, mail: Mail, gate: Gate | None) -> None:
        self.mail = mail
        self.outcome: Outcome | None = None
        self.was_lost = False
        self._gate = gate
        self._given = False

    def next(self) -> Parcel | None:
        given, self._given = self._given, True
        return None if given else self

    def may_begin(self) -> Awaitable[bool] | None:
        return self._gate() if self._gate else None

    def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def lost(self, outcome: Outcome) -> None:
        self.outcome, self.was_lost = outcome, True


def _path(address: str) -> str:
    """The address as it stands in an envelope: a domain beyond ASCII as A-labels, since only a local part needs SMTPUTF8.

    Raises `ValueError` when no such domain can exist, and for what a relay could read as another address than this.
    """
    if _NOT_IN_A_PATH.search(address):
        raise ValueError("not a plain address")
    if address.isascii():
        return address
    local, _, domain = address.rpartition("@")
    return address if domain.isascii() else f"{local}@{idna.encode(domain, uts46=True).decode()}"


_sender_path = functools.lru_cache(maxsize=64)(_path)


def _token_reader(relay: Relay) -> Callable[[], Awaitable[str]] | None:
    """What aiosmtplib asks for an access token (XOAUTH2) when it logs in. Raises `OSError` where the file cannot be read."""
    if relay.token_file is None:
        return None
    file = relay.token_file

    async def token() -> str:
        return (await asyncio.to_thread(file.read_text)).strip()

    return token


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
