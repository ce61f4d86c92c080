"""Ports to listen on."""

from __future__ import annotations

import contextlib
import socket


def free_port(*, neighbours: int = 0) -> int:
    """One that is free, as are so many after it."""
    while True:
        with contextlib.ExitStack() as taken, contextlib.suppress(OSError):
            port = int(taken.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])
            for number in range(1, neighbours + 1):
                taken.enter_context(socket.create_server(("127.0.0.1", port + number)))
            return port
