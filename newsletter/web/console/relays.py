"""House: the relays of the settings, how each stands, and a button that tries one without a mail."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from newsletter.core.errors import NotFound, RelayUnreachable
from newsletter.operators.rules import Right
from newsletter.web.console.guard import FORM, ConsoleRoutes
from newsletter.web.console.shell import console_page
from newsletter.web.context import CONSOLE, moment, services

RELAYS = f"{CONSOLE}/relays"
EXTENSIONS = ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "AUTH")
"""That we have a use for."""

routes = ConsoleRoutes()


@routes.get(RELAYS, Right.OWN)
async def show(request: web.Request) -> web.Response:
    return await _relays(request)


@routes.post(RELAYS, Right.OWN)
async def test(request: web.Request) -> web.Response:
    """Connects, encrypts, logs in, and sends nothing."""
    name = request[FORM].get("relay", "")
    try:
        return await _relays(request, tested=name, announced=await services(request).relays.test(name))
    except RelayUnreachable as error:
        return await _relays(request, tested=name, trouble=str(error))
    except NotFound:
        raise NotFound("There is no relay of that name in the settings.") from None


async def _relays(request: web.Request, *, tested: str = "", announced: Any = None, trouble: str = "") -> web.Response:
    now, its = moment(request), services(request).relays
    return await console_page(
        request,
        "relays.html",
        title="Relays",
        standings=await its.standings(now=now),
        workers=await its.workers(now=now),
        queue=await its.queue(),
        failed=await its.failed(),
        kinds=KINDS,
        extensions=EXTENSIONS,
        tested=tested,
        announced=announced,
        trouble_said=trouble,
    )


KINDS = {
    "confirm": "please confirm",
    "already": "you are subscribed already",
    "welcome": "welcome to a list",
    "data": "link to one's data",
    "contact": "message about data",
    "notice": "notice",
    "operator": "link for an operator",
}
"""What single mails are about."""
