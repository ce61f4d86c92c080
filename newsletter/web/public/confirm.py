"""The two links of a confirmation mail. Opening one changes nothing, since mail scanners open them all; its button does."""

from __future__ import annotations

from aiohttp import web

from newsletter.core.i18n import translations
from newsletter.subscribing.confirming import Confirmable
from newsletter.web.bodies import read_fields
from newsletter.web.context import moment, origin, services
from newsletter.web.public.sentences import promise
from newsletter.web.render import language_of, page

routes = web.RouteTableDef()


@routes.get("/confirm/{token}")
async def show(request: web.Request) -> web.Response:
    found = await services(request).confirming.look(request.match_info["token"], now=moment(request))
    return _page(request, "confirmed.html" if found.already else "confirm.html", found)


@routes.post("/confirm/{token}")
async def confirm(request: web.Request) -> web.StreamResponse:
    if (await read_fields(request)).get("do") != "confirm":
        return await show(request)
    said = origin(request, _address(request, "/confirm"))
    done = await services(request).confirming.confirm(request.match_info["token"], said, now=moment(request))
    return _page(request, "confirmed.html", done)


@routes.get("/confirm/{token}/refuse")
async def show_refuse(request: web.Request) -> web.Response:
    found = await services(request).confirming.look(request.match_info["token"], now=moment(request))
    return _page(request, "refuse.html", found)


@routes.post("/confirm/{token}/refuse")
async def refuse(request: web.Request) -> web.StreamResponse:
    if (await read_fields(request)).get("do") != "refuse":
        return await show_refuse(request)
    said = origin(request, _address(request, "/confirm/refuse"))
    done = await services(request).confirming.refuse(request.match_info["token"], said, now=moment(request))
    return _page(request, "refused.html", done)


def _address(request: web.Request, path: str) -> str:
    """As evidence, without the token."""
    return services(request).links.base_url + path


def _page(request: web.Request, template: str, found: Confirmable) -> web.Response:
    spoken = tuple(dict.fromkeys([found.language, *(each for one in found.lists for each in one.languages)]))
    language = language_of(request, spoken, asked=found.language)
    return page(
        request,
        template,
        language,
        sender=found.lists[0].sender,
        switch_to=spoken if request.method in ("GET", "HEAD") else (),
        names=[each.text(language).name for each in found.lists],
        already=found.already,
        confirmed=found.confirmed,
        token=request.match_info["token"],
        promise=promise(request, "unconfirmed", translations(language)),
    )
