"""After a restore: whoever left since the backup leaves again, nobody else does, and then campaigns go on.

The database that went back is made by the file that went on: lines are added to it that this database never knew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from newsletter.app import House
from newsletter.consent import service as consent
from newsletter.consent import withdrawal_file
from newsletter.consent.rules import LEFT_FOR
from newsletter.consent.withdrawal_file import NotOurs, Withdrawal
from newsletter.consent.withdrawal_log import WithdrawalLog, lines_of
from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.dev.mailbox import Mailbox
from newsletter.operators.service import audit
from newsletter.privacy.replay import Replay, Replayed
from newsletter.privacy.rights import Actor
from newsletter.privacy.rules import months_later
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock
from tests.people import WEB, People

ADA, BEN, CLEO, DORA = "ada@example.org", "ben@example.org", "cleo@example.org", "dora@example.org"


@pytest.fixture
async def people(house: House, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[People]:
    async with People(house, clock, mailbox) as made:
        yield made


@pytest.fixture
def log(people: People, tmp_path: Path) -> WithdrawalLog:
    return WithdrawalLog(people.house.db, people.house.keyring, tmp_path / "withdrawals.jsonl")


def replay(people: People, log: WithdrawalLog | None) -> Replay:
    return Replay(people.house.db, people.house.ledger, people.house.keyring.installation, log, audit)


async def run(people: People, log: WithdrawalLog | None, *more: Path, without_file: bool = False) -> Replayed:
    return await replay(people, log).run(more, by="ops", now=people.clock.at, without_file=without_file)


class Lost:
    """What happened after the backup and is known to the file alone."""

    def __init__(self, people: People, log: WithdrawalLog) -> None:
        self._people = people
        self._log = log
        self._number = 100

    async def begin(self) -> None:
        """The time of the backup: a reader had left before, so that there is a file."""
        await self._people.reader("before@example.org")
        await self._people.unsubscribe("before@example.org")
        await self._log.write(now=self._people.clock.at)

    def add(
        self,
        kind: str,
        address: str,
        *,
        list_id: int | None = None,
        at: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        self._number += 1
        which = self._people.letter.list_id if list_id is None else list_id
        made = Withdrawal(self._number, kind, self._people.id_of(address), which, at or self._people.clock.at, until)
        withdrawal_file.append(withdrawal_file.open_file(self._log.path, self._log.installation), [made])


@pytest.fixture
async def lost(people: People, log: WithdrawalLog) -> Lost:
    made = Lost(people, log)
    await made.begin()
    return made


async def nothing_changed(people: People, log: WithdrawalLog) -> bool:
    still = bool(await consent.standing_still(people.house.db))
    return still and await people.count("withdrawal") == 1 and await people.count("audit_log") == 0


async def test_each_is_done_again_as_of_its_own_time(people: People, log: WithdrawalLog, lost: Lost) -> None:
    await people.reader(ADA, "letter", "digest")
    for address in (BEN, CLEO, DORA, "emil@example.org"):
        await people.reader(address)
    await people.sign_up("frida@example.org")
    people.clock.move(hours=1)
    at = people.clock.at
    lost.add("unsubscribed", ADA)
    lost.add("erased", BEN, list_id=0)
    lost.add("complained", CLEO, list_id=0)
    lost.add("restricted", DORA)
    lost.add("objected", "emil@example.org", list_id=0)
    lost.add("refused", "frida@example.org")
    people.clock.move(hours=1)
    assert not await log.look(now=people.clock.at)
    done = await run(people, log)
    assert (done.withdrawals, done.unknown, done.unsubscribed, done.restricted, done.erased) == (7, 6, 4, 1, 1)
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "confirmed"}
    assert not await people.is_known(BEN)
    assert await people.suppressions(BEN) == {(people.letter.list_id, "left")}
    assert await people.states(CLEO) == {"letter": "unsubscribed"}
    assert await people.left_at(CLEO) == at
    assert await people.suppressions(CLEO) == {(0, "complained")}
    assert await people.suppressions(DORA) == {(people.letter.list_id, "restricted")}
    assert await people.suppressions("emil@example.org") == {(0, "objected")}
    assert not await people.is_known("frida@example.org")
    assert await people.suppressions("frida@example.org") == {(people.letter.list_id, "refused")}
    row = await people.house.db.fetchrow(
        "select via, occurred_at from consent_event where subscriber_id = $1 and kind = 'unsubscribed'", people.id_of(ADA)
    )
    assert tuple(row) == ("operator", at)
    assert await consent.standing_still(people.house.db) == []
    rows = await people.house.db.fetch("select operator, action, target from audit_log")
    assert [tuple(row) for row in rows] == [("ops", "privacy.replay", "6 of 7 withdrawals")]


async def test_a_pause_comes_back_with_its_end_unless_that_is_over(people: People, log: WithdrawalLog, lost: Lost) -> None:
    for address in (ADA, BEN):
        await people.reader(address)
    end = people.clock.at + timedelta(days=90)
    lost.add("restricted", ADA, until=end)
    lost.add("restricted", BEN, until=people.clock.at + timedelta(hours=1))
    people.clock.move(hours=2)
    done = await run(people, log)
    assert (done.unknown, done.restricted) == (2, 1)
    assert await people.suppressions(BEN) == set()
    assert await people.house.db.fetchval("select until from suppression where reason = 'restricted'") == end


async def test_a_pause_that_is_done_again_is_on_record_as_of_its_time(people: People, log: WithdrawalLog, lost: Lost) -> None:
    for address in (ADA, BEN, CLEO):
        await people.reader(address)
    at, unknown = people.clock.move(hours=1), 99
    lost.add("restricted", ADA)
    lost.add("restricted", BEN, list_id=0)
    lost.add("restricted", CLEO, list_id=unknown)  # A list that was made after the backup.
    people.clock.move(hours=1)
    for _ in range(2):  # Run twice, it changes nothing.
        await run(people, log)
        rows = await people.house.db.fetch(
            "select subscriber_id, list_id, via, occurred_at from consent_event where kind = 'restricted' order by event_id"
        )
        assert [tuple(row) for row in rows] == [
            (people.id_of(ADA), people.letter.list_id, "operator", at),
            (people.id_of(BEN), None, "operator", at),
        ]
    assert await people.suppressions(CLEO) == {(unknown, "restricted")}


async def test_the_end_of_a_pause_is_in_the_file(people: People, log: WithdrawalLog) -> None:
    who = await people.reader(ADA)
    await people.house.rights.restrict(who, people.letter.list_id, months=3, by=Actor(Via.PAGE, WEB), now=people.clock.at)
    await log.write(now=people.clock.at)
    (line,) = [each for each in lines_of(log.files()) if isinstance(each, Withdrawal)]
    assert (line.kind, line.until) == ("restricted", months_later(people.clock.at, 3))


async def test_what_was_said_of_a_pause_last_stands(people: People, log: WithdrawalLog, lost: Lost) -> None:
    """In the backup it ends in a month; afterwards the person said: until I end it."""
    who = await people.reader(ADA)
    page = Actor(Via.PAGE, WEB)
    await people.house.rights.restrict(who, people.letter.list_id, months=1, by=page, now=people.clock.at)
    await log.write(now=people.clock.at)
    people.clock.move(hours=1)
    lost.add("restricted", ADA)
    await run(people, log)
    assert await people.house.db.fetch("select until from suppression where reason = 'restricted' and until is not null") == []


@pytest.mark.parametrize("kind", ["complained", "erased", "objected", "unsubscribed"])
@pytest.mark.parametrize("here", [True, False])
async def test_lines_that_stand_there_twice_count_once(
    people: People, log: WithdrawalLog, lost: Lost, tmp_path: Path, kind: str, *, here: bool
) -> None:
    """A crash between the disk and the database leaves them, and so does a copy that is named besides."""
    if here:
        await people.reader(ADA)
    for _ in range(2):
        lost.add(kind, ADA, list_id=0)
    copy = tmp_path / "copy"
    copy.write_bytes(log.path.read_bytes())
    done = await run(people, log, copy)
    assert (done.withdrawals, done.unknown) == (6, 1)
    assert await people.count("withdrawal", "subscriber_id = $1 and kind = $2", people.id_of(ADA), kind) == 1
    assert await consent.standing_still(people.house.db) == []


async def test_what_stays_of_the_erased_counts_from_when_they_were(people: People, log: WithdrawalLog, lost: Lost) -> None:
    await people.reader(ADA)
    erased_at = people.clock.move(hours=1)
    lost.add("erased", ADA, list_id=0)
    people.clock.move(days=20)
    await run(people, log)
    assert await people.house.db.fetchval("select until from suppression") == erased_at + LEFT_FOR
    assert await people.house.db.fetchval("select max(erased_at) from evidence") == erased_at


async def test_whoever_was_only_pending_in_the_backup_has_a_code_once_erased(
    people: People, log: WithdrawalLog, lost: Lost
) -> None:
    await people.sign_up(ADA)
    people.clock.move(hours=1)
    lost.add("erased", ADA, list_id=0)
    await run(people, log)
    assert await people.suppressions(ADA) == {(0, "left")}


async def test_a_second_run_changes_nothing(people: People, log: WithdrawalLog, lost: Lost) -> None:
    await people.reader(ADA)
    await people.reader(BEN)
    lost.add("unsubscribed", ADA)
    lost.add("erased", BEN, list_id=0)
    lost.add("erased", "never-here@example.org", list_id=0)
    await run(people, log)
    tables = ("subscriber", "subscription", "suppression", "withdrawal", "consent_event", "evidence")
    before = [await people.count(table) for table in tables]
    done = await run(people, log)
    assert (done.unknown, done.unsubscribed, done.suppressed, done.erased) == (0, 0, 0, 0)
    assert [await people.count(table) for table in tables] == before


async def test_whoever_confirmed_anew_after_it_is_not_harmed(people: People, log: WithdrawalLog, lost: Lost) -> None:
    await people.reader(ADA)
    for kind, address in (("unsubscribed", BEN), ("erased", CLEO), ("objected", DORA), ("complained", "emil@example.org")):
        lost.add(kind, address, list_id=people.letter.list_id if kind == "unsubscribed" else 0)
    lost.add("erased", ADA, list_id=0)
    people.clock.move(hours=1)
    for address in (BEN, CLEO, DORA, "emil@example.org"):
        await people.reader(address)
    await people.reader(ADA, "digest")
    done = await run(people, log)
    assert done.returned == 5
    for address in (BEN, CLEO, DORA, "emil@example.org"):
        assert (await people.states(address), await people.suppressions(address)) == ({"letter": "confirmed"}, set())
    assert await people.states(ADA) == {"letter": "unsubscribed", "digest": "confirmed"}


async def test_what_the_database_knows_is_left_as_it_is(people: People, log: WithdrawalLog) -> None:
    """Somebody took an unsubscribe back, before the backup."""
    await people.reader(ADA)
    answer = await people.unsubscribe(ADA)
    people.clock.move(minutes=1)
    await people.undo(answer.undo_token)
    await log.write(now=people.clock.at)
    assert (await run(people, log)).unknown == 0
    assert await people.states(ADA) == {"letter": "confirmed"}


async def test_whoever_came_and_went_since_the_backup_is_known_by_a_code_again(
    people: People, log: WithdrawalLog, lost: Lost
) -> None:
    """Or an import would bring them back."""
    lost.add("unsubscribed", ADA)
    lost.add("erased", BEN, list_id=0)
    done = await run(people, log)
    assert done.suppressed == 2
    assert await people.suppressions(ADA) == {(people.letter.list_id, "left")}
    assert await people.suppressions(BEN) == {(0, "left")}
    token = await people.sign_up(BEN)
    assert token is not None, "their own sign-up is welcome"


async def test_withdrawals_made_meanwhile_are_kept_and_numbered_beyond_the_file(
    people: People, log: WithdrawalLog, lost: Lost
) -> None:
    await people.reader(ADA)
    await people.reader(BEN)
    lost.add("unsubscribed", CLEO)
    assert not await log.look(now=people.clock.at)
    await people.unsubscribe(ADA)
    await log.write(now=people.clock.at)
    await run(people, log)
    await people.unsubscribe(BEN)
    await log.write(now=people.clock.at)
    assert await people.house.db.fetchval("select max(withdrawal_id) from withdrawal") > 101
    (file,) = log.files()
    written = {each.subscriber_id for each in withdrawal_file.withdrawals_in(file) if isinstance(each, Withdrawal)}
    assert {people.id_of(ADA), people.id_of(BEN)} <= written
    assert await log.look(now=people.clock.at)


async def test_a_torn_last_line_is_told_and_the_rest_done(people: People, log: WithdrawalLog, lost: Lost) -> None:
    await people.reader(ADA)
    lost.add("unsubscribed", ADA)
    with log.path.open("ab") as file:
        file.write(b'{"number": 7, "ki')
    done = await run(people, log)
    assert (done.torn, done.unsubscribed) == ([str(log.path)], 1)
    assert await log.look(now=people.clock.at)
    assert log.path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("garbage", ["who knows", "[1, 2]", '{"number": 1}', '{"number": 1, "kind": "sent", "id": "x"}', "\0"])
async def test_garbage_in_the_middle_is_refused_by_its_line_and_changes_nothing(
    people: People, log: WithdrawalLog, lost: Lost, garbage: str
) -> None:
    await people.reader(ADA)
    lost.add("unsubscribed", ADA)
    with log.path.open("a") as file:
        file.write(f"{garbage}\n")
    lost.add("unsubscribed", ADA)
    await log.look(now=people.clock.at)
    with pytest.raises(InvalidInput, match="line 4: this is no withdrawal") as refused:
        await run(people, log)
    assert refused.value.line == 4
    assert await people.states(ADA) == {"letter": "confirmed"}
    assert await nothing_changed(people, log)


async def test_the_file_of_another_installation_is_refused(people: People, log: WithdrawalLog, tmp_path: Path) -> None:
    other = tmp_path / "theirs.jsonl"
    withdrawal_file.begin(other, "0" * 32, begins=0, now=people.clock.at)
    with pytest.raises(NotOurs, match="another installation"):
        await run(people, log, other)


async def test_what_is_no_file_of_withdrawals_is_refused(people: People, tmp_path: Path) -> None:
    other = tmp_path / "diary"
    other.write_text("dear diary\n")
    with pytest.raises(InvalidInput, match="line 1"):
        await run(people, None, other)


async def test_without_a_file_it_says_what_to_do(people: People, log: WithdrawalLog, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="set NEWSLETTER_WITHDRAWAL_LOG, or name one with --file"):
        await run(people, None)
    with pytest.raises(NotFound, match=r"There is no file .*bring it back"):
        await run(people, log)
    with pytest.raises(NotFound, match=r"cannot be read .*--file"):
        await run(people, log, tmp_path / "nowhere")


async def test_a_copy_stands_in_for_a_file_that_is_lost(people: People, log: WithdrawalLog, lost: Lost, tmp_path: Path) -> None:
    """All that is known is written into the next one, which begins beyond the copy."""
    await people.reader(ADA)
    lost.add("unsubscribed", ADA)
    copy = log.path.rename(tmp_path / "copy.jsonl")
    assert not await log.look(now=people.clock.at)
    done = await run(people, log, copy)
    assert (done.files, done.unsubscribed) == ([str(copy)], 1)
    assert await log.write(now=people.clock.at) == 2
    assert log.files()[0].begins == withdrawal_file.open_file(copy, log.installation).end
    assert await log.look(now=people.clock.at)


async def test_a_file_that_is_lost_for_good_need_not_stop_campaigns_for_ever(
    people: People, log: WithdrawalLog, lost: Lost
) -> None:
    log.path.unlink()
    assert not await log.look(now=people.clock.at)
    await run(people, log, without_file=True)
    assert await consent.standing_still(people.house.db) == []
    assert await log.write(now=people.clock.at) == 1
    assert await log.look(now=people.clock.at)


async def test_closed_files_are_read_too_and_a_gap_between_them_is_told(people: People, log: WithdrawalLog, lost: Lost) -> None:
    for address in (ADA, BEN, CLEO):
        await people.reader(address)
    for address in (ADA, BEN):
        people.clock.move(days=1)
        lost.add("unsubscribed", address)
        closed = withdrawal_file.close(withdrawal_file.open_file(log.path, log.installation), people.clock.at)
        withdrawal_file.begin(log.path, log.installation, begins=closed.end, now=people.clock.at)
    lost.add("unsubscribed", CLEO)
    first, second = withdrawal_file.closed_files(log.path)
    away = second.rename(second.with_name("elsewhere"))
    done = await run(people, log)
    assert (done.unsubscribed, done.missing) == (2, [str(log.path)])
    assert str(first) in done.files
    assert (await run(people, log, away)).unsubscribed == 1
    assert await people.states(BEN) == {"letter": "unsubscribed"}


async def test_a_refusal_whose_time_is_over_is_not_done_again(people: People, log: WithdrawalLog, lost: Lost) -> None:
    lost.add("refused", ADA)
    people.clock.at += timedelta(days=30)
    assert (await run(people, log)).unknown == 0
    assert await people.suppressions(ADA) == set()


async def test_while_all_stands_still_no_campaign_begins_and_the_sentence_says_what_to_do(
    people: People, log: WithdrawalLog, lost: Lost
) -> None:
    lost.add("unsubscribed", ADA)
    await log.look(now=people.clock.at)
    with pytest.raises(Conflict, match="newsletter privacy replay"):
        await consent.refuse_standstill(people.house.db)
    await run(people, log)
    await consent.refuse_standstill(people.house.db)
