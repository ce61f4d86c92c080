"""A campaign as it goes, by server-sent events: what the page shows at first, and then once a second at most.

A stream ends with its campaign, with its session, and when the server is told to stop; whoever is gone is noticed within a
second. The figures come from the poller that all who watch a campaign share.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiohttp import web

from newsletter.campaigns.paces import Pace, Paces
from newsletter.campaigns.watching import Progress, Watch, rates
from newsletter.core.errors import DatabaseError, TooMany
from newsletter.operators.rules import Right
from newsletter.web.console.curves import Curve, curve
from newsletter.web.console.guard import SESSION, ConsoleRoutes, cookie
from newsletter.web.console.shell import percent
from newsletter.web.context import CONSOLE, services

ONE: Final = f"{CONSOLE}/campaigns/{{number:[0-9]{{1,9}}}}"
LOOK_AROUND = 1.0
"""Seconds between two looks at whether the browser is still there."""
AT_MOST_EVERY = 1.0
HEARTBEAT = 15.0
"""Seconds of silence that proxies stand."""
CHECK_SESSION = 20.0
STEP = timedelta(seconds=3)
"""Of the rate's chart."""
_TENTH = 10

MOST_STREAMS = 20
"""Of one operator at a time, by each process: as many tabs as anybody has open, and few enough to be no burden."""

STOPPING = web.AppKey("stopping", asyncio.Event)
STREAMS = web.AppKey("streams", Counter[int])

routes = ConsoleRoutes()


def prepare(app: web.Application) -> None:
    """Streams end when the server is told to stop: it would wait for them."""
    app[STOPPING] = asyncio.Event()
    app[STREAMS] = Counter()

    async def stop(app: web.Application) -> None:
        app[STOPPING].set()

    app.on_shutdown.append(stop)


@routes.get(f"{ONE}/events", Right.LOOK)
async def events(request: web.Request) -> web.StreamResponse:
    number = int(request.match_info["number"])
    zone = ZoneInfo((await services(request).campaigns.status(number)).time_zone)
    with _one_of_few(request):
        # Buffered by a proxy they would come all at once.
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        async with services(request).watching.watch(number) as watch:
            with contextlib.suppress(ConnectionResetError):  # The browser has gone.
                await _stream(request, response, watch, zone)
    return response


@contextlib.contextmanager
def _one_of_few(request: web.Request) -> Iterator[None]:
    """Raises `TooMany`."""
    streams, who = request.app[STREAMS], request[SESSION].operator_id
    if streams[who] >= MOST_STREAMS:
        raise TooMany(f"You are watching in {MOST_STREAMS} windows already: close some of them first.", retry_after=60)
    streams[who] += 1
    try:
        yield
    finally:
        streams[who] -= 1
        if not streams[who]:
            del streams[who]


async def _stream(request: web.Request, response: web.StreamResponse, watch: Watch, zone: ZoneInfo) -> None:
    clock = asyncio.get_running_loop().time
    checked = spoken = clock()
    before = b""
    await response.write(b"retry: 3000\n\n")
    while not request.app[STOPPING].is_set() and _is_there(request):
        progress = await watch.next(within=LOOK_AROUND)
        if clock() - checked >= CHECK_SESSION:
            checked = clock()
            if not await _is_signed_in(request):
                await response.write(b"event: signed-out\ndata: {}\n\n")
                return
        if progress is not None and (message := event(progress, zone)) != before:
            await response.write(message)
            before, spoken = message, clock()
            if progress.is_live:
                await _pause(request)
        elif clock() - spoken >= HEARTBEAT:
            await response.write(b": still here\n\n")
            spoken = clock()
        if watch.is_over:
            await response.write(b"event: end\ndata: {}\n\n")
            return


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


