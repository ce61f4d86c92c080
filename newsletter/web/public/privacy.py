"""How we treat addresses: the promises as this installation keeps them, and who answers for it."""

from __future__ import annotations

from aiohttp import web

from newsletter.core.i18n import languages, translations
from newsletter.subscribing.lists import all_lists
from newsletter.web.context import services
from newsletter.web.render import language_of, page, prefix

routes = web.RouteTableDef()

_NOT_FOR_ROBOTS = ("/confirm/", "/unsubscribe/", "/data/", "/api/")


@routes.get("/privacy")
async def show(request: web.Request) -> web.Response:
    """Every sender that has a list, closed or private ones too: their readers come here by the link in their mail."""
    language = language_of(request)
    senders = {each.sender.sender_id: each.sender for each in await all_lists(services(request).db)}
    return page(
        request,
        "privacy.html",
        language,
        switch_to=languages(),
        promises=services(request).retention.sentences(translations(language)),
        senders=list(senders.values()),
    )


@routes.get("/robots.txt")
async def robots(request: web.Request) -> web.Response:
    lines = [f"Disallow: {prefix(request)}{path}\n" for path in _NOT_FOR_ROBOTS]
    return web.Response(text="".join(["User-agent: *\n", *lines]))
