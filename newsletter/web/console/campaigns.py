"""Campaigns: all of them, and one as it is made ready, sent, watched and reported on. Writing has pages of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiohttp import web

from newsletter.campaigns.readiness import confirmed_readers, readiness
from newsletter.campaigns.reporting import Report, as_rows, others, shown, up_to_now
from newsletter.campaigns.service import AudienceChanged, Status, WordsChanged
from newsletter.campaigns.watching import Progress
from newsletter.core.errors import Conflict, InvalidContent, InvalidInput
from newsletter.core.i18n import language_name, long_time
from newsletter.core.spreadsheets import as_csv
from newsletter.operators.rules import Right
from newsletter.subscribing.lists import all_lists
from newsletter.web.console.course import course_of
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.live import ONE, rate_curve, rate_words, span, told
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

ALL: Final = f"{CONSOLE}/campaigns"
PAGE = 50
STATES = ("draft", "scheduled", "sending", "paused", "sent", "cancelled")
BADGES = {"scheduled": "warn", "sending": "live", "paused": "warn", "sent": "good", "cancelled": "bad"}
FIRST = 2**31 - 1
MOST_DOMAINS = 30

routes = ConsoleRoutes()
says(
    campaign_sent="It is being sent.",
    campaign_sent_once="Somebody had just begun to send this campaign, or you clicked twice. It is sent once.",
    campaign_scheduled="It starts by itself at the time below. Until then you can change your mind.",
    campaign_scheduled_first=(
        "It starts by itself at the time below. That night clocks go back and show this time twice: it starts at the first."
    ),
    campaign_unscheduled="It is a draft again and does not start by itself.",
    campaign_paused="It is paused: nothing more is begun. What was on its way may still arrive.",
    campaign_resumed="It goes on where it stopped.",
    campaign_cancelled="It is cancelled. Nobody else gets it.",
    campaign_copied="This is the copy: a draft with the same words.",
    campaign_deleted="The draft is deleted.",
)
TRUE_WHILE: Final = {
    "campaign_sent": "sending",
    "campaign_scheduled": "scheduled",
    "campaign_scheduled_first": "scheduled",
    "campaign_unscheduled": "draft",
    "campaign_paused": "paused",
    "campaign_resumed": "sending",
    "campaign_cancelled": "cancelled",
    "campaign_copied": "draft",
}
"""The word of a sentence stays in a page's address; when the campaign has moved on, it is not said any more."""


@routes.get(ALL, Right.LOOK)
async def show_all(request: web.Request) -> web.Response:
    """Newest first, page by page."""
    lists = await all_lists(services(request).db)
    state = request.query.get("state", "")
    chosen = next((each for each in lists if each.slug == request.query.get("list", "")), None)
    before = request.query.get("before", "")
    found = await services(request).campaigns.overview(
        before=int(before) if re.fullmatch(r"[0-9]{1,9}", before) else FIRST,
        size=PAGE + 1,
        state=state if state in STATES else None,
        list_id=chosen.list_id if chosen else None,
    )
    return await console_page(
        request,
        "campaigns.html",
        title="Campaigns",
        campaigns=found[:PAGE],
        older=found[PAGE - 1].campaign_id if len(found) > PAGE else None,
        is_first=not before,
        lists=lists,
        list=chosen.slug if chosen else "",
        state=state if state in STATES else "",
        states=STATES,
        badges=BADGES,
        shown=shown,
        when=lambda each: when(each, moment(request)),
    )


