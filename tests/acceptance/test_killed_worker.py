"""Thousands of readers, one campaign, real worker processes, and SIGKILL.

Nobody is left out. Who was in flight at a kill may get the mail again under the same Message-ID, and is known; nobody else.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.core.addresses import parse_address
from newsletter.core.clock import DatabaseClock
from newsletter.core.database import Database
from newsletter.core.keys import open_keyring
from newsletter.delivery.presence import PRESENT_FOR
from newsletter.delivery.store import campaign_totals
from newsletter.jobs.sending import CHUNKS_IN_FLIGHT
from newsletter.settings import load_settings
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from tests.conftest import POLICY, SECRET
from tests.relay import ScriptedRelay, Stage, eventually

READERS = int(os.environ.get("KILLED_READERS", "3000"))
CHUNK = 100
KILLS = int(os.environ.get("KILLS", "2"))
"""The whole trial is `KILLED_READERS=20000 KILLS=20 pytest -s tests/acceptance/test_killed_worker.py`."""
SEED = 20261121
CONNECTIONS = 8
WITHIN = 60.0
"""Seconds that each part may take before the test gives up; all of it takes half of that."""

BODY = """\
# The long tide

Dear {{ name | default: "reader" }},

On the night of the 21st the water stands higher than in eleven years. We meet at the slip at nine, with lamps.

