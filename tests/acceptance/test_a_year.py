"""A year of people who sign up, confirm, lapse, refuse, leave, bounce, complain, come back and are erased, on a clock that is
moved from one due moment to the next: no promise is overdue on any day, nothing names anybody who should be forgotten, and the
totals are right.

    YEAR_PEOPLE=20000 pytest -s tests/acceptance/test_a_year.py        the whole of it, 40 minutes
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.consent.service import Origin
from newsletter.core.database import Database
from newsletter.core.errors import DatabaseError
from newsletter.core.keys import open_keyring
from newsletter.core.logs import set_up_logs
from newsletter.dev.mailbox import Mailbox
from newsletter.jobs.schedule import Schedule, retention_jobs
from newsletter.privacy.rights import Actor
from newsletter.privacy.rules import months_later
from newsletter.privacy.service import JOB
from newsletter.settings import Settings
from newsletter.subscribing.rules import Via
from tests.conftest import SECRET, START, ManualClock, Server
from tests.dumps import dump, hidden_forms
from tests.people import People
from tests.relay import Say, ScriptedRelay, Stage

PEOPLE = int(os.environ.get("YEAR_PEOPLE", "80"))
SEED = 1
DOMAIN = "quay.example"
YEAR, DAY, HOUR = timedelta(days=365), timedelta(days=1), timedelta(hours=1)
TOGETHER = timedelta(minutes=30)
"""The schedule is looked at when this is full after something with an hour's grace has fallen due, and once a day for the
rest: less often than in life, where it is each five seconds."""

Act = Callable[[], Awaitable[None]]


@dataclass
class Person:
    """Somebody with an address, and what should be so about them."""

    address: str
    name: str
    network: str
    forget_at: datetime | None = None
    """When nothing may name them any more; None while they are readers."""
    is_reader: bool = False
    paused_until: datetime | None = None

    @property
    def origin(self) -> Origin:
        return Origin("https://quay.example/letter", self.network, f"Browser of {self.name}")


@dataclass
class Year:
    """A heap of what happens when; `told` counts what the totals should come to."""

    people: People
    relay: ScriptedRelay
    dice: random.Random
    persons: list[Person] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    overdue: list[str] = field(default_factory=list)
    campaigns: dict[int, int] = field(default_factory=dict)
    """By number, how many mails the relay took of each."""
    _heap: list[tuple[datetime, int, Act]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _ticks: set[datetime] = field(default_factory=set)

    def at(self, moment: datetime, act: Act) -> None:
        heapq.heappush(self._heap, (moment, next(self._numbers), act))

    def tick_at(self, moment: datetime) -> None:
        """The first look at the schedule after that."""
        half_hour = START + -(-(moment - START) // TOGETHER) * TOGETHER
        if half_hour not in self._ticks:
            self._ticks.add(half_hour)
            self.at(half_hour, self.tick)

    async def pass_by(self) -> None:
        """Until nothing is left in the year."""
        while self._heap:
            moment, _, act = heapq.heappop(self._heap)
            if moment > START + YEAR:
                break
            self.people.clock.at = max(moment, self.people.clock.at)
            await act()

    async def tick(self) -> None:
        """Of the jobs that have an hour for it."""
        await self.run_jobs([each.name for each in self.people.house.retention.promises if each.grace <= HOUR])

    async def run_jobs(self, names: Sequence[str]) -> None:
        """As a worker would, but only those that can have something to do: all of them take most of a year's time."""
        house = self.people.house
        jobs = [job for job in retention_jobs(house.retention) if job.name.removeprefix(JOB) in names]
        await Schedule(house.db, house.clock, jobs, worker="w").run_due()

    async def look(self) -> None:
        """Once a day: is any promise overdue?"""
        now = self.people.clock.at
        assert self.people.house.withdrawal_log is not None
        await self.people.house.withdrawal_log.write(now=now)
        standings = await self.people.house.outlook.standings(now=now)
        self.overdue += [f"{now:%d %B}: {each.promise}" for each in standings if each.overdue]
        await self.run_jobs([each.promise for each in standings if each.due])
        for next_run in (each.next_run for each in standings if each.due and each.next_run and each.next_run > now):
            self.tick_at(next_run)

    async def provoke(self) -> None:
        """Errors that quote what was written, as a bug would."""
        for person in self.persons[:3]:
            with pytest.raises(DatabaseError):
                await self.people.house.db.execute(
                    "insert into subscriber (subscriber_id, address, domain, name, language, created_at) "
                    "values (gen_random_uuid(), $1, 'Upper.Case', $2, 'en', $3)",
                    person.address,
                    person.name,
                    START,
                )

    # What people do.

    def soon(self, least: timedelta, most: timedelta) -> datetime:
        return self.people.clock.at + least + (most - least) * self.dice.random()

    async def arrive(self, person: Person) -> None:
        token = await self.people.sign_up(person.address, name=person.name, origin=person.origin)
        self.tick_at(self.people.clock.at + DAY)
        if token is None:  # Limited, or suppressed after a refusal: nothing is known of them, then.
            return
        self.told["asked"] += 1
        person.forget_at = self.people.clock.at + 25 * HOUR
        await self.people.letters()
        match self.dice.random():
            case chance if chance < 0.2:
                self.told["lapsed"] += 1
            case chance if chance < 0.27:
                self.at(self.soon(HOUR / 60, 20 * HOUR), lambda: self.refuse(person, token))
            case _:
                self.at(self.soon(HOUR / 60, 23 * HOUR), lambda: self.confirm(person, token))

    async def refuse(self, person: Person, token: str) -> None:
        await self.people.refuse(token)
        self.told["refused"] += 1
        person.forget_at = self.people.clock.at

    async def confirm(self, person: Person, token: str) -> None:
        await self.people.confirm(token)
        self.told["confirmed"] += 1
        person.forget_at, person.is_reader = None, True
        match self.dice.random():
            case chance if chance < 0.55:
                self.at(self.soon(HOUR, 200 * DAY), lambda: self.leave(person))
            case chance if chance < 0.65:
                self.at(self.soon(HOUR, 200 * DAY), lambda: self.come_back_as_undeliverable(person))
            case chance if chance < 0.75:
                self.at(self.soon(HOUR, 100 * DAY), lambda: self.pause(person))
            case chance if chance < 0.82:
                self.at(self.soon(HOUR, 200 * DAY), lambda: self.erase_on_page(person))

    async def leave(self, person: Person) -> None:
        via = self.dice.choice([Via.LINK, Via.ONE_CLICK])
        answer = await self.people.unsubscribe(person.address, via=via)
        self.told["unsubscribed"] += 1
        person.forget_at, person.is_reader = self.people.clock.at + 14 * DAY + HOUR, False
        self.tick_at(self.people.clock.at + 14 * DAY)
        match self.dice.random():
            case chance if chance < 0.1:
                await self.people.undo(answer.undo_token)
                self.told["unsubscribed"] -= 1
                person.forget_at, person.is_reader = None, True
            case chance if chance < 0.3:
                await self.people.erase_now(answer.undo_token)
                self.told["erased"] += 1
                person.forget_at = self.people.clock.at
            case chance if chance < 0.4:
                self.told["erased"] += 1
                self.at(self.soon(40 * DAY, 90 * DAY), lambda: self.arrive(person))
            case _:
                self.told["erased"] += self.people.clock.at + 14 * DAY <= START + YEAR

    async def come_back_as_undeliverable(self, person: Person) -> None:
        """Their mail bounces for good, or they call it junk."""
        ending, who, now = self.people.house.ending, self.people.id_of(person.address), self.people.clock.at
        ended = await (ending.bounced if self.dice.random() < 0.7 else ending.complained)(who, now=now)
        self.told["unsubscribed"] += ended
        person.forget_at, person.is_reader = now + 14 * DAY + HOUR, False
        self.tick_at(now + 14 * DAY)

    async def pause(self, person: Person) -> None:
        """By the link to their data, which they ask for; some ask and do nothing."""
        house, now = self.people.house, self.people.clock.at
        await house.asking.request(person.address, "en", person.network, now=now)
        while await house.asking.process_once(now=now):
            pass
        await self.people.letters()
        self.tick_at(now + DAY)
        who = self.people.id_of(person.address)
        await house.rights.restrict(who, self.people.letter.list_id, months=3, by=Actor(Via.PAGE, person.origin), now=now)
        person.paused_until = months_later(now, 3)
        self.at(self.soon(DAY, 150 * DAY), lambda: self.erase_on_page(person))

    async def erase_on_page(self, person: Person) -> None:
        await self.people.house.rights.erase(
            self.people.id_of(person.address), by=Actor(Via.PAGE, person.origin), now=self.people.clock.at
        )
        self.told["erased"] += 1
        self.told["unsubscribed"] += person.is_reader
        person.forget_at, person.is_reader = self.people.clock.at, False

    async def campaign(self) -> None:
        draft = Draft("en", "The long tide", "", Format.MARKDOWN, "Dear {{ name }}, the tide is out.")
        house, now = self.people.house, self.people.clock.at
        before = len(self.relay.taken)
        number = await house.campaigns.create(NewCampaign("letter", "Tide", (draft,)), by="ops", now=now)
        await house.campaigns.send(number, by="ops", now=now)
        sending = house.sending(worker="w")
        while await sending.run_once():
            pass
        await sending.close()
        readers = {
            person.address
            for person in self.persons
            if person.is_reader and not (person.paused_until and person.paused_until > now)
        }
        assert {mail.recipient for mail in self.relay.taken[before:]} == readers
        self.campaigns[number] = len(self.relay.taken) - before


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    async with ScriptedRelay() as made:
        yield made


