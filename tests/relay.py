"""A real SMTP server that does what a test's script says, good or bad.

    async with ScriptedRelay() as relay:
        relay.on(Stage.RCPT, Say("550 5.1.1 no such user"), to="ada@example.org")
        relay.on(Stage.BODY, HangUp(taking=True), times=1)
        held = relay.hold(Stage.DATA, to="bob@example.org")
        ...
        await held.reached()
        held.release()
        await relay.has_taken(3)

Where no rule of the script fits it answers as a good relay would. `taken` holds every mail that it really took, in the order of
their arrival, whether or not it said so. Nothing here sleeps: a test waits for conditions, each with a deadline.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Literal, Self

from newsletter.delivery.relays import Relay

WITHIN = 10.0
"""Seconds that a test waits for what ought to happen at once."""

_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>]*>)", re.IGNORECASE | re.MULTILINE)
_PATH = re.compile(r"<([^>]*)>")


class Stage(StrEnum):
    """The moments at which a script can step in."""

    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """Before the answer to DATA."""
    GO_AHEAD = "go-ahead"
    """After the 354, before a byte of the body is read."""
    MIDWAY = "midway"
    """When the first bytes of the body are there."""
    BODY = "body"
    """After the last dot, before its answer."""
    RSET = "rset"


@dataclass(frozen=True)
class Say:
    """Answer this; lines of a longer answer are divided by line breaks. A 2xx after the last dot takes the mail."""

    reply: str | bytes


@dataclass(frozen=True)
class HangUp:
    """Close the connection without a word; `taking`: keep the mail that has just come."""

    taking: bool = False


MUTTERED_EVERY = 0.05
"""Seconds."""


@dataclass(frozen=True)
class Silence:
    """Say nothing until the client goes; `taking`: keep the mail that has just come; `muttering`: lines of an answer that never
    ends, one after the other."""

    taking: bool = False
    muttering: bool = False


class Hold:
    """Wait until the test says so, then do `then`, or go on as a good relay would."""

    def __init__(self, then: Say | HangUp | None = None) -> None:
        self.then = then
        self.holding = 0
        """Connections that were ever held here."""
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self, within: float = WITHIN) -> None:
        """Wait until a connection is held here."""
        async with asyncio.timeout(within):
            await self._reached.wait()

    def release(self) -> None:
        """From now on nobody is held."""
        self._released.set()

    def arrive(self) -> None:
        """The relay's side of it: one more is held."""
        self.holding += 1
        self._reached.set()

    async def wait(self) -> None:
        """The relay's side of it."""
        await self._released.wait()


Act = Say | HangUp | Silence | Hold


@dataclass
class _Rule:
    stage: Stage
    act: Act
    to: str | None
    left: int | None


@dataclass(frozen=True)
class Taken:
    """A mail that the relay took, as it was before SMTP doubled its dots."""

    sender: str
    recipient: str
    message_id: str
    data: bytes


