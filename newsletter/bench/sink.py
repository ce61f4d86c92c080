"""An SMTP server that takes everything and keeps nothing: Postfix's smtp-sink where it is installed, else one of our own.

python -m newsletter.bench.sink PORT
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import uvloop

READY_WITHIN = 10.0
_PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True)
class Sink:
    """Where it listens, and what it is called in the report."""

    host: str
    port: int
    kind: str


@asynccontextmanager
async def running_sink() -> AsyncIterator[Sink]:
    """A sink in a process of its own, on loopback."""
    port = _free_port()
    program = shutil.which("smtp-sink", path=_PLACES)
    if program:
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        arguments = (program, *user, f"127.0.0.1:{port}", "1000")
    else:
        arguments = (sys.executable, "-m", "newsletter.bench.sink", str(port))
    process = await asyncio.create_subprocess_exec(*arguments, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        await _listening(port, process)
        yield Sink("127.0.0.1", port, "smtp-sink" if program else "our own sink")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _listening(port: int, process: Process) -> None:
    async with asyncio.timeout(READY_WITHIN):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
    raise OSError(f"The sink ended by itself ({process.returncode}).")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class _Taking(asyncio.Protocol):
    """One connection. Speaks just enough SMTP, and answers a group of commands in one write."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self._in_body = False
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answers: list[bytes] = []
        while answer := self._step():
            answers.append(answer)
        if answers:
            self._transport.write(b"".join(answers))

    def _step(self) -> bytes:
        """Take one command or body off the buffer; nothing when it is not complete."""
        if self._in_body:
            _, end, rest = self._buffer.partition(b"\r\n.\r\n")
            if not end:
                return b""
            self._buffer, self._in_body = rest, False
            return b"250 2.0.0 Ok\r\n"
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return b""
        self._buffer = rest
        match line[:4].upper():
            case b"EHLO":
                return b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
            case b"DATA":
                self._in_body = True
                return b"354 go on\r\n"
            case b"QUIT":
                self._transport.close()
        return b"250 2.0.0 Ok\r\n"


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Taking, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
