"""What all pages of the console have in common: the frame with its navigation, and how figures and times are written."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from aiohttp import web
from markupsafe import Markup, escape

from newsletter.core.i18n import long_date, long_time
from newsletter.core.resources import resource
from newsletter.operators.rules import Right
from newsletter.subscribing.lists import all_lists
from newsletter.web.console.curves import written
from newsletter.web.console.guard import SESSION, cookie, seal, writer_field
from newsletter.web.context import CONSOLE, moment, services
from newsletter.web.render import prefix
from newsletter.web.static import assets

LOOK_AGAIN = timedelta(seconds=15)
"""For so long the figures beside the navigation are good."""
UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Place:
    """A line of the navigation. Whoever lacks the right does not see it."""

    label: str
    path: str
    right: Right = Right.LOOK
    badge: str = ""
    """Which figure stands beside it."""
    also: str = ""
    """Another path whose pages belong to it."""


NAVIGATION: tuple[tuple[str, tuple[Place, ...]], ...] = (
    ("", (Place("Home", "/"),)),
    (
        "Write",
        (Place("Campaigns", "/campaigns", badge="sending"), Place("Layouts", "/layouts"), Place("Images", "/images")),
    ),
    ("Readers", (Place("Lists", "/lists", also="/senders"), Place("Subscribers", "/subscribers", Right.READERS))),
    (
        "Trust",
        (
            Place("Promises", "/promises", badge="promises"),
            Place("Policy", "/policy"),
            Place("Requests", "/requests", Right.READERS),
            Place("Suppression", "/suppression", Right.READERS, also="/evidence"),
        ),
    ),
    (
        "House",
        (
            Place("Relays", "/relays", Right.OWN),
            Place("Operators", "/operators", Right.OWN),
            Place("Tokens", "/tokens", Right.OWN),
            Place("Audit log", "/audit", Right.OWN),
            Place("Doctor", "/doctor", Right.OWN),
        ),
    ),
)
"""Groups of lines; a floor that is not built yet has none, so that nothing leads nowhere."""

ACCOUNT = Place("Your account", "/account")

DONE: dict[str, str] = {}
"""What a page says after a form, by the word in its address. The parts add theirs with `says`."""


def says(**sentences: str) -> None:
    """Sentences of a part of the console; each word means one thing."""
    for word, sentence in sentences.items():
        if DONE.setdefault(word, sentence) != sentence:
            raise ValueError(f"{word} means something else already")


@dataclass(frozen=True)
class Facts:
    """What stands beside the navigation."""

    at: datetime
    sending: int
    """Campaigns under way."""
    overdue: int
    """Promises."""
    zone: ZoneInfo
    """That times are shown in: the first list's."""


FACTS = web.AppKey("facts", dict[str, Facts])


async def facts(request: web.Request) -> Facts:
    """Remembered for a moment: every page asks."""
    kept, now = request.app[FACTS], moment(request)
    known = kept.get("facts")
    if known is None or not timedelta(0) <= now - known.at < LOOK_AGAIN:
        zones = [each.zone for each in await all_lists(services(request).db)]
        standings = await services(request).outlook.standings(now=now)
        sending = await services(request).campaigns.count_under_way()
        overdue = sum(each.overdue > 0 for each in standings)
        known = kept["facts"] = Facts(now, sending, overdue, zones[0] if zones else UTC)
    return known


async def console_page(
    request: web.Request, template: str, *, status: int = 200, untrue: Collection[str] = (), **shown: Any
) -> web.Response:
    """A page inside the frame, for somebody who is signed in. `title` has to be among what is shown.

    `untrue`: words of `DONE` that do not hold any more and are not said.
    """
    known, session, done = await facts(request), request[SESSION], request.query.get("done", "")
    navigation = _navigation(request, known)
    lines = [line for _, some in navigation for line in some]
    return bare_page(
        request,
        template,
        status=status,
        session=session,
        navigation=navigation,
        where=next((line.label for line in lines if line.is_here), ""),
        urgent=[line.badge[1] for line in lines if line.badge and line.badge[0] == "bad"],
        done="" if done in untrue else DONE.get(done, ""),
        now=moment(request),
        may=session.may,
        writer=writer_field(request),
        day=lambda value, zone=known.zone: long_date(value.astimezone(zone), "en"),
        time=lambda value, zone=known.zone: long_time(value.astimezone(zone), "en"),
        **shown,
    )


def bare_page(request: web.Request, template: str, *, status: int = 200, **shown: Any) -> web.Response:
    """Without navigation: signing in, and what went wrong before."""
    base = prefix(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            {"session": None, "done": "", **shown},
            base=base,
            console=f"{base}{CONSOLE}",
            seal=seal(cookie(request)),
            asset=lambda name: f"{base}/static/{name}?v={assets()[name].version}",
        )
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


@dataclass(frozen=True)
class Line:
    """A place as it stands in the navigation of one page. `badge`: kind and words."""

    label: str
    path: str
    is_here: bool
    badge: tuple[str, str] | None


def _navigation(request: web.Request, known: Facts) -> list[tuple[str, list[Line]]]:
    """Groups of lines with their headings; the account's comes last, under who is signed in."""
    here, badges, session = request.path.removeprefix(CONSOLE), _badges(known), request[SESSION]
    groups = []
    for heading, places in (*NAVIGATION, (f"{session.name}, {session.role}", (ACCOUNT,))):
        lines = [
            Line(place.label, place.path, _is_here(place, here), badges.get(place.badge))
            for place in places
            if session.may(place.right)
        ]
        if lines:
            groups.append((heading, lines))
    return groups


def _is_here(place: Place, here: str) -> bool:
    if place.path == "/":
        return here in ("", "/")
    return any(here == path or here.startswith(f"{path}/") for path in (place.path, place.also) if path)


def _badges(known: Facts) -> Mapping[str, tuple[str, str]]:
    """Kind and words."""
    badges = {"promises": ("bad", f"{known.overdue} overdue") if known.overdue else ("good", "kept")}
    if known.sending:
        badges["sending"] = ("live", str(known.sending))
    return badges


def ago(value: datetime, now: datetime) -> str:
    """Roughly how long since, in words."""
    seconds = int((now - value).total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def until(value: datetime, now: datetime) -> str:
    """Roughly how long from now, in words."""
    seconds = int((value - now).total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"in {count} {unit}{'' if count == 1 else 's'}"
    return "in a moment" if seconds > 0 else "now"


def percent(part: int, whole: int) -> str:
    """99.4 %; never 100 of what is not whole, and never 0 of what is there."""
    if not whole:
        return "–"
    share = part * 100 / whole
    if 0 < share < 0.05:
        return "under 0.1 %"
    if 99.95 <= share < 100:
        return "over 99.9 %"
    return f"{share:.1f} %"


def breakable(text: str) -> Markup:
    """What may be long and has no blanks, an address or a setting's name: a narrow page breaks it at its joints."""
    return Markup(re.sub(r"([_@])", r"\1<wbr>", str(escape(text))))  # noqa: S704  escaped in this line


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates", "console")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"grouped": lambda number: f"{number:,}", "ago": ago, "until": until}
    environment.filters["zipped"] = lambda names: [(name, name) for name in names]  # For a choice that says what it is called.
    environment.filters |= {"written": written, "breakable": breakable}
    environment.globals |= {"percent": percent}
    return environment
