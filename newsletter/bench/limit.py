"""What a sender could do that knows nothing: the same bytes, pipelined, without database, readers or outcomes."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import cast

from newsletter.bench.sink import Sink

_ENVELOPE = b"MAIL FROM:<letter@bench.example>\r\nRCPT TO:<reader@bench.example>\r\nDATA\r\n"


class _Pushing(asyncio.Protocol):
    """One connection: the next envelope goes out behind each body, answers are counted and not looked at."""

    def __init__(self, mail: bytes, count: int, done: asyncio.Future[None]) -> None:
        self._body = mail + b".\r\n"
        self._left = count
        self._done = done
        self._lines = 0
        self._wanted = 1
        self._said_hello = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._said_hello:
            self._lines += data.count(b"\n")
        elif b"220 " in data:
            self._transport.write(b"EHLO bench\r\n")
            return
        elif b"250 " in data:
            self._said_hello = True
            self._wanted = 3
            self._transport.write(_ENVELOPE)
            return
        if self._lines < self._wanted:
            return
        self._lines = 0
        if self._left == 0:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left -= 1
        self._wanted = 4 if self._left else 1
        self._transport.writelines([self._body, _ENVELOPE] if self._left else [self._body])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("The sink closed the connection."))


async def limit(sink: Sink, mail: bytes, *, messages: int, connections: int) -> float:
    """Messages per second of that mail, over so many connections."""
    loop = asyncio.get_running_loop()
    connections = min(connections, messages)
    done = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for each in done:
        await loop.create_connection(partial(_Pushing, mail, messages // connections, each), sink.host, sink.port)
    await asyncio.gather(*done)
    return messages // connections * connections / (time.perf_counter() - began)
