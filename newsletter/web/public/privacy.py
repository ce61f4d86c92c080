"""The privacy policy as it is now, and as it was published before."""

from __future__ import annotations

from aiohttp import web
from markupsafe import Markup

from newsletter.core.errors import NotFound
from newsletter.core.i18n import N_, languages, long_date
from newsletter.privacy.document import to_html
from newsletter.web.context import moment, services
from newsletter.web.render import language_of, page, prefix

routes = web.RouteTableDef()

_NOT_FOR_ROBOTS = ("/confirm/", "/unsubscribe/", "/data/", "/api/")


@routes.get("/privacy")
async def show(request: web.Request) -> web.Response:
    """What is true now, whatever was published."""
    language = language_of(request)
    shown = await services(request).policy.show(language)
    return page(
        request,
        "privacy.html",
        language,
        switch_to=languages(),
        shown=shown,
        today=long_date(moment(request), language),
        versions=[(each.version, long_date(each.published_at, language)) for each in shown.versions],
    )


@routes.get("/privacy/versions/{number}")
async def version(request: web.Request) -> web.Response:
    """As it was published, in the reader's language where it was published in that."""
    found, texts = await services(request).policy.version(_number(request))
    language = language_of(request, found.languages)
    return page(
        request,
        "privacy_version.html",
        language,
        switch_to=found.languages,
        number=found.version,
        date=long_date(found.published_at, language),
        text=Markup(to_html(texts[language])),  # noqa: S704  rendered from Markdown, in which all markup was escaped
    )


def _number(request: web.Request) -> int:
    """Raises `NotFound` for what is none."""
    given = request.match_info["number"]
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise NotFound(N_("There is no such version of the privacy policy."))
    return int(given)


@routes.get("/robots.txt")
async def robots(request: web.Request) -> web.Response:
    lines = [f"Disallow: {prefix(request)}{path}\n" for path in _NOT_FOR_ROBOTS]
    return web.Response(text="".join(["User-agent: *\n", *lines]))