class ScriptedRelay:
    """One listening port. `login`: user and password that it insists on; `token`: user and access token (XOAUTH2). `tls`:
    offers STARTTLS with this certificate."""

    def __init__(
        self,
        *,
        extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 10240000", "SMTPUTF8"),
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        token: tuple[str, str] | None = None,
        octet_by_octet: bool = False,
    ) -> None:
        self.extensions = extensions
        self.tls = tls
        self.login = login
        self.token = token
        self.octet_by_octet = octet_by_octet
        self.port = 0
        self.asks_for_any_body = False
        """Says 354 where no recipient was taken too, as RFC 2920 allows, and refuses what comes."""
        self.for_nobody: list[bytes] = []
        """The bodies that came then."""
        self.taken: list[Taken] = []
        self.begun: list[str] = []
        """Recipients in the order in which the first byte of their mail's body came."""
        self.commands: list[str] = []
        """Every line that was no part of a body."""
        self.sessions = 0
        """Connections that were ever made."""
        self.open_sessions = 0
        self.most_sessions = 0
        """Connections at the same time."""
        self.buffers: list[bytearray] = []
        self._rules: list[_Rule] = []
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._dialogs: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen; after a `close`, on the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """As if the machine were switched off: nobody is listened to, and all connections are gone."""
        if self._server is not None:
            self._server.close()
        for dialog in self._dialogs:
            dialog.cancel()
        await asyncio.gather(*self._dialogs, return_exceptions=True)

    def target(
        self,
        *,
        tls: Literal["starttls", "implicit", "never"] = "never",
        host: str = "127.0.0.1",
        user: str = "",
        password: str = "",
    ) -> Relay:
        """How to be told of this relay."""
        return Relay(host, self.port, user=user, password=password, tls=tls)

    # The script.

    def on(self, stage: Stage, act: Act, *, to: str | None = None, times: int | None = None) -> None:
        """At `stage` do `act`: for mails to `to` alone (known from RCPT on; at MAIL it is the sender), and
        only the next `times` times.

        Of the rules that fit the oldest counts.
        """
        self._rules.append(_Rule(stage, act, to, times))

    def hold(self, stage: Stage, *, to: str | None = None, times: int | None = None, then: Say | HangUp | None = None) -> Hold:
        """Stop there until the test releases it."""
        held = Hold(then)
        self.on(stage, held, to=to, times=times)
        return held

    @property
    def unread(self) -> bytes:
        """What clients have said that no dialog has got to yet."""
        return b"".join(map(bytes, self.buffers))

    def behave(self) -> None:
        """Forget the script; whoever is held is let go."""
        for rule in self._rules:
            if isinstance(rule.act, Hold):
                rule.act.release()
        self._rules.clear()

    def act_at(self, stage: Stage, recipient: str | None) -> Act | None:
        """What the script says; the relay's side of it."""
        for rule in self._rules:
            if rule.stage is stage and rule.left != 0 and rule.to in (None, recipient):
                if rule.left is not None:
                    rule.left -= 1
                return rule.act
        return None

    # What can be waited for and asked.

    async def until(self, condition: Callable[[], bool], within: float = WITHIN) -> None:
        """Wait until something that happens here makes it true."""
        async with asyncio.timeout(within):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def has_taken(self, mails: int, within: float = WITHIN) -> None:
        """Wait until so many mails were taken."""
        await self.until(lambda: len(self.taken) >= mails, within)

    def took(self) -> Counter[str]:
        """How many mails were taken for each recipient."""
        return Counter(mail.recipient for mail in self.taken)

    def message_ids(self) -> dict[str, set[str]]:
        """The different Message-IDs that each recipient got."""
        ids: dict[str, set[str]] = {}
        for mail in self.taken:
            ids.setdefault(mail.recipient, set()).add(mail.message_id)
        return ids

    def notice(self) -> None:
        """Something has happened."""
        self._changed.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._dialogs.add(task)
        self.sessions += 1
        self.open_sessions += 1
        self.most_sessions = max(self.most_sessions, self.open_sessions)
        self.notice()
        try:
            await _Dialog(self, reader, writer).run()
        except (_Over, OSError, asyncio.CancelledError):
            pass
        finally:
            self._dialogs.discard(task)
            writer.transport.abort()
            self.open_sessions -= 1
            self.notice()


class _Over(Exception):
    """The connection is at its end."""


@dataclass
class _Envelope:
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)

    @property
    def recipient(self) -> str | None:
        return self.recipients[-1] if self.recipients else None


