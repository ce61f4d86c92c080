"""My data: asking for the link, and the page behind it.

Opening the link shows nothing and changes nothing, since mail scanners open them all and newsletters get forwarded; its button
does. Everything on the page is a POST to the same address with a field `do`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web

from newsletter.consent.rules import Keeps
from newsletter.core.errors import Conflict, InvalidInput
from newsletter.core.i18n import N_, language_name, languages, long_date, long_time, translations
from newsletter.privacy import words as plain
from newsletter.privacy.export import as_csv, as_json
from newsletter.privacy.my_data import Holdings
from newsletter.privacy.receipts import receipts
from newsletter.privacy.rights import EVERY_LIST, Actor, NothingHeld
from newsletter.privacy.rules import PAUSES, Why
from newsletter.subscribing.lists import MailingList, list_by_slug
from newsletter.subscribing.rules import LONGEST_NAME, Via
from newsletter.web.bodies import read_fields, read_form
from newsletter.web.context import client_address, moment, origin, services
from newsletter.web.public.sentences import promise
from newsletter.web.render import language_of, page

routes = web.RouteTableDef()

_DELETED_WHEN = ("left", "unconfirmed", "consent-origin", "deliveries", "suppression", "withdrawal", "limits")
_WHY = {
    Why.NONE: N_("I give no reason"),
    Why.TOO_MUCH: N_("There are too many letters"),
    Why.NOT_FOR_ME: N_("They are not what I expected"),
    Why.NEVER_ASKED: N_("I never asked for them"),
}

Fields = Mapping[str, str]


@dataclass(frozen=True)
class _Said:
    """What was done, or what has to be corrected: `do` names the form that it is about."""

    do: str = ""
    sentence: str = ""
    is_problem: bool = False
    given: str = ""


# Asking.


@routes.get("/data")
async def ask(request: web.Request) -> web.Response:
    return _ask_page(request, "", None)


@routes.post("/data")
async def asked(request: web.Request) -> web.Response:
    """The same answer whatever is known of the address; what its state calls for is decided by a worker."""
    form = await read_form(request)
    language, address = language_of(request), client_address(request)
    given, network = form.get("email", ""), str(address) if address else None
    try:
        if not form.get("comment"):
            await services(request).asking.request(given, language, network, now=moment(request))
    except InvalidInput as error:
        return _ask_page(request, given, error)
    return page(request, "data_asked.html", language)


def _ask_page(request: web.Request, given: str, error: InvalidInput | None) -> web.Response:
    language = language_of(request)
    problem = translations(language).gettext(str(error)) if error else None
    return page(
        request,
        "data_ask.html",
        language,
        status=422 if error else 200,
        switch_to=() if error else languages(),
        given=given,
        problem=problem,
    )


# The page behind the link.


@routes.get("/data/{token}")
async def show(request: web.Request) -> web.Response:
    """One button, and nothing about anybody."""
    services(request).my_data.open(request.match_info["token"], now=moment(request))
    switch_to = languages() if request.method in ("GET", "HEAD") else ()
    return page(request, "data_open.html", language_of(request), switch_to=switch_to)


@routes.post("/data/{token}")
async def act(request: web.Request) -> web.StreamResponse:
    fields = await read_fields(request)
    who = services(request).my_data.open(request.match_info["token"], now=moment(request))
    do = fields.get("do", "")
    try:
        if do in _SHOW:
            return await _SHOW[do](request, who)
        if do in _ACTIONS:
            return await _shown(request, who, _Said(do, await _ACTIONS[do](request, who, fields)))
    except NothingHeld:
        return await _shown(request, who)
    except (InvalidInput, Conflict) as error:
        given = fields.get("email", fields.get("name", ""))
        return await _shown(request, who, _Said(do, str(error), is_problem=True, given=given))
    return await show(request)


async def _open(request: web.Request, who: UUID) -> web.Response:
    return await _shown(request, who)


async def _json(request: web.Request, who: UUID) -> web.Response:
    held = await services(request).my_data.held(who, now=moment(request))
    return _download(as_json(held, _language(request, held)), "json", "application/json")


async def _csv(request: web.Request, who: UUID) -> web.Response:
    held = await services(request).my_data.held(who, now=moment(request))
    # Spreadsheets take a file for UTF-8 when it begins with a byte order mark.
    return _download("\ufeff" + as_csv(held, _language(request, held)), "csv", "text/csv")


def _download(content: str, kind: str, content_type: str) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="my-data.{kind}"'}
    return web.Response(text=content, content_type=content_type, charset="utf-8", headers=headers)


async def _erase(request: web.Request, who: UUID) -> web.Response:
    """The page that follows says what stays, from what is held then."""
    before = await services(request).my_data.held(who, now=moment(request))
    await services(request).rights.erase(who, by=_actor(request), now=moment(request))
    return await _nothing(request, who, _language(request, before), erased=True)


_SHOW: Mapping[str, Callable[[web.Request, UUID], Awaitable[web.Response]]] = {
    "open": _open,
    "json": _json,
    "csv": _csv,
    "erase": _erase,
}


# What one may do there; each gives the sentence that says what was done.


async def _correct(request: web.Request, who: UUID, fields: Fields) -> str:
    name, language = fields.get("name", ""), fields.get("language", "")
    await services(request).rights.correct(who, name=name, language=language, by=_actor(request), now=moment(request))
    return N_("This is corrected.")


async def _pause(request: web.Request, who: UUID, fields: Fields) -> str:
    given = fields.get("months", "")
    months = {str(number): number for number in PAUSES}.get(given, 0) if given else None
    list_id = await _list_id(request, fields)
    await services(request).rights.restrict(who, list_id, months=months, by=_actor(request), now=moment(request))
    return N_("This is paused: nothing is sent to you until it ends, or until you end it here.")


async def _resume(request: web.Request, who: UUID, fields: Fields) -> str:
    await services(request).rights.resume(who, await _list_id(request, fields), by=_actor(request), now=moment(request))
    return N_("The pause has ended: the next letter comes to you.")


async def _object(request: web.Request, who: UUID, fields: Fields) -> str:
    given = fields.get("why", "")
    why = Why(given) if given in set(Why) else Why.NONE
    await services(request).rights.object_to_mail(who, why=why, by=_actor(request), now=moment(request))
    return N_("You objected: all your subscriptions have ended, and we never write to you again.")


async def _lift(request: web.Request, who: UUID, _: Fields) -> str:
    await services(request).rights.lift_objection(who, by=_actor(request), now=moment(request))
    return N_("Your objection is lifted. That subscribes you to nothing; you can sign up again.")


async def _unsubscribe(request: web.Request, who: UUID, fields: Fields) -> str:
    list_id = await _list_id(request, fields)
    chosen = None if list_id == EVERY_LIST else [list_id]
    await services(request).rights.unsubscribe(who, chosen, by=_actor(request), now=moment(request))
    return N_("You are unsubscribed. One letter already on its way may still arrive.")


async def _move(request: web.Request, who: UUID, fields: Fields) -> str:
    await services(request).rights.move(who, fields.get("email", ""), by=_actor(request), now=moment(request))
    return N_("We wrote to the new address: please open that mail. Until it is confirmed, your letters come to this one.")


_ACTIONS: Mapping[str, Callable[[web.Request, UUID, Fields], Awaitable[str]]] = {
    "correct": _correct,
    "pause": _pause,
    "resume": _resume,
    "object": _object,
    "lift": _lift,
    "unsubscribe": _unsubscribe,
    "move": _move,
}


async def _list_id(request: web.Request, fields: Fields) -> int:
    """Named by its short name; empty for all."""
    slug = fields.get("list", "")
    return (await list_by_slug(services(request).db, slug)).list_id if slug else EVERY_LIST


def _actor(request: web.Request) -> Actor:
    """As evidence, without the token."""
    return Actor(Via.PAGE, origin(request, services(request).links.data_page))


# Showing.


async def _shown(request: web.Request, who: UUID, said: _Said | None = None) -> web.Response:
    held = await services(request).my_data.held(who, now=moment(request))
    language = _language(request, held)
    if held.person is None:
        return await _nothing(request, who, language, said=said)
    words, first = translations(language), _first(held)
    return page(
        request,
        "data.html",
        language,
        status=422 if said and said.is_problem else 200,
        sender=first.sender if first else None,
        held=held,
        said=said or _Said(),
        sentence=words.gettext(said.sentence) if said else "",
        receipts={each.list: each for each in receipts(held, language)},
        languages=[(each, language_name(each)) for each in languages()],
        pauses=PAUSES,
        reasons=[(each.value, words.gettext(sentence)) for each, sentence in _WHY.items()],
        deleted_when=[promise(request, name, words) for name in _DELETED_WHEN],
        longest_name=LONGEST_NAME,
        **_common(held, language),
    )


async def _nothing(
    request: web.Request, who: UUID, language: str, *, erased: bool = False, said: _Said | None = None
) -> web.Response:
    held = await services(request).my_data.held(who, now=moment(request))
    return page(
        request,
        "data_nothing.html",
        language,
        held=held,
        erased=erased,
        sentence=translations(language).gettext(said.sentence) if said and not said.is_problem else "",
        **_common(held, language),
    )


def _common(held: Holdings, language: str) -> dict[str, Any]:
    """Times in the zone of the person's letters, and codes in plain words."""
    words, first = translations(language), _first(held)
    zone = first.zone if first else ZoneInfo("UTC")

    def in_words(table: Mapping[str, str], code: str | None) -> str:
        return words.gettext(table[code]) if code and code in table else code or ""

    return {
        "day": lambda value: long_date(value.astimezone(zone), language),
        "time": lambda value: long_time(value.astimezone(zone), language),
        "in_words": in_words,
        "plain": plain,
        "name_of": lambda list_id: held.list_name(list_id, language),
        "evidence_days": held.terms.evidence_for // timedelta(days=1) if held.terms.keeps is not Keeps.NONE else 0,
        "evidence_until": _evidence_until(held),
        "in_full": any(each.address for each in held.evidence),
        "lang_name": language_name,
    }


def _evidence_until(held: Holdings) -> datetime | None:
    return max((each.expires_at for each in held.evidence), default=None)


def _first(held: Holdings) -> MailingList | None:
    """The letter whose sender heads the page."""
    rows = sorted(held.subscriptions, key=lambda row: row.state != "confirmed")
    return next((held.lists[row.list_id] for row in rows if row.list_id in held.lists), None)


def _language(request: web.Request, held: Holdings) -> str:
    if held.person is None or request.query.get("lang"):
        return language_of(request)
    return held.person.language if held.person.language in languages() else language_of(request)
