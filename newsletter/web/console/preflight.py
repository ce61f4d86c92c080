"""Before it is sent: every check on one page."""

from __future__ import annotations

from aiohttp import web

from newsletter.operators.rules import Right
from newsletter.web.console.guard import ConsoleRoutes
from newsletter.web.console.shell import console_page
from newsletter.web.console.writing import ONE
from newsletter.web.context import moment, services

routes = ConsoleRoutes()
WORDS = {"good": "good", "warn": "look at this", "bad": "mend this", "unknown": "not checked"}


@routes.get(f"{ONE}/preflight", Right.WRITE)
async def show(request: web.Request) -> web.Response:
    """Asks other sites whether the links answer: for those who write alone."""
    number = int(request.match_info["number"])
    page = await services(request).writing.page(number)
    return await console_page(
        request,
        "campaign_preflight.html",
        title="Before it is sent",
        page=page,
        report=await services(request).preflight.report(number, now=moment(request)),
        words=WORDS,
    )
