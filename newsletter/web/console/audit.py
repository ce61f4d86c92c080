"""House: who did what, and what was refused; newest first, page by page, as far as somebody asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from aiohttp import web

from newsletter.core.errors import InvalidInput
from newsletter.operators.rules import Right
from newsletter.operators.service import NO_OPERATORS, LogFilter
from newsletter.web.console.guard import ConsoleRoutes
from newsletter.web.console.shell import console_page, facts
from newsletter.web.context import CONSOLE, services

AUDIT = f"{CONSOLE}/audit"
PAGE = 50
FILTERS = ("operator", "action", "from", "to")
_LONGEST = 100
YEARS = range(1970, 3000)
"""That can be asked about: the first and the last that there are have no day before or after."""

routes = ConsoleRoutes()


@routes.get(AUDIT, Right.OWN)
async def show(request: web.Request) -> web.Response:
    """`before`: the number that a page begins after; the others say whose lines, of what, from which day to which."""
    given = {name: request.query.get(name, "").strip()[:_LONGEST] for name in FILTERS}
    before, operators = request.query.get("before", ""), services(request).operators
    problem, found = "", []
    try:
        wanted = _wanted(given, (await facts(request)).zone)
        found = await operators.log(wanted, before=_number(before), size=PAGE + 1)
    except InvalidInput as error:
        problem = str(error)
    chosen = {name: value for name, value in given.items() if value}
    return await console_page(
        request,
        "audit.html",
        status=422 if problem else 200,
        title="Audit log",
        entries=found[:PAGE],
        older=_address(chosen, before=found[PAGE - 1].audit_id) if len(found) > PAGE else None,
        newest=_address(chosen) if before else None,
        given=given,
        is_filtered=bool(chosen),
        problem=problem,
        actions=sorted({*await operators.actions(), given["action"]} - {""}),
        names=[*(each.name for each in await services(request).accounts.everybody()), *NO_OPERATORS],
    )


def _wanted(given: dict[str, str], zone: ZoneInfo) -> LogFilter:
    """Raises `InvalidInput`."""
    since, until = _midnight(given["from"], zone), _midnight(given["to"], zone, after=1)
    if since and until and since >= until:
        raise InvalidInput("The first day is after the last: please exchange them.")
    return LogFilter(given["operator"] or None, given["action"] or None, since, until)


def _midnight(given: str, zone: ZoneInfo, *, after: int = 0) -> datetime | None:
    """When a day begins where the page's times are, or the one so many days after. Raises `InvalidInput`."""
    if not given:
        return None
    try:
        day = datetime.strptime(given, "%Y-%m-%d")  # noqa: DTZ007  the zone is said below
    except ValueError:
        raise InvalidInput("Please write a day as year, month and day, such as 2026-11-28.") from None
    if day.year not in YEARS:
        raise InvalidInput(f"Please ask about days in the years {YEARS[0]} to {YEARS[-1]}.")
    return (day + timedelta(days=after)).replace(tzinfo=zone).astimezone(UTC)


def _number(before: str) -> int | None:
    """What no link of ours says begins at the newest."""
    return int(before) if before.isascii() and before.isdigit() and len(before) <= 18 else None


def _address(chosen: dict[str, str], **more: int) -> str:
    query = urlencode(chosen | {name: str(value) for name, value in more.items()})
    return f"{AUDIT}?{query}" if query else AUDIT
