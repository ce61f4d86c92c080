"""Signing up: the hosted page, the form that any site may embed, and the same in JSON.

The answer is one and the same whatever is known of the address; what its state calls for is decided later, by a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from yarl import URL

from newsletter.core.errors import InvalidInput
from newsletter.core.i18n import N_, languages, translations
from newsletter.subscribing.joining import SignupForm
from newsletter.subscribing.lists import SLUG, MailingList, open_lists
from newsletter.subscribing.mails import consent_wording, wording_code
from newsletter.web.bodies import JSON, Malformed, media_type, read_form, read_json
from newsletter.web.context import LEADS_TO, OPEN_TO, moment, origin, services
from newsletter.web.problems import wants_json
from newsletter.web.public.sentences import promise
from newsletter.web.render import language_of, page, prefix

_ALLOWED = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Max-Age": "600",
}

routes = web.RouteTableDef()


@dataclass(frozen=True)
class Asked:
    """What a form or a program handed in."""

    email: str
    lists: tuple[str, ...]
    """Short names, the one in the path first."""
    language: str
    form: str
    """Where it was said: the address of the page, or "api"."""
    name: str = ""
    back: str = ""
    """A page of the site's choice to go to afterwards."""
    wording: str = ""
    """Which words the form shows: the code of them that it was made with."""
    trapped: bool = False
    """A field that people do not see was filled in."""


class SignupBody(BaseModel):
    """What a program sends."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    email: str
    name: str | None = None
    lists: list[str] | None = None
    language: str | None = None


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    query = {"lang": request.query["lang"]} if request.query.get("lang") in languages() else {}
    raise web.HTTPFound(URL(f"{prefix(request)}/subscribe/").with_query(query))


@routes.get("/subscribe")
@routes.get("/subscribe/")
async def index(request: web.Request) -> web.Response:
    lists = await open_lists(services(request).db)
    return page(request, "index.html", language_of(request), switch_to=languages(), lists=lists)


@routes.get(f"/subscribe/{{list:{SLUG}}}")
async def show(request: web.Request) -> web.Response:
    """One list, and those that `?list=` adds: so a form that asked for several can be shown again."""
    slugs = (request.match_info["list"], *request.query.getall("list", []))
    lists = await open_lists(services(request).db, slugs)
    language = language_of(request, lists[0].languages)
    return _form_page(request, lists, Asked("", (), language, ""))


@routes.options(f"/subscribe/{{list:{SLUG}}}")
async def preflight(request: web.Request) -> web.Response:
    """Whether a script of another site may send JSON (WHATWG Fetch, CORS protocol): those that a form may return to may."""
    await _open_list(request)
    return web.Response(status=204, headers=_ALLOWED if OPEN_TO in request else {})


@routes.post(f"/subscribe/{{list:{SLUG}}}")
async def subscribe(request: web.Request) -> web.Response:
    mailing_list = await _open_list(request)
    asked = await (_from_json(request, mailing_list) if media_type(request) == JSON else _from_form(request, mailing_list))
    try:
        if asked.trapped:
            lists = await open_lists(services(request).db, asked.lists)
        else:
            lists = await services(request).joining.request(_signup(request, asked), now=moment(request))
    except InvalidInput as error:
        if wants_json(request) or error.field not in ("email", "name"):
            raise
        return _form_page(request, await open_lists(services(request).db, asked.lists), asked, error)
    return _accepted(request, lists, asked)


async def _open_list(request: web.Request) -> MailingList:
    """The list in the path; from then on, errors too can be read by a script of its sites."""
    (found,) = await open_lists(services(request).db, [request.match_info["list"]])
    site = request.headers.get("Origin", "")
    if site in {_origin(url) for url in found.return_urls}:
        request[OPEN_TO] = site
    return found


def _origin(url: str) -> str:
    return str(URL(url).origin())


async def _from_json(request: web.Request, mailing_list: MailingList) -> Asked:
    body = await read_json(request, SignupBody)
    language = language_of(request, mailing_list.languages, asked=body.language)
    return Asked(body.email, _slugs(mailing_list, body.lists or ()), language, "api", body.name or "")


async def _from_form(request: web.Request, mailing_list: MailingList) -> Asked:
    form = await read_form(request)
    back = form.get("return", "")
    if back and back not in mailing_list.return_urls:
        raise Malformed(
            N_(
                "This form wants to go on to a page that its letter does not know. Please tell the site's owner: it has to be "
                "among the letter's pages to return to, character for character."
            ),
            field="return",
        )
    return Asked(
        form.get("email", ""),
        _slugs(mailing_list, form.getall("list", [])),
        language_of(request, mailing_list.languages, asked=form.get("lang")),
        _place_of_form(request, mailing_list, is_own=form.get("page") == "own"),
        form.get("name", ""),
        back,
        form.get("wording", ""),
        trapped=bool(form.get("comment")),
    )


def _slugs(mailing_list: MailingList, more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([mailing_list.slug, *filter(None, more)]))


def _place_of_form(request: web.Request, mailing_list: MailingList, *, is_own: bool) -> str:
    """The page that the form stood on, without its query, as evidence. Our own pages send no referrer and say so themselves."""
    for header in ("Referer", "Origin"):
        try:
            parts = urlsplit(request.headers.get(header, ""))
        except ValueError:
            continue
        if parts.scheme in ("http", "https") and parts.netloc:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return services(request).links.subscribe(mailing_list.slug) if is_own else "a form that did not say where it stands"


def _signup(request: web.Request, asked: Asked) -> SignupForm:
    return SignupForm(asked.email, asked.lists, asked.language, origin(request, asked.form), asked.name, asked.wording)


def _form_page(
    request: web.Request, lists: Sequence[MailingList], asked: Asked, error: InvalidInput | None = None
) -> web.Response:
    language = lists[0].language(asked.language)
    words = translations(language)
    if asked.back:
        request[LEADS_TO] = _origin(asked.back)
    texts = [each.text(language) for each in lists]
    return page(
        request,
        "subscribe.html",
        language,
        status=422 if error else 200,
        sender=lists[0].sender,
        switch_to=() if error else lists[0].languages,
        title=", ".join(text.name for text in texts),
        descriptions=[text.description for text in texts if text.description],
        lists=lists,
        given=asked,
        problem={"field": error.field, "sentence": words.gettext(str(error))} if error else None,
        wording=consent_wording(lists, language),
        wording_code=wording_code(lists, language),
        promises=[promise(request, name, words) for name in ("unconfirmed", "left")],
    )


def _accepted(request: web.Request, lists: Sequence[MailingList], asked: Asked) -> web.Response:
    words = translations(asked.language)
    if wants_json(request):
        message = words.gettext("The next step is in a mail to this address: please open it.")
        return web.json_response({"status": "accepted", "message": message}, status=202)
    if asked.back:
        raise web.HTTPSeeOther(asked.back)
    again = URL(f"{prefix(request)}/subscribe/{lists[0].slug}").with_query(
        [("lang", asked.language), *(("list", each.slug) for each in lists[1:])]
    )
    return page(
        request,
        "asked.html",
        asked.language,
        sender=lists[0].sender,
        names=[each.text(asked.language).name for each in lists],
        promise=promise(request, "unconfirmed", words),
        again=str(again),
    )