@routes.get(ONE, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    return await _page(request)


@routes.get(f"{ONE}/cancel", Right.SEND)
async def ask_to_cancel(request: web.Request) -> web.Response:
    return await _ask(request, "campaign_cancel.html", "Cancel this campaign?")


@routes.get(f"{ONE}/delete", Right.WRITE)
async def ask_to_delete(request: web.Request) -> web.Response:
    return await _ask(request, "campaign_delete.html", "Delete this draft?")


@routes.post(f"{ONE}/send", Right.SEND)
async def send(request: web.Request) -> web.Response:
    """The number of readers is typed as confirmation. Twice by a double click: once, and both lead to the same page."""
    number, campaigns = _number(request), services(request).campaigns
    try:
        readers = confirmed_readers(request[FORM].get("readers", ""))
        await campaigns.send(number, by=request[SESSION].name, now=moment(request), readers=readers, words=_words(request))
    except InvalidInput as error:
        return await _page(request, error=error, about="send")
    except Conflict as error:
        if (await campaigns.status(number)).state in ("sending", "paused", "sent"):
            return see(request, _path(number), done="campaign_sent_once")
        return await _page(request, error=error)
    return see(request, _path(number), done="campaign_sent")


@routes.post(f"{ONE}/schedule", Right.SEND)
async def schedule(request: web.Request) -> web.Response:
    number = _number(request)
    try:
        meant = await services(request).scheduling.schedule(
            number, request[FORM].get("at", ""), by=request[SESSION].name, now=moment(request), words=_words(request)
        )
    except (InvalidInput, Conflict) as error:
        return await _page(request, error=error, about="schedule")
    return see(request, _path(number), done="campaign_scheduled_first" if meant.comes_twice else "campaign_scheduled")


@routes.post(f"{ONE}/unschedule", Right.SEND)
async def unschedule(request: web.Request) -> web.Response:
    return await _act(request, services(request).scheduling.unschedule, "campaign_unscheduled")


@routes.post(f"{ONE}/pause", Right.SEND)
async def pause(request: web.Request) -> web.Response:
    return await _act(request, services(request).campaigns.pause, "campaign_paused")


@routes.post(f"{ONE}/resume", Right.SEND)
async def resume(request: web.Request) -> web.Response:
    return await _act(request, services(request).campaigns.resume, "campaign_resumed")


@routes.post(f"{ONE}/cancel", Right.SEND)
async def cancel(request: web.Request) -> web.Response:
    return await _act(request, services(request).campaigns.cancel, "campaign_cancelled")


@routes.post(f"{ONE}/copy", Right.WRITE)
async def copy(request: web.Request) -> web.Response:
    made = await services(request).campaigns.copy(_number(request), by=request[SESSION].name, now=moment(request))
    return see(request, _path(made), done="campaign_copied")


@routes.post(f"{ONE}/delete", Right.WRITE)
async def delete(request: web.Request) -> web.Response:
    try:
        await services(request).campaigns.delete(_number(request), by=request[SESSION].name, now=moment(request))
    except Conflict as error:
        return await _page(request, error=error)
    return see(request, ALL, done="campaign_deleted")


@routes.get(f"{ONE}/report.csv", Right.LOOK)
async def download(request: web.Request) -> web.Response:
    """Totals, reasons, domains and the course of it, one figure a line."""
    number = _number(request)
    status = await services(request).campaigns.status(number)
    report = await _counted(request, status, await services(request).watching.look(number))
    headers = {"Content-Disposition": f'attachment; filename="campaign-{number}.csv"'}
    return web.Response(text=as_csv(as_rows(status, report)), content_type="text/csv", charset="utf-8", headers=headers)


async def _act(request: web.Request, act: Any, done: str) -> web.Response:
    """What somebody else has done meanwhile stands; the page says so."""
    number = _number(request)
    try:
        await act(number, by=request[SESSION].name, now=moment(request))
    except Conflict as error:
        return await _page(request, error=error)
    return see(request, _path(number), done=done)


async def _ask(request: web.Request, template: str, title: str) -> web.Response:
    status = await services(request).campaigns.status(_number(request))
    return await console_page(request, template, title=title, campaign=status, under_way=_is_under_way(status))


async def _page(request: web.Request, *, error: InvalidInput | Conflict | None = None, about: str = "") -> web.Response:
    """One campaign by its state, with what went wrong. What was typed stands there again."""
    status = await services(request).campaigns.status(_number(request))
    zone, form = ZoneInfo(status.time_zone), request.get(FORM, {})
    if isinstance(error, Conflict | InvalidContent):  # Not about what was typed here, but about the words.
        about = ""
    body = await (_draft(request, status) if status.started_at is None else _report(request, status, zone))
    return await console_page(
        request,
        "campaign.html",
        untrue=[word for word, state in TRUE_WHILE.items() if state != status.state],
        status=200 if error is None else 409 if isinstance(error, Conflict) else 422,
        title=status.name,
        campaign=status,
        badge=BADGES.get(status.state, ""),
        zone=zone.key,
        at=lambda value: long_time(value.astimezone(zone), "en"),
        problem=_sentence(error),
        changed=isinstance(error, AudienceChanged),
        about=about,
        given={name: str(value) for name, value in form.items()},
        language_name=language_name,
        shown=shown,
        **body,
    )


def _sentence(error: InvalidInput | Conflict | None) -> str:
    if isinstance(error, Conflict) and not isinstance(error, WordsChanged):
        return f"Nothing was changed. {error}"
    return str(error) if error else ""


async def _draft(request: web.Request, status: Status) -> dict[str, Any]:
    """Before it was started: what is ready, and who would get it."""
    waits = status.state in ("draft", "scheduled")
    zone, now = ZoneInfo(status.time_zone), moment(request)
    return {
        "ready": await readiness(services(request).campaigns, status.campaign_id) if waits else None,
        "earliest": f"{(now + timedelta(minutes=1)).astimezone(zone):%Y-%m-%dT%H:%M}",
        "proposed": f"{((status.scheduled_at or now + timedelta(days=1)).astimezone(zone)):%Y-%m-%dT%H:%M}",
        "until_start": span(status.scheduled_at - now) if status.scheduled_at and status.scheduled_at > now else "",
        "report": None,
    }


async def _report(request: web.Request, status: Status, zone: ZoneInfo) -> dict[str, Any]:
    """Since it was started."""
    number = status.campaign_id
    progress = await services(request).watching.look(number)
    report = await _counted(request, status, progress)
    chart = rate_curve(progress)
    named = [each for each in report.domains if each.domain]
    return {
        "live": told(progress, zone),
        "rate": chart,
        "rate_words": rate_words(progress),
        "under_way": _is_under_way(status),
        "letters": [(each.language, each.subject) for each in await services(request).campaigns.drafts(number)],
        "report": report,
        "domains": [*named[:MOST_DOMAINS], *(each for each in report.domains if not each.domain)],
        "others": others,
        "is_counted": report.as_of is not None and not (status.finished_at and report.as_of < status.finished_at),
        "more_domains": max(len(named) - MOST_DOMAINS, 0),
        **course_of(report, status, zone, under_way=_is_under_way(status)),
    }


async def _counted(request: web.Request, status: Status, progress: Progress) -> Report:
    """The report, whose course goes on to this moment."""
    report = await services(request).reporting.report(status.campaign_id, under_way=_is_under_way(status))
    return replace(report, points=up_to_now(report.points, progress, status.finished_at))


def when(status: Status, now: datetime) -> str:
    """The one moment that matters about it, in the list's time zone."""
    zone = ZoneInfo(status.time_zone)
    match status.state:
        case "draft":
            return f"begun {_short(status.created_at, zone)}"
        case "scheduled" if status.scheduled_at:
            return f"starts {_short(status.scheduled_at, zone)}"
        case "cancelled" if status.finished_at:
            return f"cancelled {_short(status.finished_at, zone)}"
    return f"started {_short(status.started_at or now, zone)}"


def _short(value: datetime, zone: ZoneInfo) -> str:
    there = value.astimezone(zone)
    return f"{there.day} {there:%b %Y, %H:%M %Z}"


def _is_under_way(status: Status) -> bool:
    return status.state in ("sending", "paused")


def _words(request: web.Request) -> str:
    """Which words were looked at; a form that does not say has looked at none."""
    return request[FORM].get("words", "")


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _path(number: int) -> str:
    return f"{ALL}/{number}"
