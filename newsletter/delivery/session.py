"""One SMTP session with a relay, pipelined.

RFC 2920: MAIL, RCPT and DATA go out in one write, and the next mail's envelope goes out behind the body, so that a mail costs
one round trip. Between the relay's 354 and the first byte of the body is the last moment to ask whether the reader still wants
it; there too it is decided whether a lost connection leaves the mail uncertain. With a relay that does not announce PIPELINING
we go in lockstep.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, cast

import aiosmtplib
import idna

from newsletter.core.errors import RelayUnreachable
from newsletter.delivery.connect import connected
from newsletter.delivery.pipeline import Pipeline, Reply
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import DeliveryState, Outcome, outcome_of

Gate = Callable[[], Awaitable[bool]]
"""Asked right before a body is begun; false: do not."""

QUIT_WITHIN = 1.0
"""Seconds that a relay may take to say goodbye."""

_LINE_DOT = re.compile(rb"(?m)^\.")
_NOT_IN_A_PATH = re.compile(r"""[\x00-\x20\x7f()<>\[\]:;,\\"]""")
_UNWRITABLE = Outcome(DeliveryState.FAILED, 553, "5.1.3", "This address cannot be written in an envelope.")
_NO_SMTPUTF8 = Outcome(DeliveryState.FAILED, 553, "5.6.7", "The relay does not take addresses beyond ASCII (SMTPUTF8).")
_ENDED = Outcome(DeliveryState.DEFERRED, reply="The relay ended the session before the body.")
_GIVEN_UP = Outcome(DeliveryState.DEFERRED, reply="The session was given up before the body.")
_UNHEARD = Outcome(DeliveryState.UNCERTAIN, reply="The answer after the body was not waited for.")
_RESET = b"RSET\r\n"
_DOT = b".\r\n"


@dataclass(slots=True)
class Mail:
    """A mail with its envelope, ready for a relay. Not frozen, since making a frozen one takes three times as long."""

    sender: str
    """Envelope sender (return path)."""
    recipient: str
    data: bytes
    """Lines end with CRLF."""
    utf8: bool = False
    """Needs SMTPUTF8 (RFC 6531)."""
    sender_id: int = 0
    """Whose keys it is signed with."""
    head: int = 0
    """Octets of its header block."""
    is_stuffed: bool = False
    """Whether no line begins with a dot that SMTP would take for its own (RFC 5321, section 4.5.2)."""
    body_digest: bytes | None = None
    """SHA-256 of the body in DKIM's relaxed form; None where nobody is going to sign."""
    relay: str | None = None
    """Name of the relay that its sender's mail goes by; None: whichever there is."""


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


_MAIL, _RCPT, _DATA, _BODY, _CLEAR, _NONE = range(6)
"""Which reply comes next: to a command, to a body, to what makes the relay forget an envelope that was refused, or none."""


_WANTED = (frozenset({250}), frozenset({250, 251}), frozenset({354}))
"""Good answers to MAIL, RCPT and DATA. A good answer in the wrong place means that we are out of step."""


