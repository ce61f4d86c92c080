"""House: what `newsletter doctor` says, at the press of a button: it asks DNS, relays and our own address."""

from __future__ import annotations

from aiohttp import web

from newsletter.operators.doctor import ALL_WITHIN, Examination, tally
from newsletter.operators.rules import Right
from newsletter.web.console.guard import ConsoleRoutes
from newsletter.web.console.shell import console_page
from newsletter.web.context import CONSOLE, moment, services

DOCTOR = f"{CONSOLE}/doctor"
WORDS = {"good": "good", "warn": "look at it", "bad": "bad", "unknown": "unknown"}

routes = ConsoleRoutes()


@routes.get(DOCTOR, Right.OWN)
async def show(request: web.Request) -> web.Response:
    return await _doctor(request, None)


@routes.post(DOCTOR, Right.OWN)
async def examine(request: web.Request) -> web.Response:
    return await _doctor(request, await services(request).doctor.examine(now=moment(request)))


async def _doctor(request: web.Request, examination: Examination | None) -> web.Response:
    return await console_page(
        request,
        "doctor.html",
        title="Doctor",
        examination=examination,
        tally=tally(examination) if examination else "",
        words=WORDS,
        seconds=int(ALL_WITHIN),
    )
