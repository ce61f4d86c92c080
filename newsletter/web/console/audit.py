"""House: who did what, and what was refused; newest first, page by page."""

from __future__ import annotations

from aiohttp import web

from newsletter.operators.rules import Right
from newsletter.web.console.guard import ConsoleRoutes
from newsletter.web.console.shell import console_page
from newsletter.web.context import CONSOLE, services

AUDIT = f"{CONSOLE}/audit"
PAGE = 50
_NEWEST = 2**63 - 1
_LONGEST = 100

routes = ConsoleRoutes()


@routes.get(AUDIT, Right.OWN)
async def show(request: web.Request) -> web.Response:
    """`before`: the number that a page begins after; `operator`: whose lines alone."""
    operator, before = request.query.get("operator", "").strip()[:_LONGEST], request.query.get("before", "")
    found = await services(request).operators.log(
        before=int(before) if before.isascii() and before.isdigit() and len(before) <= 18 else _NEWEST,
        operator=operator or None,
        size=PAGE + 1,
    )
    return await console_page(
        request,
        "audit.html",
        title="Audit log",
        entries=found[:PAGE],
        older=found[PAGE - 1].audit_id if len(found) > PAGE else None,
        is_newest=not before,
        operator=operator,
        names=[each.name for each in await services(request).accounts.everybody()],
    )
