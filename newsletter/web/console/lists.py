"""Lists: how they grow, what they are made of, the form for other sites, their senders, and the end of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.core.i18n import language_name, languages, translations
from newsletter.operators.rules import Right
from newsletter.subscribing.editing import CLOSED, Overtaken, digest
from newsletter.subscribing.lists import (
    SLUG,
    ListText,
    MailingList,
    NewList,
    NewSender,
    SenderTaken,
    list_by_slug,
    paragraphs,
    time_zones,
)
from newsletter.subscribing.mails import consent_wording, wording_code
from newsletter.subscribing.views import SenderRow
from newsletter.web.console.growth import chart
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

LISTS = f"{CONSOLE}/lists"
ONE = f"{LISTS}/{{slug:{SLUG}}}"
SENDER = f"{CONSOLE}/senders/{{number:[0-9]{{1,9}}}}"
NEW_SENDER = ""
"""What is chosen in place of a sender's name."""

Given = Mapping[str, str]

routes = ConsoleRoutes()
says(
    list_made="The list is there. Its sign-up page and the form for your site are below.",
    list_edited="The list is changed.",
    list_closed="The list is closed: its readers are unsubscribed within the hour, where a worker runs.",
    sender_edited="The sender is changed, for all of its lists.",
)


@routes.get(LISTS, Right.LOOK)
async def index(request: web.Request) -> web.Response:
    lines = await services(request).list_reports.lines(now=moment(request))
    return await console_page(request, "lists.html", title="Lists", lines=lines, **_words())


@routes.get(f"{LISTS}/new", Right.WRITE)
async def new(request: web.Request) -> web.Response:
    return await _form(request, None, {"public": "yes", "default": "en", "time_zone": "Europe/Berlin"})


@routes.post(f"{LISTS}/new", Right.WRITE, keeps=True)
async def create(request: web.Request) -> web.Response:
    form = request[FORM]
    try:
        wanted = _list_from(form, form.get("slug", "").strip())
        sender = form.get("sender", NEW_SENDER) or _sender_from(form)
        made = await services(request).list_editing.create(wanted, sender, by=request[SESSION].name, now=moment(request))
    except Conflict as error:
        field = "sender_name" if isinstance(error, SenderTaken) else "slug"
        return await _form(request, None, form, InvalidInput(str(error), field=field))
    except NotFound as error:
        return await _form(request, None, form, InvalidInput(str(error), field="sender"))
    except InvalidInput as error:
        return await _form(request, None, form, error)
    return see(request, f"{LISTS}/{made.slug}", done="list_made")


