"""A process follows the database's clock and keys for as long as it runs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from newsletter.app import House
from newsletter.cli.house import beside
from newsletter.core.clock import DatabaseClock, database_time
from newsletter.core.database import Database
from newsletter.core.keys import KNOWN_AFTER, open_keyring, rotate_token_key
from newsletter.settings import Settings
from tests.conftest import SECRET


class Stopwatch:
    """A monotonic clock that stands still, and can break."""

    def __init__(self) -> None:
        self.at = 0.0
        self.broken = False

    def __call__(self) -> float:
        if self.broken:
            raise ZeroDivisionError
        return self.at


async def test_a_process_keeps_following_clock_and_keys_whatever_went_wrong_once(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would go on with a clock that drifts and keys that are stale, and nobody would know."""
    monkeypatch.setattr("newsletter.app.REFRESH_EVERY", 0)
    stopwatch = Stopwatch()
    now = await database_time(db)
    keyring = await open_keyring(db, SECRET, now=now)
    house = House(settings, db, keyring, DatabaseClock(stopwatch))
    old = keyring.current_token_key
    async with asyncio.timeout(30):
        with capture_logs() as logged:
            following = asyncio.create_task(house.keep_current())
            stopwatch.broken = True
            while not any(line["event"] == "refresh_failed" and line["log_level"] == "error" for line in logged):
                await db.fetchval("select 1")
            stopwatch.broken = False
            await db.execute("alter table key rename to elsewhere")
            while not any(line["event"] == "refresh_failed" and line["log_level"] == "warning" for line in logged):
                await db.fetchval("select 1")
            await db.execute("alter table elsewhere rename to key")
        stopwatch.at -= 3 * 86400
        async with db.transaction() as transaction:
            await rotate_token_key(transaction, SECRET, now=now - KNOWN_AFTER)
        while keyring.current_token_key == old or house.clock.now() < now:
            assert not following.done()
            await db.fetchval("select 1")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert house.clock.now() - now < timedelta(minutes=1)


async def test_what_fails_beside_a_process_is_logged_at_once() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    async def endless() -> None:
        await asyncio.get_running_loop().create_future()

    with capture_logs() as logged:
        async with beside(fails(), endless()):
            for _ in range(5):
                await asyncio.sleep(0)
    (line,) = logged
    assert (line["event"], line["log_level"], type(line["exc_info"])) == ("task_failed", "error", ZeroDivisionError)


async def test_a_house_that_sent_no_test_mail_has_no_relay_to_say_goodbye_to(house: House) -> None:
    await house.close()
    assert "test_courier" not in vars(house)
