"""Trust: every promise of the privacy policy with how it is kept, what goes when, and withdrawals outside the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from newsletter.consent.service import standing_still
from newsletter.consent.withdrawal_log import FileShown
from newsletter.core.errors import NewsletterError
from newsletter.core.i18n import SOURCE_LANGUAGE, long_date, translations
from newsletter.operators.rules import Right
from newsletter.privacy.outlook import Forecast
from newsletter.web.console.bars import bars
from newsletter.web.console.guard import ConsoleRoutes
from newsletter.web.console.shell import console_page
from newsletter.web.context import CONSOLE, moment, services

PROMISES = f"{CONSOLE}/promises"
DAYS = 30

routes = ConsoleRoutes()


@routes.get(PROMISES, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    now, words = moment(request), translations(SOURCE_LANGUAGE)
    standings = await services(request).outlook.standings(now=now)
    made_at, forecast = await services(request).outlook.forecast_lately(days=DAYS, now=now)
    file, trouble = await _file(request)
    return await console_page(
        request,
        "promises.html",
        title="Promises",
        standings=list(zip(standings, services(request).retention.sentences(words), strict=True)),
        overdue=sum(each.overdue > 0 for each in standings),
        standstills=await standing_still(services(request).db),
        has_file=services(request).withdrawal_log is not None,
        file=file,
        file_trouble=trouble,
        made_at=made_at,
        **_chart(forecast, made_at),
    )


async def _file(request: web.Request) -> tuple[FileShown | None, str]:
    log = services(request).withdrawal_log
    try:
        return await log.shown() if log else None, ""
    except NewsletterError as error:
        return None, str(error)
    except OSError as error:
        return None, f"It cannot be read ({error.strerror}): let the program's user read and write it."


def _chart(forecast: Sequence[Forecast], made_at: datetime) -> dict[str, Any]:
    """Bars by day, the sentence that says what to see, and the table behind."""
    days = [made_at.date() + timedelta(days=number) for number in range(DAYS)]
    by_day: Counter[Any] = Counter()
    for each in forecast:
        by_day[each.day] += each.removed
    total, most = by_day.total(), max(by_day, key=lambda day: (by_day[day], -day.toordinal()), default=None)
    if most is None:
        said = f"Nothing of what is here goes in the next {DAYS} days"
    else:
        when = "today" if most == days[0] else f"on {long_date(most, SOURCE_LANGUAGE)}"
        said = f"{total:,} record{'' if total == 1 else 's'} go{'es' if total == 1 else ''} in the next {DAYS} days"
        said += f", most of them {when}" if len(by_day) > 1 else f", {when}"
    return {
        "chart": bars([(long_date(day, SOURCE_LANGUAGE), by_day[day]) for day in days]),
        "said": said,
        "first_day": long_date(days[0], SOURCE_LANGUAGE),
        "last_day": long_date(days[-1], SOURCE_LANGUAGE),
        "forecast": [(long_date(each.day, SOURCE_LANGUAGE), each.promise, each.removed) for each in forecast],
    }
