"""`newsletter promises`: whether the privacy policy is kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from newsletter.cli.house import as_json, command, moment, open_house, print_json, print_table, settings, tell
from newsletter.consent.service import standing_still
from newsletter.privacy.outlook import Forecast, Standing
from newsletter.privacy.rules import RightsRequest

UNITS = ((timedelta(days=365), "year"), (timedelta(days=1), "day"), (timedelta(hours=1), "hour"), (timedelta(minutes=1), "min"))


@click.command("promises")
@click.option(
    "--check",
    is_flag=True,
    help="Print what is overdue, promises and requests alike; exit with 1 if anything is, or if all campaigns stand still.",
)
@click.option("--forecast", "days", type=click.IntRange(1, 366), metavar="DAYS", help="What will be removed on which day.")
@as_json
@command
async def promises(*, check: bool, days: int | None, as_json: bool) -> None:
    """Each promise of the privacy policy: its deadline, what is due and
    overdue, when its job last ran and what it removed.

    Due is what the next run removes; overdue is what should have been gone
    already. With --check it is a test for whatever watches the machine.
    """
    async with open_house(settings(), name="promises") as house:
        now = house.clock.now()
        if days is not None:
            return _show_forecast(await house.outlook.forecast(days=days, now=now), as_json=as_json)
        standings = await house.outlook.standings(now=now)
        stands_still = bool(await standing_still(house.db))
        alarming = await house.outlook.alarming(now=now) if check else []
    if stands_still:
        tell("No campaign is sent: withdrawals are missing in this database. Run `newsletter privacy replay`.", sys.stderr)
    overdue = [each for each in standings if each.overdue]
    if as_json:
        print_json(overdue if check else standings)
    elif check:
        _show_overdue(overdue, all_is_well=not (overdue or stands_still or alarming))
    else:
        _show(standings, now)
    for request in alarming:
        tell(_alarm(request), sys.stderr if as_json else sys.stdout)
    if check and (overdue or stands_still or alarming):
        raise SystemExit(1)
    return None


def _show(standings: Sequence[Standing], now: datetime) -> None:
    rows = [
        (
            each.promise,
            _span(timedelta(seconds=each.deadline_s)),
            f"{each.due:,}",
            f"{each.overdue:,}",
            f"{_span(now - each.last_run)} ago" if each.last_run else "never",
            f"{each.removed:,}",
            (f"in {_span(each.next_run - now)}" if each.next_run > now else "now") if each.next_run else "–",
        )
        for each in standings
    ]
    print_table(rows, "PROMISE", "DEADLINE", "DUE", "OVERDUE", "LAST RUN", "REMOVED", "NEXT RUN")


def _show_overdue(overdue: Sequence[Standing], *, all_is_well: bool) -> None:
    if all_is_well:
        click.echo("All promises are kept.")
    for each in overdue:
        since = _span(timedelta(seconds=each.oldest_overdue_s))
        click.echo(f"{each.promise}: {each.overdue:,} overdue, the oldest for {since}.")
    if overdue:
        click.echo("Jobs run in workers: see that `newsletter work` is up, and what its log says.")


def _alarm(request: RightsRequest) -> str:
    if request.mail == "refused":
        return (
            f"Request {request.number}: the relay refused somebody's message about their rights, which is deleted on "
            f"{moment(request.readable_until)}: newsletter request read {request.number}"
        )
    return f"Request {request.number}: an answer was due on {request.due_at:%Y-%m-%d}: newsletter request list"


def _show_forecast(found: Sequence[Forecast], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif found:
        print_table([(each.day.isoformat(), each.promise, f"{each.removed:,}") for each in found], "DAY", "PROMISE", "REMOVED")
    else:
        click.echo("Nothing of what is there now is to be removed in that time.")


def _span(length: timedelta) -> str:
    """In the largest unit that it has two of, or in seconds."""
    for unit, name in UNITS:
        count = length // unit
        if count >= 2 or (count == 1 and length % unit == timedelta(0)):
            return f"{count} {name}{'s' if count > 1 and name != 'min' else ''}"
    return f"{int(length.total_seconds())} s"


COMMANDS = [promises]
