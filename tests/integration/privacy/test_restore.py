"""A backup is restored: nobody who left since gets the next campaign, everybody else does."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.consent import service as consent
from newsletter.core.database import Database
from newsletter.core.errors import Conflict
from newsletter.core.keys import open_keyring
from newsletter.dev.mailbox import Mailbox
from newsletter.privacy.rights import EVERY_LIST, Actor
from newsletter.privacy.rules import months_later
from newsletter.settings import Settings
from newsletter.subscribing.rules import Via
from tests.conftest import SECRET, ManualClock, Server
from tests.people import WEB, People

STAYS = ["ada@example.org", "ben@example.org"]
LEAVES, ERASED = "cleo@example.org", "dora@example.org"
DRAFT = Draft("en", "The long tide", "", Format.MARKDOWN, "Dear {{ name }},\n\nsee you at the slip.")
NEW = NewCampaign("letter", "Tide", (DRAFT,))
RESTORED = f"newsletter_restored_{os.getpid()}"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"withdrawal_log": tmp_path / "withdrawals.jsonl"})


@pytest.fixture
async def people(house: House, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[People]:
    async with People(house, clock, mailbox) as made:
        yield made


async def test_a_restored_backup_mails_nobody_who_left_since(
    people: People, server: Server, settings: Settings, clock: ManualClock, mailbox: Mailbox, tmp_path: Path
) -> None:
    for address in (*STAYS, LEAVES, ERASED):
        await people.reader(address)
    number = await people.house.campaigns.create(NEW, by="test", now=clock.at)
    under_way = await people.house.campaigns.create(NEW, by="test", now=clock.at)
    await people.house.campaigns.send(under_way, by="test", now=clock.at)
    dump = tmp_path / "newsletter.dump"
    url = settings.database_url.get_secret_value()
    await _run(server, "pg_dump", "--format=custom", f"--file={dump}", "--dbname", url)

    clock.move(hours=1)
    await people.unsubscribe(LEAVES)
    await people.erase_now((await people.unsubscribe(ERASED)).undo_token)
    assert people.house.withdrawal_log is not None
    assert await people.house.withdrawal_log.write(now=clock.at) == 3

    clock.move(hours=1)
    async with _restored(server, dump, settings, clock) as house:
        worker = house.worker()
        await house.look_at_withdrawals()
        assert [each.reason for each in await consent.standing_still(house.db)] == ["restored"]
        assert not await worker.run_campaigns_once(), "what was being sent when the backup was made"
        with pytest.raises(Conflict, match="newsletter privacy replay"):
            await house.campaigns.send(number, by="test", now=clock.at)
        assert await _mailed(mailbox) == []

        done = await house.replay.run([], by="test", now=clock.at)
        assert (done.unknown, done.unsubscribed, done.erased) == (3, 2, 1)
        again = People(house, clock, mailbox)
        assert await again.states(LEAVES) == {"letter": "unsubscribed"}
        assert not await again.is_known(ERASED)
        await house.campaigns.send(number, by="test", now=clock.at)
        while await worker.run_campaigns_once():
            pass
        assert await _mailed(mailbox) == sorted(2 * STAYS), "two campaigns, each once"


async def test_a_pause_that_moved_to_another_address_holds_after_a_restore(
    people: People, server: Server, settings: Settings, clock: ManualClock, mailbox: Mailbox, tmp_path: Path
) -> None:
    """The new address read the same letter when the backup was made, which knows of no pause at all."""
    old, new, other = LEAVES, *STAYS
    who = await people.reader(old)
    for address in (new, other):
        await people.reader(address)
    number = await people.house.campaigns.create(NEW, by="test", now=clock.at)
    dump = tmp_path / "newsletter.dump"
    await _run(server, "pg_dump", "--format=custom", f"--file={dump}", "--dbname", settings.database_url.get_secret_value())

    clock.move(hours=1)
    await people.house.rights.restrict(who, EVERY_LIST, months=6, by=Actor(Via.PAGE, WEB), now=clock.at)
    end = months_later(clock.at, 6)
    await people.house.rights.move(who, new, by=Actor(Via.PAGE, WEB), now=clock.at)
    await people.decide()
    token = await people.confirm_token(new)
    assert token is not None
    await people.confirm(token)
    assert people.house.withdrawal_log is not None
    await people.house.withdrawal_log.write(now=clock.at)

    clock.move(hours=1)
    async with _restored(server, dump, settings, clock) as house:
        worker = house.worker()
        await house.look_at_withdrawals()
        assert (await house.replay.run([], by="test", now=clock.at)).restricted == 2
        again = People(house, clock, mailbox)
        assert not await again.is_known(old)
        assert await again.suppressions(new) == {(0, "restricted")}
        assert await house.db.fetchval("select until from suppression where reason = 'restricted'") == end
        await house.campaigns.send(number, by="test", now=clock.at)
        while await worker.run_campaigns_once():
            pass
        assert await _mailed(mailbox) == [other]


async def _mailed(mailbox: Mailbox) -> list[str]:
    return sorted(recipient for mail in await mailbox.messages() for recipient in mail.recipients)


@asynccontextmanager
async def _restored(server: Server, dump: Path, settings: Settings, clock: ManualClock) -> AsyncIterator[House]:
    """The dump in a database of its own, with everything wired to it."""
    url = server.url(RESTORED)
    await server.run(f"create database {RESTORED} owner {server.owner} template template0")
    try:
        await _run(server, "pg_restore", "--no-owner", "--exit-on-error", "--dbname", url, str(dump))
        db = await Database.connect(url)
        yield House(settings, db, await open_keyring(db, SECRET, now=clock.at), clock)
        await db.close()
    finally:
        await server.run(f"drop database {RESTORED} with (force)")


async def _run(server: Server, program: str, *arguments: str) -> None:
    path = server.bin / program if server.bin else Path(shutil.which(program) or pytest.skip(f"{program} is not installed"))
    process = await asyncio.create_subprocess_exec(
        path, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={"PATH": os.defpath}
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode().replace(urlsplit(server.admin_url).password or "\0", "…")
