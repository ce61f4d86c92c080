"""The link in every letter: a page with one button for people, one-click for mail programs (RFC 8058).

The page that follows offers to take it back, and to delete the address at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from newsletter.core.i18n import long_date
from newsletter.subscribing.leaving import Unsubscribed
from newsletter.subscribing.lists import MailingList
from newsletter.subscribing.rules import Via
from newsletter.web.bodies import read_fields
from newsletter.web.context import moment, origin, services
from newsletter.web.render import language_of, page

routes = web.RouteTableDef()


@routes.post("/unsubscribe/undo")
async def undo(request: web.Request) -> web.Response:
    """The token is in the body: an address would stay in histories."""
    token = (await read_fields(request)).get("token", "")
    said = origin(request, f"{services(request).links.base_url}/unsubscribe/undo")
    mailing_list = await services(request).leaving.undo(token, said, now=moment(request))
    return _page(request, "undone.html", mailing_list)


@routes.post("/unsubscribe/delete")
async def delete(request: web.Request) -> web.Response:
    token = (await read_fields(request)).get("token", "")
    mailing_list = await services(request).leaving.erase_now(token, now=moment(request))
    return _page(request, "deleted.html", mailing_list)


@routes.get("/unsubscribe/{token}")
async def show(request: web.Request) -> web.Response:
    """Says nothing about the reader, since letters get forwarded."""
    mailing_list = await services(request).leaving.look(request.match_info["token"])
    return _page(request, "unsubscribe.html", mailing_list)


@routes.post("/unsubscribe/{token}")
async def unsubscribe(request: web.Request) -> web.StreamResponse:
    fields = await read_fields(request)
    if _is_one_click(fields):
        # RFC 8058 section 3.2: no redirect, no cookie, nothing to be asked; 200 again and again.
        await _unsubscribe(request, Via.ONE_CLICK, "List-Unsubscribe-Post")
        return web.Response(text="Unsubscribed.\n")
    if fields.get("do") != "unsubscribe":
        return await show(request)
    done = await _unsubscribe(request, Via.LINK, f"{services(request).links.base_url}/unsubscribe")
    return _after(request, done)


def _is_one_click(fields: Mapping[str, str]) -> bool:
    """RFC 8058 section 3.1 has this very spelling; a sender that changes its case still means it."""
    return any(name.lower() == "list-unsubscribe" and value.strip().lower() == "one-click" for name, value in fields.items())


async def _unsubscribe(request: web.Request, via: Via, form: str) -> Unsubscribed:
    token = request.match_info["token"]
    return await services(request).leaving.unsubscribe(token, via, origin(request, form), now=moment(request))


def _after(request: web.Request, done: Unsubscribed) -> web.Response:
    language = language_of(request, done.list.languages)
    erase_on = long_date(done.erase_at.astimezone(done.list.zone), language) if done.erase_at else None
    return _page(request, "unsubscribed.html", done.list, known=done.known, erase_on=erase_on, undo_token=done.undo_token)


def _page(request: web.Request, template: str, mailing_list: MailingList, **shown: Any) -> web.Response:
    language = language_of(request, mailing_list.languages)
    return page(
        request,
        template,
        language,
        sender=mailing_list.sender,
        switch_to=mailing_list.languages if request.method in ("GET", "HEAD") else (),
        name=mailing_list.text(language).name,
        **shown,
    )
