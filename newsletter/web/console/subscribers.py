"""Readers: finding them, everything that is held about one of them, and what people may ask for (GDPR Art. 15 to 21).

No address stands in any URL, which a browser's history and a proxy's log would keep: a search is a POST that leads to a sealed
code for it, and a reader's page is named by their keyed id. What is done here is evidence as done by an operator, and in the
audit log with their name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from aiohttp import web

from newsletter.consent.rules import Keeps
from newsletter.consent.service import Origin
from newsletter.core.errors import Conflict, InvalidInput, InvalidToken, TooMany
from newsletter.core.i18n import language_name, languages
from newsletter.operators.rules import Right
from newsletter.privacy import words as plain
from newsletter.privacy.export import as_csv, as_json
from newsletter.privacy.my_data import Holdings
from newsletter.privacy.receipts import receipts
from newsletter.privacy.rights import EVERY_LIST, Actor, NothingHeld
from newsletter.privacy.rules import PAUSES, Why
from newsletter.subscribing.browsing import SEARCH_LIVES, SHORTEST_BEGINNING, Filter, Search, Standing
from newsletter.subscribing.lists import SLUG, all_lists, is_slug, list_by_slug
from newsletter.subscribing.rules import Via
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, cookie, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, client_address, moment, services

SUBSCRIBERS = f"{CONSOLE}/subscribers"
_HEX = "[0-9a-f]"
ONE = f"{SUBSCRIBERS}/{{id:{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}}}"
ADD = f"{CONSOLE}/lists/{{slug:{SLUG}}}/add"
LANGUAGE = "en"
A_READER = "A reader"
"""The title of pages about one: browsers keep titles, and show them to whoever begins to type; the heading says who it is."""

STANDINGS = {
    Standing.ANY: "any state",
    Standing.CONFIRMED: "subscribed",
    Standing.PENDING: "waiting to confirm",
    Standing.UNSUBSCRIBED: "unsubscribed",
    Standing.PAUSED: "paused",
}

SEARCH_ENDED = (
    f"The link to this search is no longer good: it works for {SEARCH_LIVES // timedelta(minutes=1)} minutes, "
    "until you sign out. Please type the address again."
)

routes = ConsoleRoutes()
says(
    asked_by_hand="A mail to confirm is on its way, if this address can be subscribed. Nothing else is sent until then.",
    corrected="Corrected.",
    paused="Paused: nothing is sent until the pause ends.",
    resumed="The pause has ended.",
    unsubscribed="Unsubscribed. A letter already on its way may still arrive.",
    objected="Objected: all subscriptions have ended, and nothing is ever sent to this address again.",
    erased="Deleted. What stays is a code, and the proof of consent as the settings say.",
)


# Finding.


@routes.get(SUBSCRIBERS, Right.READERS)
async def browse(request: web.Request) -> web.Response:
    """Filters and cursors are in the address, since they name nobody: ids are keyed, and what was searched for is sealed."""
    query = request.query
    if code := query.get("search", ""):
        return await _found(request, code)
    standing = query.get("state", "")
    slug = query.get("list", "")
    wanted = Filter(slug if is_slug(slug) else "", Standing(standing) if standing in set(Standing) else Standing.ANY)
    page = await services(request).browsing.page(
        wanted,
        after=_uuid(query.get("after", "")),
        before=_uuid(query.get("before", "")),
        by=request[SESSION].name,
        now=moment(request),
    )
    return await _finding(request, wanted=wanted, page=page, people=page.people)


@routes.post(SUBSCRIBERS, Right.READERS)
async def find(request: web.Request) -> web.Response:
    """Leads to the reader, or to a page of those whose address begins so: going back from there sends no form again."""
    given, browsing, now = request[FORM].get("address", ""), services(request).browsing, moment(request)
    try:
        located = await browsing.locate(given, by=request[SESSION].name, now=now)
    except InvalidInput as error:
        return await _finding(request, given=given, problem=str(error), status=422)
    if isinstance(located, UUID):
        return see(request, f"{SUBSCRIBERS}/{located}")
    return see(request, f"{SUBSCRIBERS}?search={browsing.code_of(located, cookie(request), now=now)}")


async def _found(request: web.Request, code: str) -> web.Response:
    browsing, now = services(request).browsing, moment(request)
    try:
        search = browsing.search_of(code, cookie(request), now=now)
    except InvalidToken:
        return await _finding(request, problem=SEARCH_ENDED, status=410)
    found = await browsing.find(search, by=request[SESSION].name, now=now)
    following = browsing.code_of(found.following, cookie(request), now=now) if found.following else ""
    first = browsing.code_of(Search(search.given), cookie(request), now=now) if search.place else ""
    return await _finding(request, given=search.given, found=found, people=found.people, first=first, following=following)


async def _finding(request: web.Request, *, problem: str = "", status: int = 200, **shown: Any) -> web.Response:
    lists = await all_lists(services(request).db)
    known: dict[str, Any] = {
        "given": "",
        "found": None,
        "page": None,
        "people": (),
        "wanted": Filter(),
        "first": "",
        "following": "",
    }
    return await console_page(
        request,
        "subscribers.html",
        status=status,
        title="Subscribers",
        problem=problem,
        lists=lists,
        slugs={each.list_id: each.slug for each in lists},
        standings=STANDINGS,
        shortest=SHORTEST_BEGINNING,
        **(known | shown),
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# One reader.


@routes.get(ONE, Right.READERS)
async def show(request: web.Request) -> web.Response:
    held = await _held(request, "show")
    if held.person is None:
        return await console_page(
            request,
            "subscriber_gone.html",
            status=404 if held.is_empty else 200,
            title="Nobody, or nobody any more" if held.is_empty else "A reader who was deleted",
            **_told(held),
        )
    return await console_page(
        request,
        "subscriber.html",
        title=A_READER,
        receipts={each.list: each for each in receipts(held, LANGUAGE)},
        **_told(held),
    )


async def _export(request: web.Request) -> web.Response:
    held = await _held(request, "export")
    return _download(as_json(held, LANGUAGE), "json", "application/json")


async def _export_csv(request: web.Request) -> web.Response:
    held = await _held(request, "export")
    return _download("\ufeff" + as_csv(held, LANGUAGE), "csv", "text/csv")


async def _receipt(request: web.Request) -> web.Response:
    held = await _held(request, "receipt")
    return await console_page(
        request, "subscriber_receipt.html", title="Consent receipt", receipts=receipts(held, LANGUAGE), **_told(held)
    )


_TAKEN: Mapping[str, Callable[[web.Request], Awaitable[web.Response]]] = {
    "json": _export,
    "csv": _export_csv,
    "receipt": _receipt,
}


@routes.post(f"{ONE}/take/{{kind:json|csv|receipt}}", Right.READERS)
async def take(request: web.Request) -> web.Response:
    """A POST, since it is written down."""
    return await _TAKEN[request.match_info["kind"]](request)


def _download(content: str, kind: str, content_type: str) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="subscriber.{kind}"'}
    return web.Response(text=content, content_type=content_type, charset="utf-8", headers=headers)


async def _held(request: web.Request, verb: str) -> Holdings:
    return await services(request).my_data.held_for_operator(
        UUID(request.match_info["id"]), verb, operator=request[SESSION].name, now=moment(request)
    )


def _told(held: Holdings) -> dict[str, Any]:
    return {
        "held": held,
        "plain": plain,
        "reasons": REASONS,
        "list_of": lambda list_id: held.lists[list_id].slug if list_id and list_id in held.lists else "",
        "name_of": lambda list_id: held.list_name(list_id, LANGUAGE),
        "language_name": language_name,
        "evidence_days": held.terms.evidence_for // timedelta(days=1) if held.terms.keeps is not Keeps.NONE else 0,
        "erase_days": held.terms.erase_after // timedelta(days=1),
    }


REASONS = {
    "left": "deleted here once: only they themselves can sign up again",
    "complained": "complained to their provider",
    "bounced": "mail to the address came back",
    "refused": "said that they had not asked: new requests are refused",
    "objected": "objected: nothing is ever sent",
    "restricted": "paused",
}


# What they may ask for: a page that says what will happen, then the deed.


@dataclass(frozen=True)
class Act:
    """`verb` begins the heading, `button` says what pressing it does, `done` names the sentence that follows."""

    verb: str
    button: str
    done: str
    do: Callable[[web.Request, UUID, Mapping[str, str]], Awaitable[None]]
    is_final: bool = False


async def _correct(request: web.Request, who: UUID, form: Mapping[str, str]) -> None:
    name, language = form.get("name", ""), form.get("language", "")
    await services(request).rights.correct(who, name=name, language=language, by=_actor(request), now=moment(request))


async def _pause(request: web.Request, who: UUID, form: Mapping[str, str]) -> None:
    given, list_id = form.get("months", ""), await _list_id(request, form)
    months = (int(given) if given.isdecimal() and len(given) < 3 else 0) if given else None  # What there is not is refused.
    await services(request).rights.restrict(who, list_id, months=months, by=_actor(request), now=moment(request))


async def _resume(request: web.Request, who: UUID, form: Mapping[str, str]) -> None:
    await services(request).rights.resume(who, await _list_id(request, form), by=_actor(request), now=moment(request))


async def _unsubscribe(request: web.Request, who: UUID, form: Mapping[str, str]) -> None:
    list_id = await _list_id(request, form)
    chosen = None if list_id == EVERY_LIST else [list_id]
    await services(request).rights.unsubscribe(who, chosen, by=_actor(request), now=moment(request))


async def _object(request: web.Request, who: UUID, form: Mapping[str, str]) -> None:
    why = Why(given) if (given := form.get("why", "")) in set(Why) else Why.NONE
    await services(request).rights.object_to_mail(who, why=why, by=_actor(request), now=moment(request))


async def _erase(request: web.Request, who: UUID, _: Mapping[str, str]) -> None:
    await services(request).rights.erase(who, by=_actor(request), now=moment(request))


ACTS: Mapping[str, Act] = {
    "correct": Act("Correct", "Correct it", "corrected", _correct),
    "pause": Act("Pause", "Pause", "paused", _pause),
    "resume": Act("End the pause of", "End the pause", "resumed", _resume),
    "unsubscribe": Act("Unsubscribe", "Unsubscribe", "unsubscribed", _unsubscribe),
    "object": Act("Record the objection of", "Record the objection", "objected", _object, is_final=True),
    "erase": Act("Delete", "Delete everything now", "erased", _erase, is_final=True),
}
_DEED = f"{ONE}/{{act:{'|'.join(ACTS)}}}"


@routes.get(_DEED, Right.READERS)
async def ask(request: web.Request) -> web.Response:
    return await _deed_page(request, {"list": request.query.get("list", "")})


@routes.post(_DEED, Right.READERS)
async def act(request: web.Request) -> web.Response:
    form, who, name = request[FORM], UUID(request.match_info["id"]), request.match_info["act"]
    chosen = ACTS[name]
    try:
        await chosen.do(request, who, form)
    except NothingHeld:
        return see(request, f"{SUBSCRIBERS}/{who}")
    except InvalidInput as error:
        return await _deed_page(request, form, error)
    return see(request, SUBSCRIBERS if name == "erase" else f"{SUBSCRIBERS}/{who}", done=chosen.done)


async def _deed_page(request: web.Request, given: Mapping[str, str], error: InvalidInput | None = None) -> web.Response:
    held, name = await _held(request, "show"), request.match_info["act"]
    if held.person is None:
        return see(request, f"{SUBSCRIBERS}/{held.subscriber_id}")
    chosen = ACTS[name]
    return await console_page(
        request,
        "subscriber_act.html",
        status=422 if error else 200,
        title=f"{chosen.verb} {A_READER.lower()}",
        act=name,
        chosen=chosen,
        given=given,
        problem=str(error) if error else "",
        field=(error.field if error else "") or "",
        spoken=[(each, language_name(each)) for each in languages()],
        pauses=[("", "Until it is ended"), *((str(each), f"{each} month{'' if each == 1 else 's'}") for each in PAUSES)],
        which=[("", "Every list"), *((held.lists[row.list_id].slug, _name(held, row.list_id)) for row in held.subscriptions)],
        **_told(held),
    )


def _name(held: Holdings, list_id: int) -> str:
    return held.list_name(list_id, LANGUAGE)


def _actor(request: web.Request) -> Actor:
    """Evidence about somebody holds no network or browser of ours."""
    return Actor(Via.OPERATOR, Origin("console"), request[SESSION].name)


async def _list_id(request: web.Request, form: Mapping[str, str]) -> int:
    """Named by its short name; empty for all."""
    slug = form.get("list", "")
    return (await list_by_slug(services(request).db, slug)).list_id if slug else EVERY_LIST


# Adding one by hand.


@routes.get(ADD, Right.READERS)
async def adding(request: web.Request) -> web.Response:
    return await _add_page(request, {})


@routes.post(ADD, Right.READERS)
async def add(request: web.Request) -> web.Response:
    """The same sentence afterwards whatever is known of the address, as on the sign-up page."""
    form, network = request[FORM], client_address(request)
    try:
        made = await services(request).joining.enter(
            form.get("email", ""),
            request.match_info["slug"],
            name=form.get("name", ""),
            language=form.get("language", ""),
            operator=request[SESSION].name,
            network=str(network) if network else None,
            now=moment(request),
        )
    except InvalidInput as error:
        return await _add_page(request, form, str(error), error.field or "")
    except TooMany as error:
        return await _add_page(request, form, str(error))
    return see(request, f"{CONSOLE}/lists/{made.slug}/add", done="asked_by_hand")


async def _add_page(request: web.Request, given: Mapping[str, str], problem: str = "", field: str = "") -> web.Response:
    found = await list_by_slug(services(request).db, request.match_info["slug"])
    if found.closed:
        raise Conflict("This list is closed: nobody can be added.")
    return await console_page(
        request,
        "subscriber_add.html",
        status=422 if problem else 200,
        title=f"Add a reader to {found.text(found.languages[0]).name}",
        list=found,
        given=given,
        problem=problem,
        field=field,
        spoken=[(each, language_name(each)) for each in found.languages],
    )