@pytest.fixture
async def year(
    settings: Settings, db: Database, clock: ManualClock, mailbox: Mailbox, relay: ScriptedRelay, tmp_path: Path
) -> AsyncIterator[Year]:
    smtp_url = SecretStr(f"smtp://127.0.0.1:{relay.port}?starttls=never")
    house = House(
        settings.model_copy(update={"smtp_url": smtp_url, "withdrawal_log": tmp_path / "withdrawals"}),
        db,
        await open_keyring(db, SECRET, now=START),
        clock,
    )
    async with People(house, clock, mailbox) as people:
        made = Year(people, relay, random.Random(SEED))
        for number in range(PEOPLE):
            network = f"198.51.{number // 250 % 250}.{number % 250}"
            person = Person(f"person{number}@{DOMAIN}", f"Zaffre{number}", network)
            made.persons.append(person)
            if number % 10 == 0:
                relay.on(
                    Stage.RCPT, Say(f"550 5.1.1 <{person.address}>: no such user {person.name}"), to=person.address, times=1
                )
            made.at(START + YEAR * made.dice.random(), lambda person=person: made.arrive(person))  # type: ignore[misc]
        for month in range(1, 12):
            made.at(START + month * 30 * DAY, made.campaign)
        made.at(START + 100 * DAY, made.provoke)
        for day in range(1, 366):
            made.at(START + day * DAY, made.look)
        yield made
    await house.close()


