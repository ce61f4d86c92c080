"""Our side of an SMTP connection once aiosmtplib has opened it: commands go out as they are, replies come in in order.

It knows nothing of mails. What is written is never more than one mail and one envelope ahead of the replies, so nothing has to
be held back when the relay reads slowly: the wait for the reply, which has a time limit, is the flow control.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

LONGEST_REPLY = 64 * 1024
"""Octets of one reply, all its lines together; a relay that says more is not talking SMTP."""
_MARKS = (b" ", b"-", b"\r", b"")
"""What may stand behind a code: more text, more lines, or nothing."""


class Reply(NamedTuple):
    """`text` is without code and line ends; the lines of a longer reply are divided by line breaks."""

    code: int
    text: bytes


class ConnectionLost(Exception):
    """No (further) reply will come: closed by the relay, silent for too long, or not SMTP."""


class Pipeline(asyncio.Protocol):
    """Takes over a transport. `timeout`: seconds that one reply may take."""

    def __init__(self, transport: asyncio.Transport, *, timeout: float) -> None:
        self._transport = transport
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._replies: deque[Reply] = deque()
        self._buffer = b""
        self._lines: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._lost: str | None = None
        transport.set_protocol(self)

    @property
    def is_lost(self) -> bool:
        return self._lost is not None or self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """Whether the relay can be believed to wait for a command. A reply that nobody waited for was a farewell."""
        return not self.is_lost and not self._replies

    def write(self, *parts: bytes) -> None:
        """Send, in one go. What is written to a lost connection is lost too: the wait for the reply tells."""
        if self._lost is None:
            self._transport.writelines(parts)

    async def reply(self) -> Reply:
        """The next reply. Raises `ConnectionLost`."""
        while not self._replies:
            if self._lost is not None:
                raise ConnectionLost(self._lost)
            self._deadline = self._loop.time() + self._timeout
            if self._watch is None:
                self._watch = self._loop.call_at(self._deadline, self._look)
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._replies.popleft()

    def close(self, reason: str = "closed by us") -> None:
        """At once, whatever is still to be written."""
        if self._lost is None:
            self._transport.abort()
        self._end(reason)

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            code, mark = line[:3], line[3:4]
            if not code.isdigit() or mark not in _MARKS:
                return self.close("what the relay said is not SMTP")
            self._lines.append(line[4:].strip())
            if mark != b"-":
                self._replies.append(Reply(int(code), b"\n".join(self._lines)))
                self._lines.clear()
        if len(self._buffer) + sum(map(len, self._lines)) > LONGEST_REPLY:
            return self.close("what the relay said is not SMTP")
        if self._replies:
            self._wake()
        return None

    def eof_received(self) -> bool:
        self._end("closed by the relay")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("closed by the relay" if exc is None else type(exc).__name__)

    def _end(self, reason: str) -> None:
        if self._lost is None:
            self._lost = reason
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _look(self) -> None:
        """One timer for many waits: it looks whether the wait that is under way has lasted too long."""
        self._watch = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._deadline:
            self.close("no answer in time")
        else:
            self._watch = self._loop.call_at(self._deadline, self._look)
