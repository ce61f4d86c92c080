"""The command line, run as somebody would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from newsletter.app import House
from newsletter.cli.main import main
from newsletter.dev.mailbox import Mailbox
from newsletter.settings import Settings
from tests.conftest import POLICY, SECRET, ManualClock
from tests.people import People

Run = Callable[..., Awaitable[Result]]


class Terminal(StringIO):
    """What is printed to it, said to be one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
async def people(house: House, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[People]:
    async with People(house, clock, mailbox) as made:
        yield made


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a thread (it brings its own event loop); gives click's result."""
    monkeypatch.chdir(tmp_path)
    given = {
        "NEWSLETTER_DATABASE_URL": settings.database_url.get_secret_value(),
        "NEWSLETTER_SECRET": SECRET,
        "NEWSLETTER_BASE_URL": settings.base_url,
        "NEWSLETTER_SMTP_URL": settings.smtp_url.get_secret_value(),
    } | POLICY

    async def run(*arguments: str, typed: str | None = None, **environment: str) -> Result:
        runner = CliRunner(env={**given, **environment})
        invoke = partial(runner.invoke, main, [*arguments], input=typed, terminal_width=80)
        # A new thread each time: coverage loses sight of one that was there while a test ran that is not measured.
        with ThreadPoolExecutor(1) as thread:
            return await asyncio.get_running_loop().run_in_executor(thread, invoke)

    return run