class _Dialog:
    """One connection."""

    def __init__(self, relay: ScriptedRelay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relay = relay
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        relay.buffers.append(self._buffer)
        self._envelope = _Envelope()
        self._secure = False
        self._known = False

    async def run(self) -> None:
        if await self._acted(Stage.GREETING) is None:
            await self._say("220 relay.test ESMTP")
        while True:
            line = (await self._through(b"\r\n")).decode("utf-8", "surrogateescape")
            self._relay.commands.append(line)
            await self._answer(line)

    async def _answer(self, line: str) -> None:
        verb = line.partition(" ")[0].upper()
        match verb:
            case "EHLO" | "HELO":
                await self._ehlo()
            case "STARTTLS":
                await self._starttls()
            case "AUTH":
                await self._auth(line)
            case "MAIL" if (self._relay.login or self._relay.token) and not self._known:
                await self._say("530 5.7.0 Authentication required")
            case "MAIL":
                await self._mail(line)
            case "RCPT":
                await self._rcpt(line)
            case "DATA":
                await self._data()
            case "RSET":
                self._envelope = _Envelope()
                await self._answer_ok(Stage.RSET)
            case "QUIT":
                await self._say("221 2.0.0 bye")
                raise _Over
            case _:
                await self._say("500 5.5.1 what?")

    # The stages.

    async def _ehlo(self) -> None:
        if await self._acted(Stage.EHLO) is None:
            offered = list(self._relay.extensions)
            offered += ["STARTTLS"] if self._relay.tls and not self._secure else []
            offered += ["AUTH PLAIN"] if self._relay.login else []
            offered += ["AUTH XOAUTH2"] if self._relay.token else []
            await self._say("\n".join(["250 relay.test", *(f"250 {extension}" for extension in offered)]))

    async def _starttls(self) -> None:
        if await self._acted(Stage.STARTTLS) is None:
            assert self._relay.tls is not None
            await self._say("220 2.0.0 go on")
            try:
                await self._writer.start_tls(self._relay.tls)
            except (ssl.SSLError, OSError):
                raise _Over from None
            self._secure = True

    async def _auth(self, line: str) -> None:
        if await self._acted(Stage.AUTH) is None:
            _, method, given = line.split()
            said = base64.b64decode(given).decode()
            if method.upper() == "XOAUTH2":
                user, token = self._relay.token or ("", "")
                self._known = said == f"user={user}\x01auth=Bearer {token}\x01\x01"
            else:
                self._known = tuple(said.split("\0")[1:]) == self._relay.login
            await self._say("235 2.7.0 welcome" if self._known else "535 5.7.8 wrong")

    async def _mail(self, line: str) -> None:
        if await self._answer_ok(Stage.MAIL, who=_path(line)):
            self._envelope = _Envelope(_path(line))

    async def _rcpt(self, line: str) -> None:
        if self._envelope.sender is None:
            await self._say("503 5.5.1 no sender")
            return
        self._envelope.recipients.append(_path(line))
        if not await self._answer_ok(Stage.RCPT):
            self._envelope.recipients.pop()

    async def _data(self) -> None:
        if not self._envelope.recipients:
            if self._relay.asks_for_any_body:
                await self._say("354 go on")
                self._relay.for_nobody.append(await self._body())
                self._envelope = _Envelope()
            await self._say("503 5.5.1 no recipient")
            return
        if await self._acted(Stage.DATA) is not None:
            return
        await self._say("354 go on")
        await self._acted(Stage.GO_AHEAD)
        await self._fill()
        self._relay.begun += self._envelope.recipients
        self._relay.notice()
        await self._acted(Stage.MIDWAY)
        body = await self._body()
        if await self._acted(Stage.BODY, body) is None:
            self._take(body)
            await self._say("250 2.0.0 taken")
        self._envelope = _Envelope()

    async def _body(self) -> bytes:
        while True:
            if self._buffer.startswith(b".\r\n"):
                end = 0
            elif (found := self._buffer.find(b"\r\n.\r\n")) >= 0:
                end = found + 2
            else:
                await self._fill(more=True)
                continue
            body = bytes(self._buffer[:end])
            del self._buffer[: end + 3]
            return (b"\r\n" + body).replace(b"\r\n.", b"\r\n")[2:]

    def _take(self, body: bytes) -> None:
        found = _MESSAGE_ID.search(body)
        message_id = found[1].decode() if found else ""
        for recipient in self._envelope.recipients:
            self._relay.taken.append(Taken(self._envelope.sender or "", recipient, message_id, body))
        self._relay.notice()

    # Acting and talking.

    async def _answer_ok(self, stage: Stage, *, who: str | None = None) -> bool:
        """Whether the answer was a good one."""
        act = await self._acted(stage, who=who)
        if act is None:
            await self._say("250 2.0.0 fine")
        return act is None or (isinstance(act, Say) and act.reply[:1] in ("2", b"2"))

    async def _acted(self, stage: Stage, body: bytes | None = None, *, who: str | None = None) -> Act | None:
        """Do what the script says; None when the rest is to be done as usual."""
        act = self._relay.act_at(stage, who or self._envelope.recipient)
        if isinstance(act, Hold):
            act.arrive()
            self._relay.notice()
            await act.wait()
            act = act.then
        match act:
            case Say(reply):
                if body is not None and reply[:1] in ("2", b"2"):
                    self._take(body)
                await self._say(reply)
            case HangUp() | Silence():
                if act.taking and body is not None:
                    self._take(body)
                if isinstance(act, Silence):
                    if act.muttering:
                        await self._mutter()
                    while await self._reader.read(65536):
                        pass
                raise _Over
        return act

    async def _mutter(self) -> None:
        """Often enough that no wait for the next octet is a long one."""
        with contextlib.suppress(ConnectionError):
            while not self._writer.is_closing():
                self._writer.write(b"250-wait\r\n")
                await self._writer.drain()
                await asyncio.sleep(MUTTERED_EVERY)

    async def _say(self, reply: str | bytes) -> None:
        """An answer; all lines but the last get their dash."""
        lines = (reply.encode() if isinstance(reply, str) else reply).split(b"\n")
        raw = b"".join(line[:3] + b"-" + line[4:] + b"\r\n" for line in lines[:-1]) + lines[-1] + b"\r\n"
        pieces = [bytes([octet]) for octet in raw] if self._relay.octet_by_octet else [raw]
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0)  # No waiting: the others get their turn, so that each octet travels alone.

    async def _fill(self, *, more: bool = False) -> None:
        """Read until there is something (more)."""
        if more or not self._buffer:
            octets = await self._reader.read(65536)
            if not octets:
                raise _Over
            self._buffer += octets

    async def _through(self, mark: bytes) -> bytes:
        """What comes before `mark`, which is read too."""
        while (found := self._buffer.find(mark)) < 0:
            await self._fill(more=True)
        before = bytes(self._buffer[:found])
        del self._buffer[: found + len(mark)]
        return before


def _path(line: str) -> str:
    found = _PATH.search(line)
    return found[1] if found else ""


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = WITHIN, *, every: float = 0.002) -> None:
    """Wait until it is true, for what can only be asked: the state of a database, of a connection."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(every)
