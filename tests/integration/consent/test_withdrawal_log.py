"""Withdrawals are in a file outside the database within a tick; a file that knows more than the database stops campaigns."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from gettext import NullTranslations
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from newsletter.app import House
from newsletter.consent import service as consent
from newsletter.consent import store, withdrawal_file
from newsletter.consent.promises import file_promise
from newsletter.consent.rules import LEFT_FOR, REFUSED_FOR
from newsletter.consent.withdrawal_file import NotOurs, Withdrawal
from newsletter.consent.withdrawal_log import WithdrawalLog
from newsletter.core.errors import InvalidInput
from newsletter.jobs.schedule import Schedule, withdrawal_job
from tests.people import People

ADA, BEN, CLEO = "ada@example.org", "ben@example.org", "cleo@example.org"
TORN = b'{"number": 7, "kind": "unsub'


def told(log: WithdrawalLog) -> list[dict[str, Any]]:
    """All lines of all files but their headers."""
    files = [*withdrawal_file.closed_files(log.path), log.path]
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()[1:]]


def ids(log: WithdrawalLog) -> list[UUID]:
    return [UUID(line["id"]) for line in told(log)]


def from_the_future(people: People, address: str = CLEO, number: int = 99) -> Withdrawal:
    """Made in the database before it went back in time."""
    return Withdrawal(number, "unsubscribed", people.id_of(address), people.letter.list_id, people.clock.at)


def write_more(log: WithdrawalLog, *withdrawals: Withdrawal) -> None:
    withdrawal_file.append(withdrawal_file.open_file(log.path, log.installation), withdrawals)


async def stands_still(people: People) -> bool:
    return bool(await consent.standing_still(people.house.db))


async def test_the_file_holds_keyed_ids_and_can_be_read_by_its_owner_alone(people: People, log: WithdrawalLog) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    token = await people.sign_up(BEN)
    assert token is not None
    await people.refuse(token)
    assert await log.write(now=people.clock.at) == 2
    assert log.path.stat().st_mode & 0o777 == 0o600
    header = json.loads(log.path.read_bytes().splitlines()[0])
    assert header == {
        "withdrawals": 1,
        "installation": people.house.keyring.installation,
        "begins": 0,
        "since": people.clock.at.isoformat(),
    }
    at, list_id = people.clock.at.isoformat(), people.letter.list_id
    assert told(log) == [
        {"number": 1, "kind": "unsubscribed", "id": str(people.id_of(ADA)), "list": list_id, "at": at},
        {"number": 2, "kind": "refused", "id": str(people.id_of(BEN)), "list": list_id, "at": at},
    ]
    assert people.house.keyring.address_key.hex() not in log.path.read_text()


async def test_a_tick_of_the_schedule_writes_what_is_new_and_nothing_twice(people: People, log: WithdrawalLog) -> None:
    schedule = Schedule(people.house.db, people.clock, [withdrawal_job(log)], worker="worker")
    for address in (ADA, BEN):
        await people.reader(address)
        await people.unsubscribe(address)
        people.clock.move(seconds=5)
        assert await schedule.run_due() == ["write:withdrawals"]
    assert ids(log) == [people.id_of(ADA), people.id_of(BEN)]


async def test_what_is_committed_later_than_a_higher_number_is_not_skipped(people: People, log: WithdrawalLog) -> None:
    """Numbers are taken before a transaction ends."""
    db, at = people.house.db, people.clock.at
    async with db.transaction() as slow:
        await consent.record_withdrawals(slow, [Withdrawal(0, "objected", people.id_of(ADA), 0, at)])
        await consent.record_withdrawals(db, [Withdrawal(0, "objected", people.id_of(BEN), 0, at)])
        assert await log.write(now=at) == 1
    assert await log.write(now=at) == 1
    assert [(line["number"], UUID(line["id"])) for line in told(log)] == [(2, people.id_of(BEN)), (1, people.id_of(ADA))]


async def test_workers_that_write_at_the_same_time_write_each_once(people: People, log: WithdrawalLog) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    assert sorted(await asyncio.gather(*(log.write(now=people.clock.at) for _ in range(4)))) == [0, 0, 0, 1]
    assert ids(log) == [people.id_of(ADA)]


async def test_a_crash_between_the_file_and_the_database_loses_nothing_and_stops_nobody(
    people: People, log: WithdrawalLog
) -> None:
    for address in (ADA, BEN):
        await people.reader(address)
        await people.unsubscribe(address)
        if address == ADA:
            await log.write(now=people.clock.at)
    write_more(log, *await store.unwritten(people.house.db, size=10))  # And killed here.
    assert await log.look(now=people.clock.at)
    await log.write(now=people.clock.at)
    assert set(ids(log)) == {people.id_of(ADA), people.id_of(BEN)}
    assert not await stands_still(people)
    assert await log.write(now=people.clock.at) == 0


@pytest.mark.parametrize("torn", [TORN, b"\0" * 5000], ids=["half a line", "zeros, as after a power cut"])
async def test_a_line_that_a_crash_has_torn_is_written_whole(people: People, log: WithdrawalLog, torn: bytes) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await log.write(now=people.clock.at)
    await people.reader(BEN)
    await people.unsubscribe(BEN)
    with log.path.open("ab") as file:
        file.write(torn)
    assert await log.write(now=people.clock.at) == 1
    assert ids(log) == [people.id_of(ADA), people.id_of(BEN)]


async def test_a_torn_line_is_cut_off_when_there_is_nothing_new_too(people: People, log: WithdrawalLog) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await log.write(now=people.clock.at)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + TORN)
    await log.write(now=people.clock.at)
    assert log.path.read_bytes() == whole
    assert await log.look(now=people.clock.at)


async def test_a_file_that_knows_more_than_the_database_stops_campaigns_and_is_not_written(
    people: People, log: WithdrawalLog
) -> None:
    await people.reader(ADA)
    await people.reader(BEN)
    await people.unsubscribe(BEN)
    await log.write(now=people.clock.at)
    write_more(log, from_the_future(people))
    as_found = log.path.read_bytes()
    await people.unsubscribe(ADA)
    assert await log.write(now=people.clock.at) == 0
    assert await stands_still(people)
    assert await log.write(now=people.clock.at) == 0
    assert log.path.read_bytes() == as_found
    assert await people.states(ADA) == {"letter": "unsubscribed"}


async def test_a_file_that_fits_again_is_not_written_before_a_replay(people: People, log: WithdrawalLog) -> None:
    """Somebody put one back: whether it is the right one is for the replay to say."""
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await log.write(now=people.clock.at)
    away = log.path.rename(log.path.with_name("away"))
    assert not await log.look(now=people.clock.at)
    away.rename(log.path)
    await people.reader(BEN)
    await people.unsubscribe(BEN)
    assert await log.write(now=people.clock.at) == 0
    assert ids(log) == [people.id_of(ADA)]


async def test_a_database_that_went_back_is_found_out_when_it_has_given_out_as_many_numbers_since(
    people: People, log: WithdrawalLog
) -> None:
    """The numbers of the file and of the database then say the same; the people do not."""
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await log.write(now=people.clock.at)
    write_more(log, from_the_future(people, CLEO, 2), from_the_future(people, CLEO, 3))
    for address in (BEN, "dora@example.org", "emil@example.org"):
        await people.reader(address)
        await people.unsubscribe(address)
    assert not await log.look(now=people.clock.at)


@pytest.mark.parametrize("gone", ["the file", "its end"])
async def test_a_file_that_is_gone_or_shorter_than_what_was_written_stops_campaigns(
    people: People, log: WithdrawalLog, gone: str
) -> None:
    """Whether the database went back cannot be known any more."""
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await log.write(now=people.clock.at)
    if gone == "the file":
        log.path.unlink()
    else:
        log.path.write_bytes(log.path.read_bytes().splitlines(keepends=True)[0])
    assert not await log.look(now=people.clock.at)
    assert await stands_still(people)


async def test_a_line_beyond_the_mark_that_cannot_be_read_stops_campaigns(people: People, log: WithdrawalLog) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    await log.write(now=people.clock.at)
    with log.path.open("ab") as file:
        file.write(b"who knows\n")
    assert not await log.look(now=people.clock.at)


async def test_the_file_of_another_installation_is_not_written(people: People, log: WithdrawalLog) -> None:
    withdrawal_file.begin(log.path, "of others", begins=0, now=people.clock.at)
    before = log.path.read_bytes()
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    with pytest.raises(NotOurs, match="another installation"):
        await log.write(now=people.clock.at)
    assert log.path.read_bytes() == before


async def test_a_file_that_is_something_else_is_not_written(people: People, log: WithdrawalLog) -> None:
    log.path.write_text("dear diary\n")
    with pytest.raises(InvalidInput, match=r"line 1.*NEWSLETTER_WITHDRAWAL_LOG"):
        await log.look(now=people.clock.at)
    assert log.path.read_text() == "dear diary\n"


# Files that it continues.


async def _one_a_day(people: People, log: WithdrawalLog, *addresses: str) -> None:
    for address in addresses:
        await people.reader(address)
        await people.unsubscribe(address)
        await log.write(now=people.clock.at)
        people.clock.move(days=1)
        await log.write(now=people.clock.at)


async def test_a_file_is_closed_after_a_day_and_the_next_goes_on_where_it_ended(people: People, log: WithdrawalLog) -> None:
    await _one_a_day(people, log, ADA, BEN)
    files = log.files()
    assert [file.path.name for file in files] == [
        "withdrawals.jsonl.20261122T140500Z-0000000000000000",
        f"withdrawals.jsonl.20261123T140500Z-{files[0].end:016}",
        "withdrawals.jsonl",
    ]
    assert [file.begins for file in files[1:]] == [file.end for file in files[:-1]]
    await people.reader(CLEO)
    await people.unsubscribe(CLEO)
    await log.write(now=people.clock.at)
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert ids(log) == [people.id_of(address) for address in (ADA, BEN, CLEO)]
    assert not await stands_still(people)


async def test_a_large_file_is_closed(people: People, log: WithdrawalLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdrawal_file, "LARGEST", 200)
    for address in (ADA, BEN, CLEO):
        await people.reader(address)
        await people.unsubscribe(address)
        await log.write(now=people.clock.at)
    assert len(withdrawal_file.closed_files(log.path)) == 2
    assert ids(log) == [people.id_of(address) for address in (ADA, BEN, CLEO)]


async def test_a_database_that_went_back_beyond_the_present_file_is_found_out(people: People, log: WithdrawalLog) -> None:
    await _one_a_day(people, log, ADA)
    closed = withdrawal_file.append(log.files()[0], [from_the_future(people)])
    withdrawal_file.begin(log.path, log.installation, begins=closed.end, now=people.clock.at)
    assert not await log.look(now=people.clock.at)


async def test_a_closed_file_is_deleted_when_the_oldest_backup_is_younger(people: People, log: WithdrawalLog) -> None:
    promise = file_promise(log.path, backup_days=30)
    await _one_a_day(people, log, ADA, BEN)
    closed = withdrawal_file.closed_at(withdrawal_file.closed_files(log.path)[0])
    for now, left in ((closed + timedelta(days=30, seconds=-1), 2), (closed + timedelta(days=30), 1)):
        due = await promise.due(people.house.db, now)
        kept = await promise.keep(people.house.db, now, 500)
        assert (due.due, kept.removed) == (2 - left, 2 - left)
        assert len(withdrawal_file.closed_files(log.path)) == left
    assert kept.oldest == closed + timedelta(days=30)
    assert await log.look(now=people.clock.at), "what was deleted in time is not missed"


async def test_after_weeks_without_a_withdrawal_all_closed_files_are_gone_and_nothing_stands_still(
    people: People, log: WithdrawalLog
) -> None:
    promise = file_promise(log.path, backup_days=30)
    await _one_a_day(people, log, ADA)
    people.clock.move(days=40)
    await log.write(now=people.clock.at)
    await promise.keep(people.house.db, people.clock.at, 500)
    assert withdrawal_file.closed_files(log.path) == []
    await log.write(now=people.clock.at)
    assert not await stands_still(people)


async def test_where_a_crash_came_before_the_next_was_begun_the_last_file_stays(people: People, log: WithdrawalLog) -> None:
    promise = file_promise(log.path, backup_days=30)
    await _one_a_day(people, log, ADA)
    log.path.unlink()
    people.clock.move(days=40)
    assert (await promise.due(people.house.db, people.clock.at)).due == 0
    assert (await promise.keep(people.house.db, people.clock.at, 500)).removed == 0
    assert await log.look(now=people.clock.at)


async def test_a_file_that_somebody_put_beside_it_is_not_deleted(people: People, log: WithdrawalLog) -> None:
    beside = Path(f"{log.path}.copy")
    beside.write_text("mine")
    people.clock.move(days=4000)
    await file_promise(log.path, backup_days=30).keep(people.house.db, people.clock.at, 500)
    assert beside.exists()


# Before there is a file.


async def test_what_no_file_was_there_for_stands_in_the_first_unless_its_time_is_over(
    people: People, log: WithdrawalLog
) -> None:
    token = await people.sign_up(BEN)
    assert token is not None
    await people.refuse(token)
    people.clock.at += REFUSED_FOR - timedelta(days=1)
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.move(days=1, hours=1)
    await people.tick()
    assert await people.count("withdrawal") == await people.count("withdrawal_unwritten") == 1
    assert await log.write(now=people.clock.at) == 1
    assert ids(log) == [people.id_of(ADA)]
    assert await people.count("withdrawal_unwritten") == 0


async def test_where_there_is_never_a_file_nothing_is_kept_for_it_longer_than_the_withdrawal(people: People) -> None:
    await people.reader(ADA)
    await people.unsubscribe(ADA)
    people.clock.at += timedelta(days=14)
    await people.tick()
    assert await people.count("withdrawal_unwritten") == 2
    people.clock.at += LEFT_FOR + timedelta(hours=1)
    await people.tick()
    assert await people.count("withdrawal_unwritten") == 0


# In the house.


def with_file(house: House, path: Path) -> House:
    return replace(house, settings=house.settings.model_copy(update={"withdrawal_log": path}))


async def test_a_worker_writes_the_file_where_there_is_one_beside_all_that_takes_long(house: House, tmp_path: Path) -> None:
    assert ["write:withdrawals"] not in [await schedule.run_due() for schedule in house.worker()._schedules]
    worker = with_file(house, tmp_path / "withdrawals.jsonl").worker()
    assert ["write:withdrawals"] in [await schedule.run_due() for schedule in worker._schedules][1:]


async def test_a_promise_says_for_how_long_the_files_are_kept(house: House, tmp_path: Path) -> None:
    """As long as the oldest backup."""
    assert "withdrawal-files" not in [promise.name for promise in house.retention.promises]
    promises = with_file(house, tmp_path / "withdrawals.jsonl").retention.promises
    (promise,) = [promise for promise in promises if promise.name == "withdrawal-files"]
    assert promise.deadline == timedelta(days=30)
    assert "each 30 days after it was closed" in promise.sentence(NullTranslations())


@pytest.mark.parametrize("what", ["another installation's", "a folder", "nonsense"])
async def test_a_file_that_cannot_be_read_is_said_and_ends_nothing(house: House, tmp_path: Path, what: str) -> None:
    path = tmp_path / "withdrawals.jsonl"
    if what == "a folder":
        path.mkdir()
    elif what == "nonsense":
        path.write_text("dear diary\n")
    else:
        withdrawal_file.begin(path, "of others", begins=0, now=house.clock.now())
    with capture_logs() as logged:
        await with_file(house, path).look_at_withdrawals()
    (line,) = logged
    assert line["event"] in ("withdrawal_log_refused", "withdrawal_log_unreadable")
    assert str(path) in line.get("file", line["reason"])


async def test_the_mark_of_an_installation_is_not_a_code_of_anybody(house: House) -> None:
    mark = house.keyring.installation
    assert len(bytes.fromhex(mark)) == 16
    assert mark != house.keyring.limit_code("withdrawals").hex()
    assert mark != house.keyring.subscriber_id("withdrawals").hex
