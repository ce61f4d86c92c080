"""The first page: readers over time, campaigns under way, promises, what needs a hand."""

from __future__ import annotations

from aiohttp import web

from newsletter.operators.rules import Right
from newsletter.web.console.guard import HOME, SESSION, ConsoleRoutes
from newsletter.web.console.shell import console_page
from newsletter.web.context import moment, services

routes = ConsoleRoutes()


@routes.get(HOME, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    return await console_page(
        request,
        "home.html",
        title=f"Hello, {request[SESSION].name}",
        campaigns=await services(request).campaigns.overview(size=5),
        standings=await services(request).outlook.standings(now=moment(request)),
    )
