"""Our side of an SMTP connection once aiosmtplib has opened it: commands go out as they are, replies come in in order.

It knows nothing of mails. What is written is never more than one mail and one envelope ahead of the replies, so nothing has to
be held back when the relay reads slowly: the wait for the reply, which has a time limit, is the flow control. Replies go to a
listener by plain calls and not through tasks and futures: at ten thousand mails a second those would be half of the work.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

LONGEST_REPLY = 64 * 1024
"""Octets of one reply, all its lines together; a relay that says more is not talking SMTP."""
_MARKS = (b" ", b"-", b"\r", b"")
"""What may stand behind a code: more text, more lines, or nothing."""
_NOT_SMTP = "what the relay said is not SMTP"


class Reply(NamedTuple):
    """`text` is without code and line ends; the lines of a longer reply are divided by line breaks."""

    code: int
    text: bytes


MOST_KNOWN = 200
_KNOWN: dict[bytes, Reply] = {}
"""Lines that relays say again and again, as they were understood: "250 2.1.0 Ok" and the like."""


class Listener(Protocol):
    """Who waits for replies."""

    def heard(self, reply: Reply) -> None:
        """The next one."""

    def gone(self, reason: str) -> None:
        """No further one will come: closed by the relay, silent for too long, or not SMTP."""


class Pipeline(asyncio.Protocol):
    """Takes over a transport. `timeout`: seconds that one reply may take."""

    def __init__(self, transport: asyncio.Transport, *, timeout: float) -> None:
        self._transport = transport
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._buffer = b""
        self._lines: list[bytes] = []
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._is_lost = False
        transport.set_protocol(self)
        # What is written goes to the kernel at once and not at the end of the loop's turn: between the permission for a body
        # and its first byte there is to be no time in which a process could be stopped.
        transport.set_write_buffer_limits(high=0)

    @property
    def is_lost(self) -> bool:
        return self._is_lost or self._transport.is_closing()

    def listen(self, listener: Listener | None) -> None:
        """From now on replies are for that one. While nobody listens a reply is a farewell, and ends the connection."""
        self._listener = listener
        self._heard_at = self._loop.time()
        if listener is not None and self._is_lost:
            self._loop.call_soon(self._end, "closed by the relay")
        elif listener is not None and self._watch is None:
            self._watch = self._loop.call_at(self._heard_at + self._timeout, self._look)

    def write(self, *parts: bytes) -> None:
        """Send, in one go. What is written to a lost connection is lost too; the listener was told."""
        if not self._is_lost:
            self._transport.writelines(parts)

    def close(self, reason: str = "closed by us") -> None:
        """At once, whatever is still to be written."""
        if not self._is_lost:
            self._transport.abort()
        self._end(reason)

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            if self._is_lost:
                return None
            if (known := _KNOWN.get(line)) is not None and not self._lines:
                self._tell(known)
                continue
            code, mark = line[:3], line[3:4]
            if not code.isdigit() or mark not in _MARKS:
                return self.close(_NOT_SMTP)
            if mark == b"-":
                self._lines.append(line[4:].strip())
            elif self._lines:
                text = b"\n".join([*self._lines, line[4:].strip()])
                self._lines.clear()
                self._tell(Reply(int(code), text))
            else:
                reply = Reply(int(code), line[4:].strip())
                if len(_KNOWN) < MOST_KNOWN:
                    _KNOWN[line] = reply
                self._tell(reply)
        if len(self._buffer) + sum(map(len, self._lines)) > LONGEST_REPLY:
            return self.close(_NOT_SMTP)
        return None

    def eof_received(self) -> bool:
        self._end("closed by the relay")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("closed by the relay" if exc is None else type(exc).__name__)

    def _tell(self, reply: Reply) -> None:
        self._heard_at = self._loop.time()  # A part of a reply is none: a relay could take for ever over it, octet by octet.
        if self._listener is not None:
            self._listener.heard(reply)
        else:
            self.close("closed by the relay")

    def _end(self, reason: str) -> None:
        self._is_lost = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.gone(reason)

    def _look(self) -> None:
        """One timer for many waits: it looks whether the relay was silent for too long, if anybody waits for it."""
        self._watch = None
        if self._listener is None:
            return
        deadline = self._heard_at + self._timeout
        if self._loop.time() >= deadline:
            self.close("no answer in time")
        else:
            self._watch = self._loop.call_at(deadline, self._look)