class Session:
    """One connection, after STARTTLS and AUTH. Not for two tasks at once."""

    def __init__(self, client: aiosmtplib.SMTP, relay: Relay, *, timeout: float) -> None:
        self.relay = relay
        self.ended_early = False
        """The last `send` ended before the relay was given the body: another session may have the same mail at once."""
        self.has_answered = False
        """The relay has answered an envelope: it does talk to us."""
        self._client = client  # Whose child the connection is: kept as long.
        self._pipeline = Pipeline(cast("asyncio.Transport", client.transport), timeout=timeout)
        self._pipelining = client.supports_extension("pipelining")
        self._size = client.supports_extension("size")
        self._utf8 = client.supports_extension("smtputf8")
        self._step = _NONE
        self._feed: Feed = _Nothing()
        self._parcel: Parcel | None = None
        """Whose envelope is being answered, or whose body."""
        self._following: Parcel | None = None
        """Whose envelope went out behind that body."""
        self._commands = b""
        """The envelope that was written last, or is to be: three lines."""
        self._refusal: Reply | None = None
        self._refused_at = _NONE
        self._recipient_taken = False
        self._done: asyncio.Future[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, relay: Relay, *, timeout: float) -> Session:
        """Raises `RelayUnreachable` with the reason and what to do; no mail is touched by that."""
        return cls(await connected(relay, timeout=timeout), relay, timeout=timeout)

    @property
    def usable(self) -> bool:
        return not self._pipeline.is_lost

    async def deliver(self, feed: Feed) -> None:
        """Hand over what the feed gives, until it gives nothing or the session ends; every parcel is settled or lost by then.

        Raises `RelayUnreachable` when the relay takes no mail at all from us as we are, and what `may_begin` raises; in either
        case no body was begun, and the session is of no more use.
        """
        self._feed = feed
        self._done = asyncio.get_running_loop().create_future()
        self._pipeline.listen(self)
        try:
            self._parcel = self._offer()
            self._go_on()
            await self._done
        except BaseException:
            self._abandon()
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
        """Politely, in a second at most; cancelled, at once."""
        try:
            if not self._pipeline.is_lost:
                goodbye = _Goodbye()
                self._pipeline.listen(goodbye)
                self._pipeline.write(b"QUIT\r\n")
                await asyncio.wait({goodbye.said}, timeout=QUIT_WITHIN)
        finally:
            self.close()

    # What goes out.

    def _offer(self, *behind: bytes) -> Parcel | None:
        """Write `behind` and, in the same write, the envelope of the next mail; returns that mail's parcel."""
        parcel = self._next()
        if parcel is not None and self._pipelining:
            behind += (self._commands,)
        if behind:
            self._pipeline.write(*behind)
        return parcel

    def _next(self) -> Parcel | None:
        """The next mail that an envelope can be written for."""
        while (parcel := self._feed.next()) is not None:
            try:
                self._commands = self._envelope(parcel.mail)
            except ValueError:
                parcel.settle(_UNWRITABLE)
            else:
                if not parcel.mail.utf8 or self._utf8:
                    break
                parcel.settle(_NO_SMTPUTF8)
        return parcel

    def _envelope(self, mail: Mail) -> bytes:
        """Raises `ValueError` for an address that cannot stand in an envelope."""
        options = " SMTPUTF8 BODY=8BITMIME" if mail.utf8 else ""
        if self._size:
            options += f" SIZE={len(mail.data)}"
        commands = f"MAIL FROM:<{_sender_path(mail.sender)}>{options}\r\nRCPT TO:<{_path(mail.recipient)}>\r\nDATA\r\n"
        return commands.encode("utf-8" if mail.utf8 else "ascii")

    def _write_command(self, step: int) -> None:
        """One of the envelope's, in lockstep."""
        self._pipeline.write(self._commands.splitlines(keepends=True)[step])

    def _go_on(self) -> None:
        """With the parcel that was offered last, if there is one."""
        if self._parcel is None:
            return self._finish()
        self._refusal = None
        self._recipient_taken = False
        self._step = _MAIL
        if not self._pipelining:
            self._write_command(_MAIL)
        return None

    # What comes in.

    def heard(self, reply: Reply) -> None:
        """The relay's next answer."""
        try:
            step = self._step
            if step < _DATA and self._pipelining and reply.code == 250:  # As nearly always.
                self._recipient_taken = step == _RCPT or self._recipient_taken
                self._step = step + 1
            elif step == _BODY:
                self._body_answered(reply)
            elif step <= _DATA:
                self._envelope_answered(step, reply)
            elif step == _CLEAR and reply.code != 421:
                self._go_on()
            else:  # A farewell, while it is looked up who still wants the mail or instead of an answer to a reset.
                self._pipeline.close("closed by the relay")
        except Exception as error:  # noqa: BLE001  it goes to whoever waits for this delivery
            self._finish(error)

    def gone(self, reason: str) -> None:
        """There will be no answer."""
        step, self._step = self._step, _NONE
        parcel, self._parcel = self._parcel, None
        following, self._following = self._following, None
        if parcel is not None:
            if step == _BODY:
                parcel.settle(Outcome(DeliveryState.UNCERTAIN, reply=f"No answer came after the body ({reason})."))
            elif self._refusal is not None and step <= _DATA:
                return self._end_with(parcel, self._refusal)
            else:
                parcel.lost(Outcome(DeliveryState.DEFERRED, reply=f"The connection was lost before the body ({reason})."))
        if following is not None:
            following.lost(_ENDED)
        return self._finish()

    def _envelope_answered(self, step: int, reply: Reply) -> None:
        """Pipelined, all three commands are answered, whatever the first answer was; the first bad one counts."""
        if reply.code not in _WANTED[step]:
            if self._refusal is None:
                self._refusal, self._refused_at = reply, step
        elif step == _RCPT:
            self._recipient_taken = True
        if step == _DATA:
            self._answered(ready=reply.code == 354)
        elif self._pipelining:
            self._step = step + 1
        elif self._refusal is not None:
            self._answered(ready=False)
        else:
            self._step = step + 1
            self._write_command(self._step)

    def _answered(self, *, ready: bool) -> None:
        """The whole envelope was; `ready`: the relay waits for a body."""
        self.has_answered = True
        parcel = self._parcel
        assert parcel is not None
        if self._refusal is not None:
            return self._take_back(parcel, ready=ready)
        self._step = _NONE
        if (permission := parcel.may_begin()) is None and self._pipelining:
            self._following = self._next()
            permission = parcel.may_begin()  # Making the next mail took a while.
        if permission is None:
            return self._begin_body(parcel)
        self._asking = asyncio.get_running_loop().create_task(self._ask(parcel, permission))
        return None

    async def _ask(self, parcel: Parcel, permission: Awaitable[bool]) -> None:
        try:
            wanted = await permission
        except Exception as error:  # noqa: BLE001  it goes to whoever waits for this delivery
            return self._finish(error)
        if self._parcel is not parcel:
            return None  # The connection was lost meanwhile, and with it this mail's turn.
        if wanted:
            return self._begin_body(parcel)
        self._parcel = None
        self.close()  # The relay has said 354: nothing else keeps it from taking a mail.
        parcel.settle(Outcome(DeliveryState.SKIPPED))
        return None

    def _begin_body(self, parcel: Parcel) -> None:
        """With the next envelope right behind it, if there is one; the body's answer comes first.

        Nothing that takes time stands between the permission and the write.
        """
        data = parcel.mail.data
        if not parcel.mail.is_stuffed:
            data = _LINE_DOT.sub(b"..", data)
        self._step = _BODY
        # None follows where a relay does not announce PIPELINING.
        self._pipeline.write(data, _DOT if self._following is None else _DOT + self._commands)

    def _body_answered(self, reply: Reply) -> None:
        """Only this answer can take a mail."""
        parcel, self._parcel, self._following = self._parcel, self._following, None
        assert parcel is not None
        self._step = _CLEAR
        if 200 <= reply.code < 300 or 400 <= reply.code < 600:
            parcel.settle(outcome_of(reply.code, reply.text))
            is_over = reply.code == 421
        else:
            reason = f"The answer after the body was neither yes nor no ({reply.code})."
            parcel.settle(Outcome(DeliveryState.UNCERTAIN, reply=reason))
            is_over = True
        if is_over:
            return self.close()
        if self._parcel is None:
            self._parcel = self._offer()
        return self._go_on()

    def _take_back(self, parcel: Parcel, *, ready: bool) -> None:
        """Settle a mail whose envelope was refused, have the relay forget that envelope, offer the next."""
        refusal = self._refusal
        assert refusal is not None
        self._parcel = None
        if refusal.code in (421, 530):
            return self._end_with(parcel, refusal)
        parcel.settle(self._refused())
        # DATA without a recipient has to get a body, an empty one (RFC 2920, section 3.1), which nobody receives. A relay that
        # took the recipient without a sender would deliver that, and one that is out of step might do anything.
        if not 400 <= refusal.code < 600 or (ready and self._recipient_taken):
            return self.close()
        self._step = _CLEAR
        self._parcel = self._offer(_DOT if ready else _RESET)
        return None

    def _end_with(self, parcel: Parcel, refusal: Reply) -> None:
        """A refusal that the session does not outlive: the relay closes it, or has closed it already."""
        if refusal.code == 530:
            parcel.lost(_GIVEN_UP)
            why = f"Relay {self.relay} wants a login or TLS: put user and password into NEWSLETTER_SMTP_URL."
            return self._finish(RelayUnreachable(why))
        if refusal.code == 421:
            parcel.lost(self._refused())
        else:
            parcel.settle(self._refused())
        self.close()
        return self._finish()

    def _refused(self) -> Outcome:
        assert self._refusal is not None
        code, text = self._refusal
        if not 400 <= code < 600:
            return Outcome(DeliveryState.DEFERRED, reply=f"The relay was out of step ({code}).")
        return replace(outcome_of(code, text), about_sender=self._refused_at == _MAIL)

    # The end.

    def _finish(self, error: Exception | None = None) -> None:
        """Of this delivery; with an error also of the session."""
        if error is not None:
            self._abandon()
        self._step = _NONE
        self._pipeline.listen(None)
        if self._done is not None and not self._done.done():
            if error is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(error)

    def _abandon(self) -> None:
        """Give up what is under way."""
        self._pipeline.listen(None)
        parcel, self._parcel = self._parcel, None
        following, self._following = self._following, None
        if self._asking is not None:
            self._asking.cancel()
        if parcel is not None:
            parcel.settle(_UNHEARD) if self._step == _BODY else parcel.lost(_GIVEN_UP)
        if following is not None:
            following.lost(_ENDED)
        self._step = _NONE
        self.close()


class _Nothing:
    """A feed before there is one."""

    def next(self) -> Parcel | None:
        return None


class _Goodbye:
    """Listens for whatever a relay says to QUIT."""

    def __init__(self) -> None:
        self.said: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def heard(self, reply: Reply) -> None:  # noqa: ARG002
        self.gone("")

    def gone(self, reason: str) -> None:  # noqa: ARG002
        if not self.said.done():
            self.said.set_result(None)


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
