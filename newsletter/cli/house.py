"""What every command needs: settings, an open house, an answer as text or JSON, and errors as one clear line."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import IO, Any, ParamSpec

import click
import uvloop

from newsletter.app import House
from newsletter.core.clock import DatabaseClock
from newsletter.core.database import Database
from newsletter.core.errors import (
    DatabaseUnavailable,
    NewsletterError,
    SchemaBehind,
    SchemaMismatch,
    SettingsError,
    WrongSecret,
)
from newsletter.core.keys import open_keyring
from newsletter.core.logs import get_logger
from newsletter.core.migrations import check_schema
from newsletter.settings import Settings, load_settings

P = ParamSpec("P")
EX_CONFIG = 78
"""As in sysexits.h."""
WIDTH = 80
"""Columns."""
RETRY_START = 2.0
"""Seconds between two tries to reach a database that is away."""

_ERROR = "Error: "
"""As click begins its own."""

log = get_logger(__name__)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def settings() -> Settings:
    """From this process's environment, and the development database of this folder where nothing else is named."""
    return load_settings(os.environ, folder=Path.cwd())


@asynccontextmanager
async def open_house(settings: Settings, *, name: str, connections: int = 4) -> AsyncIterator[House]:
    """Connect, check that schema and secret fit, wire the parts. `name` shows in pg_stat_activity."""
    db = await Database.connect(settings.database_url.get_secret_value(), size=connections, name=f"newsletter {name}")
    try:
        await check_schema(db)
        clock = DatabaseClock()
        await clock.refresh(db)
        keyring = await open_keyring(db, settings.secret.get_secret_value(), now=clock.now())
        house = House(settings, db, keyring, clock)
        try:
            yield house
        finally:
            await house.close()
    finally:
        await db.close()


class Refused(click.ClickException):
    """An error that we foresaw."""

    def show(self, file: IO[Any] | None = None) -> None:
        tell(f"{_ERROR}{self.format_message()}", file or sys.stderr)


class Mistyped(click.UsageError):
    """A command that was typed wrongly, as click found it: it shows how to type it, and the error in lines like ours."""

    def show(self, file: IO[Any] | None = None) -> None:
        to, said = file or sys.stderr, self.format_message()
        if to.isatty():
            said = wrapped(f"{_ERROR}{said}").removeprefix(_ERROR)
        click.UsageError(said, self.ctx).show(to)


@contextmanager
def mistyped() -> Iterator[None]:
    """What click raises of a command that was typed wrongly goes on as ours.

    Help, which was asked for by typing nothing more, stays click's.
    """
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        raise Mistyped(error.format_message(), error.ctx) from None


def warn(text: str) -> None:
    """Of what stops nothing."""
    tell(f"Warning: {text}", sys.stderr)


def tell(said: str, to: IO[Any]) -> None:
    """One line for logs and programs; for a terminal in lines that it has room for."""
    click.echo(wrapped(said) if to.isatty() else said, file=to)


class Misconfigured(Refused):
    """Only a changed configuration can help."""

    exit_code = EX_CONFIG


def command(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine as a command. What we foresaw becomes a line on stderr and an exit code: 78 where only a changed
    configuration can help, so that a supervisor does not try again and again, 1 otherwise."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            uvloop.run(function(*args, **kwargs))
        except NewsletterError as error:
            hopeless = isinstance(error, SettingsError | WrongSecret | SchemaMismatch) and not isinstance(error, SchemaBehind)
            raise Misconfigured(str(error)) if hopeless else Refused(str(error)) from None

    return run


def print_json(value: Any) -> None:
    """Dataclasses and times included."""
    click.echo(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def print_table(rows: Sequence[tuple[str, ...]], *headings: str) -> None:
    """Left-aligned columns, two blanks apart."""
    table = [headings, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def wrapped(text: str, *, indent: str = "", more: str = "") -> str:
    """In lines that a terminal of 80 columns has room for, the first of which begins with `indent` and all others with `more`.

    Also where the text itself begins a new one: it must not look like the next field. A word is never cut: an address stays one
    that can be copied.
    """
    lines: list[str] = []
    more = more or indent
    for line in text.split("\n"):
        begin = more if lines else indent
        lines += textwrap.wrap(
            line, WIDTH, initial_indent=begin, subsequent_indent=more, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)


def print_wrapped(text: str, *, indent: str = "", more: str = "") -> None:
    click.echo(wrapped(text, indent=indent, more=more))


def print_fields(fields: Mapping[str, str | None]) -> None:
    """Below a heading, a line for each that is there."""
    for name, text in fields.items():
        if text:
            print_wrapped(f"{name}: {text.strip()}", indent="  ", more="    ")


def number_of(count: int, noun: str) -> str:
    """`1 reader`, `1,200 readers`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def moment(value: datetime | None) -> str:
    """In UTC, to the minute."""
    return value.strftime("%Y-%m-%d %H:%M UTC") if value else "–"


async def until_signal(stop: asyncio.Event) -> None:
    """Wait for `stop`, which the first SIGINT or SIGTERM sets."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def wait_for_database(settings: Settings, *, pause: float = RETRY_START) -> None:
    """A process that is started before its database, or before that is migrated, waits. Raises what waiting would not mend."""
    db = await Database.connect(settings.database_url.get_secret_value(), size=1)
    try:
        while not await _fits(db):  # noqa: ASYNC110  nobody tells when a server comes back
            await asyncio.sleep(pause)
    finally:
        await db.close()


async def _fits(db: Database) -> bool:
    """False while it is away, or behind this program."""
    try:
        await check_schema(db)
    except (DatabaseUnavailable, SchemaBehind) as error:
        log.warning("waiting_for_database", reason=str(error))
        return False
    return True


@asynccontextmanager
async def beside(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these next to the body, and end them with it. One that fails is logged when it does; the body goes on."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("task_failed", exc_info=error)


def is_terminal() -> bool:
    return sys.stdout.isatty()