[See who else comes]({{ links.subscribe }})
"""


@dataclass(frozen=True)
class Delivery:
    """What is known of one reader in the end."""

    state: str
    attempts: int
    was_uncertain: bool


class Campaign:
    """To thousands of confirmed readers, sent by workers that get these settings."""

    def __init__(self, house: House, count: int, environment: dict[str, str], log: Path) -> None:
        self.house = house
        self.count = count
        self.readers: dict[str, UUID] = {}
        self.number = 0
        self._environment = environment
        self._log = log

    async def start(self) -> None:
        house, now = self.house, self.house.clock.now()
        sender = NewSender("Society", "letter@society.example", "Harbour Street 4", "privacy@society.example")
        texts = {"en": ListText("The Letter", "Monthly.")}
        letter = await create_list(house.db, NewList("letter", texts), sender, base_host=house.host, now=now)
        await self._subscribe(letter.list_id, since=now - timedelta(days=30))
        draft = Draft("en", "The long tide", "What the harbour is talking about.", Format.MARKDOWN, BODY)
        self.number = await house.campaigns.create(NewCampaign("letter", "Tide", (draft,)), by="test", now=now)
        assert await house.campaigns.send(self.number, by="test", now=now) == self.count

    async def _subscribe(self, list_id: int, *, since: datetime) -> None:
        addresses = [parse_address(f"reader.{number}@example.org") for number in range(self.count)]
        self.readers = {address.typed: self.house.keyring.subscriber_id(address.normal) for address in addresses}
        connection = await asyncpg.connect(self.house.settings.database_url.get_secret_value())
        try:
            await connection.copy_records_to_table(
                "subscriber",
                columns=["subscriber_id", "address", "domain", "name", "language", "created_at"],
                records=[(who, address, "example.org", "Ada", "en", since) for address, who in self.readers.items()],
            )
            await connection.copy_records_to_table(
                "subscription",
                columns=["subscriber_id", "list_id", "state", "language", "requested_at", "confirmed_at"],
                records=[(who, list_id, "confirmed", "en", since, since) for who in self.readers.values()],
            )
        finally:
            await connection.close()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process of its own, which does not outlive the block."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "newsletter", "work", env=self._environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def is_sent(self) -> bool:
        found = await self.house.db.fetchval("select state from campaign where campaign_id = $1", self.number)
        return bool(found == "sent")

    async def deliveries(self) -> dict[str, Delivery]:
        """By address; each reader has one."""
        rows = await self.house.db.fetch("select * from delivery where campaign_id = $1", self.number)
        known = {row["subscriber_id"]: Delivery(row["state"], row["attempts"], row["was_uncertain"]) for row in rows}
        assert len(known) == len(rows)
        assert known.keys() == set(self.readers.values())
        return {address: known[who] for address, who in self.readers.items()}

    async def totals(self) -> dict[str, int]:
        return {total.state: total.count for total in await campaign_totals(self.house.db, campaign_id=self.number)}


@pytest.fixture
async def sink() -> AsyncIterator[ScriptedRelay]:
    async with ScriptedRelay() as relay:
        yield relay


@pytest.fixture
async def campaign(
    request: pytest.FixtureRequest, database_url: str, db: Database, sink: ScriptedRelay, tmp_path: Path
) -> AsyncIterator[Campaign]:
    ours = {
        "NEWSLETTER_DATABASE_URL": database_url,
        "NEWSLETTER_SECRET": SECRET,
        "NEWSLETTER_BASE_URL": "https://news.example.org",
        "NEWSLETTER_SMTP_URL": f"smtp://127.0.0.1:{sink.port}?starttls=never",
        "NEWSLETTER_CHUNK": str(CHUNK),
        "NEWSLETTER_SMTP_CONNECTIONS": str(CONNECTIONS),
        "NEWSLETTER_LEASE_SECONDS": "5",
    } | POLICY
    others = {name: value for name, value in os.environ.items() if not name.startswith("NEWSLETTER_")}
    clock = DatabaseClock()
    await clock.refresh(db)
    house = House(load_settings(ours), db, await open_keyring(db, SECRET, now=clock.now()), clock)
    made = Campaign(house, request.param, others | ours, tmp_path / "worker.log")
    await made.start()
    yield made
    await house.close()


@pytest.mark.parametrize("campaign", [READERS], indirect=True)
async def test_killed_again_and_again_nobody_is_left_out_and_nobody_has_two_message_ids(
    campaign: Campaign, sink: ScriptedRelay
) -> None:
    chance = random.Random(SEED)
    for mark in sorted(chance.randrange(READERS // 20, READERS * 9 // 10) for _ in range(KILLS)):
        async with campaign.worker() as worker:
            await sink.has_taken(mark, WITHIN)
            worker.kill()
            assert await worker.wait() == -signal.SIGKILL
    assert not await campaign.is_sent()
    async with campaign.worker() as worker:
        await eventually(campaign.is_sent, WITHIN, every=0.1)
        worker.terminate()
        assert await worker.wait() == 0

    took, deliveries = sink.took(), await campaign.deliveries()
    assert set(took) == set(campaign.readers), "somebody was left out"
    assert {address: ids for address, ids in sink.message_ids().items() if len(ids) > 1} == {}
    # What was in flight at a kill was tried again, and is known to have been; nothing else was.
    again = sum(each.attempts - 1 for each in deliveries.values())
    assert 0 < again <= CHUNKS_IN_FLIGHT * CHUNK * KILLS
    doubles = sum(took.values()) - READERS
    print(f"\n{KILLS} kills, {READERS:,} readers: {doubles} doubles, {again} in flight when it came to them")  # noqa: T201  for -s
    assert all(took[address] <= each.attempts for address, each in deliveries.items())
    assert all(each.was_uncertain == (each.attempts > 1) for each in deliveries.values())
    assert await campaign.totals() == Counter(each.state for each in deliveries.values())
    assert sum((await campaign.totals()).values()) == READERS
    assert {each.state for each in deliveries.values()} == {"accepted"}


@pytest.mark.parametrize("campaign", [1_000], indirect=True)
async def test_a_worker_stopped_past_its_lease_and_let_go_again_sends_nothing(campaign: Campaign, sink: ScriptedRelay) -> None:
    async with campaign.worker() as stopped:
        await sink.has_taken(campaign.count // 10, WITHIN)
        held = sink.hold(Stage.DATA, times=CONNECTIONS)
        await sink.until(lambda: held.holding == CONNECTIONS, WITHIN)
        stopped.send_signal(signal.SIGSTOP)
        held.release()  # Each of its sessions has its 354 now, and may not act on it.
        async with campaign.worker() as another:
            await eventually(campaign.is_sent, WITHIN, every=0.1)
            another.terminate()
            assert await another.wait() == 0
        taken, begun = len(sink.taken), len(sink.begun)
        let_go_at = campaign.house.clock.now()
        stopped.send_signal(signal.SIGCONT)

        async def is_at_work_again() -> bool:
            seen = await campaign.house.db.fetchval("select max(seen_until) from worker")
            return bool(seen and seen > let_go_at + PRESENT_FOR)

        await eventually(is_at_work_again, WITHIN, every=0.1)
        stopped.terminate()
        assert await stopped.wait() == 0
    assert (len(sink.taken), len(sink.begun)) == (taken, begun)
    assert set(sink.took()) == set(campaign.readers)
    assert await campaign.totals() == {"accepted": campaign.count}
