"""What a database gives away: all of it, as a backup would hold it."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server


async def dump(server: Server, url: str) -> bytes:
    """By pg_dump, as SQL."""
    program = server.bin / "pg_dump" if server.bin else Path(shutil.which("pg_dump") or pytest.skip("pg_dump is not installed"))
    process = await asyncio.create_subprocess_exec(
        program, "--dbname", url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"PATH": os.defpath}
    )
    written, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return written


def forms(text: str) -> Iterator[bytes]:
    """How it may stand there: in plain, in hex (as bytea is dumped) and in base64, however it is aligned in that."""
    plain = text.encode()
    yield plain
    yield from hidden_forms(text)


def hidden_forms(text: str) -> Iterator[bytes]:
    """All but the plain one."""
    plain = text.encode()
    yield plain.hex().encode()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + plain)
        yield encoded[4 if offset else 0 : len(encoded) - 4]