@pytest.mark.timeout(max(300, PEOPLE))
async def test_after_a_year_every_promise_was_kept_on_every_day(
    year: Year, server: Server, database_url: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    set_up_logs("info", process="year")
    await year.pass_by()
    assert year.overdue == []

    people, now = year.people, year.people.clock.at
    forgotten = {person.address for person in year.persons if person.forget_at and person.forget_at <= now}
    readers = {person.address for person in year.persons if person.is_reader}
    assert min(len(forgotten), len(readers)) > PEOPLE / 10, "a year in which nothing happens shows nothing"

    backup = (await dump(server, database_url)).lower()
    named = set(re.findall(rb"[a-z0-9.]+@quay\.example", backup))
    assert {address.encode() for address in forgotten} & named == set()
    assert {address.encode() for address in readers} <= named
    names = {int(number) for number in re.findall(rb"zaffre(\d+)", backup)}
    assert {int(re.sub(r"\D", "", address)) for address in forgotten} & names == set()
    assert [form for form in hidden_forms(DOMAIN) if form.lower() in backup] == []

    written = "".join(capfd.readouterr()) + "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    if server.log_file is not None:
        written += server.log_file.read_text()
    assert "job_done" in written
    assert '"kind": "erased"' in written, "withdrawals are written"
    assert server.log_file is None or "subscriber_domain_check" in written, "what was provoked is there, without the row"
    assert DOMAIN not in written
    assert "zaffre" not in written.lower()

    counted = await people.house.db.fetchrow(
        """select sum(asked) as asked, sum(confirmed) as confirmed, sum(refused) as refused, sum(lapsed) as lapsed,
                  sum(unsubscribed) as unsubscribed, sum(erased) as erased from list_day"""
    )
    assert counted is not None
    print(f"{PEOPLE:,} people: {dict(year.told)}; {len(forgotten):,} forgotten, {len(readers):,} readers")  # noqa: T201
    assert {name: int(counted[name]) for name in ("asked", "confirmed", "refused", "unsubscribed")} == {
        name: year.told[name] for name in ("asked", "confirmed", "refused", "unsubscribed")
    }
    for number, taken in year.campaigns.items():
        totals = (await people.house.campaigns.status(number)).totals
        assert (totals.get("accepted"), sum(totals.values())) == (taken, taken)
