"""The first page: readers over time, campaigns under way, promises, what needs a hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from newsletter.consent.service import standing_still
from newsletter.core.i18n import SOURCE_LANGUAGE, translations
from newsletter.operators.rules import Right
from newsletter.privacy.outlook import Standing
from newsletter.subscribing.reporting import Curve
from newsletter.web.console.campaigns import BADGES, when
from newsletter.web.console.guard import HOME, SESSION, ConsoleRoutes
from newsletter.web.console.lines import lines
from newsletter.web.console.shell import console_page
from newsletter.web.context import moment, services

MOST_LISTS = 4
"""That have a line in the chart."""
CAMPAIGNS = 6
LATELY = 4
"""Promises that removed something when they ran last."""
SOON = timedelta(days=7)
"""How long before its day a request about somebody's data is spoken of."""

routes = ConsoleRoutes()


@dataclass(frozen=True)
class Hand:
    """Something that somebody should look at. `path`: where; empty: what to do is in the words."""

    kind: str
    """`warn` or `bad`."""
    what: str
    words: str
    path: str = ""
    link: str = ""


@routes.get(HOME, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    now, its = moment(request), services(request)
    months, curves = await its.list_reports.curves(most=MOST_LISTS, now=now)
    standings = await its.outlook.standings(now=now)
    sentences = its.retention.sentences(translations(SOURCE_LANGUAGE))
    return await console_page(
        request,
        "home.html",
        title=f"Hello, {request[SESSION].name}",
        hands=await _hands(request, standings),
        curves=curves,
        months=months,
        chart=lines([(_name(curve), curve.readers) for curve in curves]) if curves else None,
        name=_name,
        campaigns=await its.campaigns.overview(size=CAMPAIGNS),
        lately=_lately(list(zip(standings, sentences, strict=True))),
        overdue=sum(each.overdue > 0 for each in standings),
        kept=len(standings),
        relays=await its.relays.standings(now=now),
        queue=await its.relays.queue(),
        badges=BADGES,
        when=lambda campaign: when(campaign, now),
        workers=len(await its.relays.workers(now=now)),
    )


def _name(curve: Curve) -> str:
    return curve.list.text(curve.list.languages[0]).name


def _lately(promises: Sequence[tuple[Standing, str]]) -> list[tuple[Standing, str]]:
    """With their sentences, those that removed something when they ran last; the latest first."""
    ran = [(each.last_run, (each, sentence)) for each, sentence in promises if each.last_run and each.removed]
    return [promise for _, promise in sorted(ran, key=lambda pair: pair[0], reverse=True)[:LATELY]]


async def _hands(request: web.Request, standings: Sequence[Standing]) -> list[Hand]:
    """The worst first. Each says what it is, and where to go or what to do."""
    its, session, now = services(request), request[SESSION], moment(request)
    hands = []
    if await standing_still(its.db):
        words = "A backup was restored: withdrawals that it does not know have to be done again."
        hands.append(Hand("bad", "No campaign is sent at the moment.", words, "/promises", "What to do"))
    late = [each.promise for each in standings if each.overdue]
    if late:
        hands.append(Hand("bad", f"Overdue: {', '.join(late)}.", "Is a worker running?", "/promises", "Look at the promises"))
    if not await its.relays.workers(now=now):
        words = "Without one no mail goes out and nothing is deleted: start newsletter work."
        hands.append(Hand("bad", "No worker was heard of lately.", words))
    for campaign in await its.campaigns.overview(size=CAMPAIGNS, state="paused"):
        words = campaign.pause_reason or "Somebody paused it."
        path = f"/campaigns/{campaign.campaign_id}"
        hands.append(Hand("warn", f"{campaign.name} is paused.", words, path, "Look at it"))
    if session.may("readers"):
        pressing = [each for each in await its.register.open() if each.due_at <= now + SOON]
        if pressing:
            count = f"{len(pressing)} request{'s' if len(pressing) > 1 else ''} about data"
            hands.append(Hand("warn", f"{count} to be answered within a week.", "", "/requests", "Look at them"))
    if session.may("own") and (failed := sum(each.count for each in await its.relays.failed())):
        words = "Single mails that a relay refused for good are not tried again."
        count = "1 single mail" if failed == 1 else f"{failed:,} single mails"
        hands.append(Hand("warn", f"{count} failed.", words, "/relays", "What the relay said"))
    if not session.has_second_factor:
        words = "With one, a stolen password alone opens nothing."
        hands.append(Hand("warn", "Your account has no second factor.", words, "/account/second-factor", "Set one up"))
    return hands