async def _pause(request: web.Request) -> None:
    """Or, having come in between two looks, a browser would be told twice within a second."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(request.app[STOPPING].wait(), AT_MOST_EVERY)


async def _is_signed_in(request: web.Request) -> bool:
    """Looking on is no use that keeps a session from falling idle. A database that is away ends none."""
    try:
        now = services(request).clock.now()
        session = await services(request).sessions.session(cookie(request), now=now, is_use=False)
    except DatabaseError:
        return True
    return session is not None and session.may(Right.LOOK)


@functools.lru_cache(maxsize=64)
def event(progress: Progress, zone: ZoneInfo) -> bytes:
    """Made once for all who watch."""
    return f"data: {json.dumps(told(progress, zone), separators=(',', ':'))}\n\n".encode()


def told(progress: Progress, zone: ZoneInfo) -> dict[str, Any]:
    """Every figure of the page that moves, as it is written there."""
    chart, now_rate = rate_curve(progress), progress.rate
    done = progress.done * 100 // progress.readers if progress.readers else 0
    return {
        "state": progress.state,
        "percent": done,
        "figures": {
            "line": _line(progress, now_rate),
            "accepted": f"{progress.accepted:,}",
            "accepted-share": f"{percent(progress.accepted, progress.readers)} of the readers",
            "deferred": f"{progress.deferred:,}",
            "deferred-next": _next(progress, zone),
            "failed": f"{progress.failed:,}",
            "failed-share": f"{percent(progress.failed, progress.readers)} of the readers",
            "uncertain": f"{progress.uncertain:,}",
            "skipped": f"{progress.skipped:,}",
            "slow-others": _others(progress.paces),
        },
        "paces": {each.domain: pace_words(each) for each in progress.paces.named},
        # Changes at every tenth alone: a screen reader that spoke each second would speak of nothing else.
        "said": f"{progress.state.capitalize()}: {done // _TENTH * _TENTH} percent of the readers are done.",
        "rate": {"line": chart.line, "area": chart.area, "labels": chart.labels, "words": rate_words(progress)},
    }


def rate_curve(progress: Progress) -> Curve:
    points = rates(progress.marks, width=STEP)
    start = points[0][0] if points else progress.at
    return curve([((at - start).total_seconds(), rate) for at, rate in points])


def rate_words(progress: Progress) -> str:
    return f"Messages a second over the last minute; {number(progress.rate)} a second now."


def pace_words(pace: Pace) -> str:
    """Beside its domain."""
    said = f"{'slowed down to' if pace.is_slowed else 'at most'} {number(pace.rate)} a second"
    return f"{said}, mails wait for their turn" if pace.waits else said


def _others(paces: Paces) -> str:
    """Nothing where there are none."""
    if not paces.others:
        return ""
    beside = ", beside those above" if paces.named else ""
    which = "domain that is" if paces.others == 1 else "domains that are"
    return f"Slowed down or with mails in line{beside}: {paces.others:,} {which} not named here."


def number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _line(progress: Progress, rate: float) -> str:
    parts = [f"{progress.done:,} of {progress.readers:,}"]
    if progress.state == "sending" and rate:
        parts.append(f"{number(rate)} a second")
    if progress.state == "sending" and (left := progress.left) is not None:
        parts.append(f"{span(left)} left")
    return " · ".join(parts)


def _next(progress: Progress, zone: ZoneInfo) -> str:
    if not progress.deferred:
        return "nothing waits"
    if progress.state != "sending" or progress.next_due is None or progress.next_due <= progress.at:
        return "tried again later" if progress.is_live else "not tried again"
    return f"next try {clock_time(progress.next_due, progress.at, zone)}"


def clock_time(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """`at 14:32`, with the day where it is another."""
    there = moment.astimezone(zone)
    same_day = there.date() == now.astimezone(zone).date()
    return f"at {there:%H:%M}" if same_day else f"on {there.day} {there:%B} at {there:%H:%M}"


def span(length: timedelta) -> str:
    """Roughly, in the two units that matter."""
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
