"""The command line, run as somebody would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from newsletter.cli.main import main
from newsletter.settings import Settings
from tests.conftest import POLICY, SECRET

Run = Callable[..., Awaitable[Result]]


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

    async def run(*arguments: str, **environment: str) -> Result:
        runner = CliRunner(env={**given, **environment})
        return await asyncio.to_thread(runner.invoke, main, [*arguments], terminal_width=80)

    return run
