"""The operators' pages. Each parses, calls one service, renders; what a rule says, the service knows.

They work without JavaScript; one small script of ours makes them better. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

from aiohttp import web

from newsletter.web.console import (
    account,
    audit,
    campaigns,
    doctor,
    home,
    images,
    layouts,
    lists,
    live,
    operators,
    policy,
    preflight,
    promises,
    relays,
    requests,
    signin,
    subscribers,
    suppression,
    tokens,
    writing,
)
from newsletter.web.console.guard import ConsoleRoutes

PARTS: tuple[ConsoleRoutes, ...] = (
    signin.routes,
    account.routes,
    home.routes,
    campaigns.routes,
    live.routes,
    writing.routes,
    preflight.routes,
    layouts.routes,
    images.routes,
    lists.routes,
    subscribers.routes,
    promises.routes,
    policy.routes,
    requests.routes,
    suppression.routes,
    relays.routes,
    operators.routes,
    tokens.routes,
    audit.routes,
    doctor.routes,
)


def add_routes(app: web.Application) -> None:
    """Below /console."""
    for part in PARTS:
        app.add_routes(part.table)
