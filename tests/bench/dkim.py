"""How many mails a second can be signed, and for how long the loop stands still meanwhile. Prints figures, asserts nothing.

    python -m tests.bench.dkim

"idle": the loop waits for signatures alone. "busy": beside it something else runs all the time in steps of 50 µs, as when a
campaign is made out. "threads" is what a ThreadPoolExecutor would give, for comparison.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from newsletter.delivery.dkim import KINDS, DkimKey, Signers, Unsigned, generate_key, load_private_key, prepare, signed
from newsletter.delivery.dkim_process import _sign

SECONDS = 3.0
SLICE = 32
STEP = 50e-6
HEAD = (
    b"From: Society <letter@society.example>\r\nReply-To: office@society.example\r\nTo: reader@example.org\r\n"
    b"Subject: The long tide\r\nDate: Sat, 21 Nov 2026 15:05:00 +0100\r\nMessage-ID: <abc.1@society.example>\r\n"
    b"List-Id: <letter.news.example.org>\r\nList-Unsubscribe: <https://news.example.org/unsubscribe/%s>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Help: <https://news.example.org/privacy>\r\n"
    b"Feedback-ID: c1:l1:campaign:newsletter\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative;\r\n boundary="=_abc"\r\n' % (b"x" * 100)
)

Sign = Callable[[list[Unsigned]], Awaitable[list[bytes]]]


async def main() -> None:
    for kind in KINDS:
        key = DkimKey("society.example", "news1", load_private_key(generate_key(kind)))
        how_dear_it_is_to_prepare(key)
        for count in (1, 2):
            signers = Signers(count)
            for busy in (False, True):

                async def by_process(mails: list[Unsigned], signers: Signers = signers, key: DkimKey = key) -> list[bytes]:
                    return await signers.sign(mails, key)

                await measure(f"{kind:<8} {count} process{'es' if count > 1 else '  '}", by_process, key, count, busy=busy)
            memory = [memory_of(slot.process.pid) for slot in signers._all if slot.process]
            print(f"dkim  {kind:<8} memory of a process: {max(memory):.0f} MB")
            await signers.close()
        with ThreadPoolExecutor(2) as pool:
            for busy in (False, True):

                async def by_thread(mails: list[Unsigned], pool: ThreadPoolExecutor = pool, key: DkimKey = key) -> list[bytes]:
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(pool, lambda: [_sign(key.private_key, mail.digest) for mail in mails])

                await measure(f"{kind:<8} 2 threads  ", by_thread, key, 2, busy=busy)


def how_dear_it_is_to_prepare(key: DkimKey) -> None:
    at, best = datetime.now(UTC), 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(2000):
            prepare(HEAD, bytes(32), key, at)
        best = min(best, time.perf_counter() - began)
    unsigned = prepare(HEAD, bytes(32), key, at)
    began = time.perf_counter()
    for _ in range(2000):
        signed(unsigned, bytes(256 if key.kind == "rsa" else 64))
    joined = time.perf_counter() - began
    print(f"dkim  {key.kind:<8} prepare {best / 2000 * 1e6:.0f} µs a mail, signed {joined / 2000 * 1e6:.0f} µs")


async def measure(what: str, sign: Sign, key: DkimKey, parallel: int, *, busy: bool) -> None:
    """Preparing and joining included, as in a worker."""
    done, stall, stop = 0, 0.0, time.perf_counter() + SECONDS

    async def feed() -> None:
        nonlocal done
        while time.perf_counter() < stop:
            unsigned = [prepare(HEAD, bytes(32), key, datetime.now(UTC)) for _ in range(SLICE)]
            list(map(signed, unsigned, await sign(unsigned)))
            done += SLICE

    async def watch() -> None:
        nonlocal stall
        last = time.perf_counter()
        while last < stop:
            if busy:
                burn(STEP)
            await asyncio.sleep(0 if busy else 0.001)
            stall, last = max(stall, time.perf_counter() - last - (STEP if busy else 0.001)), time.perf_counter()

    await sign([prepare(HEAD, bytes(32), key, datetime.now(UTC))])
    began = time.perf_counter()
    await asyncio.gather(watch(), *(feed() for _ in range(parallel + 1)))
    took = time.perf_counter() - began
    print(f"dkim  {what} {'busy' if busy else 'idle'}  {done / took:7.0f} signatures/s, longest stall {stall * 1000:5.1f} ms")


def burn(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def memory_of(pid: int) -> float:
    """At its peak, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    uvloop.run(main())
