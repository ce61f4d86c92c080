"""The score that SpamAssassin gives a letter, where it is installed: `spamc` where its daemon runs, else the program itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE

_WITHIN = 15.0
_SCORE = re.compile(rb"^(-?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)\s*$", re.MULTILINE)
_STATUS = re.compile(rb"^X-Spam-Status:.*?score=(-?\d+(?:\.\d+)?)\s+required=(\d+(?:\.\d+)?)", re.MULTILINE | re.DOTALL)


async def spam_score(message: bytes) -> tuple[float, float] | None:
    """Score and threshold; None where there is nobody to ask. The message is for nobody: it holds no reader's address."""
    for program, options, pattern in (("spamc", ("-c",), _SCORE), ("spamassassin", ("-L", "-t"), _STATUS)):
        path = shutil.which(program)
        found = pattern.search(await _said(path, options, message)) if path else None
        if found and float(found[2]) > 0:  # spamc says 0/0 where there is no daemon.
            return float(found[1]), float(found[2])
    return None


async def _said(path: str, options: tuple[str, ...], message: bytes) -> bytes:
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # Our secrets are not its business.
    process = await asyncio.create_subprocess_exec(path, *options, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=known)
    try:
        async with asyncio.timeout(_WITHIN):
            out, _ = await process.communicate(message)
    except (TimeoutError, OSError):
        return b""
    else:
        return out
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
