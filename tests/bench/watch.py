"""Whether it costs a worker anything that a campaign is watched: sent to 100,000 without and with five browsers, in turn.

The worker, the sink and the web server are processes of their own, the browsers are ours.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession

from newsletter.app import House
from newsletter.bench.sink import running_sink
from newsletter.operators.sessions import From
from tests.bench.stage import begun, bench_house, populate, settings_of, workers
from tests.ports import free_port

READERS = int(os.environ.get("BENCH_READERS", "100000"))
BROWSERS = 5
PASSWORD = "tide lamp slip boots"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """What one campaign took, and when each browser was told something."""

    cpu_us: float
    """Of the worker, for each message."""
    web_cpu: float
    """Seconds of the web server, all in all."""
    seconds: float
    told: list[list[float]]


async def watch() -> None:
    """Four campaigns: unwatched, watched, and both again, since what else this machine does changes meanwhile."""
    async with bench_house() as house, running_sink() as sink:
        await populate(house, READERS)
        address, cookie = f"http://127.0.0.1:{free_port()}", await _signed_in(house)
        async with (
            workers(house, 1, f"smtp://{sink.host}:{sink.port}?starttls=never") as (worker,),
            _serving(house, address) as server,
        ):
            runs: dict[int, list[Run]] = {0: [], BROWSERS: []}
            for browsers in (0, BROWSERS, 0, BROWSERS):
                runs[browsers].append(await _run(house, worker, server, f"{address}/console/campaigns", cookie, browsers))
                _print(browsers, runs[browsers][-1])
    bare, watched = (statistics.mean(run.cpu_us for run in runs[browsers]) for browsers in (0, BROWSERS))
    print(f"watch      {bare:6.1f} µs of the worker a message unwatched, {watched:.1f} µs watched: {watched / bare - 1:+.1%}")


async def _run(house: House, worker: Process, server: Process, pages: str, cookie: str, browsers: int) -> Run:
    worked, served, began = _cpu(worker), _cpu(server), time.perf_counter()
    number = await begun(house)
    watching = [asyncio.create_task(_browser(f"{pages}/{number}/events", cookie)) for _ in range(browsers)]
    while (await house.campaigns.status(number)).state == "sending":
        await asyncio.sleep(0.5)
    seconds = time.perf_counter() - began
    told = list(await asyncio.gather(*watching))
    return Run((_cpu(worker) - worked) / READERS * 1e6, _cpu(server) - served, seconds, told)


def _print(browsers: int, run: Run) -> None:
    print(
        f"watch      {browsers} browsers: {READERS / run.seconds:8,.0f} messages a second, {run.cpu_us:.1f} µs of the worker a "
        f"message, {run.web_cpu:.2f} s of the web server"
    )
    for number, times in enumerate(run.told, 1):
        gaps = [later - sooner for sooner, later in pairwise(times)]
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0
        closest = min(gaps, default=0)
        print(f"watch        browser {number}: {len(times)} updates, {rate:.2f} a second, {closest:.2f} s apart at least")


async def _browser(address: str, cookie: str) -> list[float]:
    """When each update came, until the campaign ended."""
    told: list[float] = []
    headers = {"Cookie": f"session={cookie}"}
    async with ClientSession(headers=headers) as session, session.get(address, timeout=None) as answer:
        async for line in answer.content:
            if line.startswith(b"event: end"):
                break
            if line.startswith(b"data: "):
                told.append(time.perf_counter())
    return told


async def _signed_in(house: House) -> str:
    now = house.clock.now()
    invited = await house.accounts.invite("Bench", "viewer", "bench@house.example", now=now)
    await house.accounts.welcome(urlsplit(invited.link).path.rpartition("/")[2], PASSWORD, now=now)
    return (await house.sessions.sign_in("bench@house.example", PASSWORD, From("127.0.0.1", "bench"), now=now)).cookie


@asynccontextmanager
async def _serving(house: House, address: str) -> AsyncIterator[Process]:
    """A real web server."""
    environment = {**os.environ, **settings_of(house), "NEWSLETTER_BASE_URL": address}
    port = str(urlsplit(address).port)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "newsletter", "serve", "--host", "127.0.0.1", "--port", port, env=environment, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(30), ClientSession() as session:
            while not await _answers(session, address):
                await asyncio.sleep(0.05)
        yield process
    finally:
        process.terminate()
        await process.wait()


async def _answers(session: ClientSession, address: str) -> bool:
    try:
        async with session.get(f"{address}/healthz") as answer:
            return answer.status == 200
    except ClientError:
        return False


def _cpu(process: Process) -> float:
    """Seconds that it has computed, in its own code and in the kernel's."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