@routes.get(ONE, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    report = await services(request).list_reports.report(request.match_info["slug"], now=moment(request))
    found = report.list
    return await console_page(
        request,
        "list.html",
        title=_name(found),
        report=report,
        list=found,
        chart=chart(report.months),
        page=services(request).links.subscribe(found.slug),
        wordings={each: consent_wording([found], each) for each in found.languages},
        codes={each: wording_code([found], each) for each in found.languages},
        in_language=lambda words, language: translations(language).gettext(words),
        **_words(),
    )


@routes.get(f"{ONE}/edit", Right.WRITE)
async def edit(request: web.Request) -> web.Response:
    found = await _open(request)
    return await _form(request, found, _given(found))


@routes.post(f"{ONE}/edit", Right.WRITE, keeps=True)
async def change(request: web.Request) -> web.Response:
    form, found = request[FORM], await _open(request)
    try:
        wanted = _list_from(form, found.slug)
        await services(request).list_editing.edit(
            found.slug,
            wanted,
            form.get("sender", ""),
            seen=form.get("seen", ""),
            by=request[SESSION].name,
            now=moment(request),
        )
    except InvalidInput as error:
        return await _form(request, found, form, error)
    except Overtaken as error:
        return await _form(request, await _open(request), form, overtaken=error)
    return see(request, f"{LISTS}/{found.slug}", done="list_edited")


@routes.get(f"{ONE}/close", Right.WRITE)
async def ask_to_close(request: web.Request) -> web.Response:
    return await _close_page(request, await _open(request))


@routes.post(f"{ONE}/close", Right.WRITE)
async def close(request: web.Request) -> web.Response:
    """The short name has to be typed: nothing brings a list back."""
    found = await _open(request)
    if request[FORM].get("slug", "").strip() != found.slug:
        return await _close_page(request, found, "This is not its short name. Nothing was closed.")
    await services(request).list_editing.close(found.slug, by=request[SESSION].name, now=moment(request))
    return see(request, f"{LISTS}/{found.slug}", done="list_closed")


@routes.get(f"{SENDER}/edit", Right.WRITE)
async def edit_sender(request: web.Request) -> web.Response:
    found = await services(request).list_editing.sender(int(request.match_info["number"]))
    return await _sender_form(request, found, _sender_given(found))


@routes.post(f"{SENDER}/edit", Right.WRITE, keeps=True)
async def change_sender(request: web.Request) -> web.Response:
    form, editing = request[FORM], services(request).list_editing
    found = await editing.sender(int(request.match_info["number"]))
    try:
        await editing.edit_sender(
            found.sender_id,
            _sender_from(form),
            form.get("relay") or None,
            seen=form.get("seen", ""),
            by=request[SESSION].name,
            now=moment(request),
        )
    except InvalidInput as error:
        return await _sender_form(request, found, form, error)
    except Overtaken as error:
        return await _sender_form(request, await editing.sender(found.sender_id), form, overtaken=error)
    return see(request, f"{LISTS}/{found.slugs[0]}" if found.slugs else LISTS, done="sender_edited")


# What is typed, and what is shown again.


def _list_from(form: Given, slug: str) -> NewList:
    """A language that is given a name is one of the list's; the default comes first. Raises `InvalidInput`."""
    named = [each for each in languages() if form.get(f"name.{each}", "").strip()]
    first = form.get("default", "")
    if named and first not in named:
        raise InvalidInput("The language that comes first needs a name, too.", field="default")
    ordered = sorted(named, key=lambda each: each != first)
    return NewList(
        slug,
        {each: _text(form, each) for each in ordered},
        form.get("time_zone", "").strip(),
        form.get("public") == "yes",
        tuple(dict.fromkeys(line.strip() for line in form.get("return_urls", "").splitlines() if line.strip())),
        _rate(form.get("rate", "")),
    )


def _text(form: Given, language: str) -> ListText:
    def line(field: str) -> str:
        return " ".join(form.get(f"{field}.{language}", "").split())

    return ListText(
        line("name"),
        line("description"),
        line("wording"),
        line("welcome_subject"),
        paragraphs(form.get(f"welcome_text.{language}", "")),
    )


def _rate(given: str) -> float | None:
    try:
        return float(given) if given.strip() else None
    except ValueError:
        raise InvalidInput("A rate is a number of mails a second, such as 50 or 0.5, or nothing.", field="rate") from None


def _sender_from(form: Given) -> NewSender:
    return NewSender(
        form.get("sender_name", ""),
        form.get("from_address", "").strip(),
        form.get("postal_address", ""),
        form.get("contact", "").strip() or form.get("from_address", "").strip(),
        form.get("reply_to", "").strip() or None,
        form.get("legal_notice", "").strip() or None,
    )


def _given(found: MailingList) -> dict[str, str]:
    """A list as its form has it."""
    given = {
        "slug": found.slug,
        "sender": found.sender.name,
        "public": "yes" if found.public else "no",
        "default": found.languages[0],
        "time_zone": found.time_zone,
        "return_urls": "\n".join(found.return_urls),
        "rate": f"{found.rate:g}" if found.rate else "",
    }
    for language, text in found.texts.items():
        given |= {
            f"name.{language}": text.name,
            f"description.{language}": text.description,
            f"wording.{language}": text.wording,
            f"welcome_subject.{language}": text.welcome_subject,
            f"welcome_text.{language}": text.welcome_text,
        }
    return given


def _sender_given(found: SenderRow) -> dict[str, str]:
    return {
        "sender_name": found.name,
        "from_address": found.from_address,
        "reply_to": found.reply_to or "",
        "postal_address": found.postal_address,
        "contact": found.contact,
        "legal_notice": found.legal_notice or "",
        "relay": found.relay or "",
    }


_FIELDS = {
    "sender name": "sender_name",
    "from": "from_address",
    "reply to": "reply_to",
    "legal notice": "legal_notice",
    "postal address": "postal_address",
    "time zone": "time_zone",
    "return": "return_urls",
}
"""What the services call a field, where the form calls it otherwise."""


class _Problems(dict[str, str]):
    """Messages by the field that each stands beside; empty for all others."""

    def __missing__(self, _: str) -> str:
        return ""


def _problems(error: InvalidInput | None, given: Given) -> _Problems:
    if error is None:
        return _Problems()
    field = _FIELDS.get(error.field or "", error.field or "")
    if field == "sender" and not given.get("sender", ""):
        field = "sender_name" if not given.get("sender_name", "").strip() else "postal_address"
    if field == "name":
        field = f"name.{languages()[0]}"
    return _Problems({field: str(error)})


# Pages.


async def _open(request: web.Request) -> MailingList:
    """Raises `NotFound`, and `Conflict` for one that is closed."""
    found = await list_by_slug(services(request).db, request.match_info["slug"])
    if found.closed:
        raise Conflict(CLOSED)
    return found


async def _form(
    request: web.Request,
    found: MailingList | None,
    given: Given,
    error: InvalidInput | None = None,
    overtaken: Overtaken | None = None,
) -> web.Response:
    return await console_page(
        request,
        "list_edit.html",
        status=422 if error else 409 if overtaken else 200,
        title=f"Edit {_name(found)}" if found else "A new list",
        list=found,
        overtaken=str(overtaken) if overtaken else "",
        theirs=_theirs(_given(found), given) if found and overtaken else {},
        seen=_seen(digest(found), given, overtaken) if found else "",
        given=given,
        problems=_problems(error, given),
        choices=await services(request).list_editing.choices(),
        zones=sorted(time_zones()),
        ours={each: consent_wording([found], each) for each in found.languages} if found else {},
        **_words(),
    )


async def _sender_form(
    request: web.Request,
    found: SenderRow,
    given: Given,
    error: InvalidInput | None = None,
    overtaken: Overtaken | None = None,
) -> web.Response:
    problems = _problems(error, {**given, "sender": ""})
    return await console_page(
        request,
        "sender_edit.html",
        status=422 if error else 409 if overtaken else 200,
        title=f"Edit the sender {found.name}",
        overtaken=str(overtaken) if overtaken else "",
        theirs=_theirs(_sender_given(found), given) if overtaken else {},
        seen=_seen(digest(found), given, overtaken),
        sender=found,
        given=given,
        problems=problems,
        choices=await services(request).list_editing.choices(),
    )


def _theirs(now: Given, given: Given) -> dict[str, str]:
    """What is there by now, of the fields that were sent with something else in them."""
    return {name: value for name, value in now.items() if name in given and given[name].split() != value.split()}


def _seen(now: str, given: Given, overtaken: Overtaken | None) -> str:
    """What is shown now; where only a field is to be corrected, still that which the form began from."""
    return now if overtaken else given.get("seen", now)


async def _close_page(request: web.Request, found: MailingList, problem: str = "") -> web.Response:
    return await console_page(
        request,
        "list_close.html",
        status=422 if problem else 200,
        title=f"Close {_name(found)}",
        list=found,
        size=await services(request).list_reports.size(found.list_id),
        erase_days=services(request).erase_left_days,
        problem=problem,
    )


def _name(found: MailingList) -> str:
    return found.text(found.languages[0]).name


def _words() -> dict[str, Any]:
    return {
        "languages": languages(),
        "spoken": [(each, language_name(each)) for each in languages()],
        "language_name": language_name,
        "name_of": _name,
    }
