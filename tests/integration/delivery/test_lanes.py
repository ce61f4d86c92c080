"""Several relays: each has its share, takes over for another, and may be there for some mail alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from newsletter.delivery.lanes import DROPPED, ENOUGH_FOR, Lanes
from newsletter.delivery.presence import PRESENT_FOR, Presence
from newsletter.delivery.relays import Relay
from newsletter.delivery.throttle import Throttle, limits_of
from tests.conftest import START
from tests.integration.delivery.sending import Sending, subscriber_id
from tests.relay import HangUp, Say, ScriptedRelay, Stage

NET = ("ada@example.net", "ben@example.net", "cleo@example.net")


@pytest.fixture
async def other() -> AsyncIterator[ScriptedRelay]:
    async with ScriptedRelay() as opened:
        yield opened


async def everybody_once(sending: Sending, *relays: ScriptedRelay) -> None:
    """Whichever relay it was."""
    readers = await sending.db.fetch("select address from subscriber")
    assert sum((relay.took() for relay in relays), Counter()) == Counter(row["address"] for row in readers)
    assert await sending.state() == "sent"


async def attempts(sending: Sending) -> set[int]:
    return {row.attempts for row in (await sending.rows()).values()}


# Whose turn it is.


async def test_weights_are_kept_over_many_chunks(sending: Sending, other: ScriptedRelay) -> None:
    await sending.many_readers(400)
    await sending.begin()
    relays = (replace(sending.relay.target(), weight=3), other.target())
    await sending.work(sending.lanes(*relays), size=5)
    assert (len(sending.relay.taken), len(other.taken)) == (300, 100)
    await everybody_once(sending, sending.relay, other)


async def test_a_relay_that_cannot_be_reached_is_taken_over_and_costs_nobody_anything(
    sending: Sending, other: ScriptedRelay
) -> None:
    await sending.many_readers(30)
    await sending.begin()
    await sending.relay.close()
    relays = (replace(sending.relay.target(), weight=100), other.target())
    assert await sending.work(sending.lanes(*relays), size=5) == 1
    await everybody_once(sending, other)
    assert await attempts(sending) == {1}


async def test_a_relay_that_dies_midway_is_taken_over(sending: Sending, other: ScriptedRelay) -> None:
    addresses = await sending.many_readers(30)
    await sending.begin()
    relays = (replace(sending.relay.target(), weight=100), other.target())
    lanes = sending.lanes(*relays, connections=1)
    held = sending.relay.hold(Stage.RCPT, to=addresses[7])
    work = asyncio.ensure_future(sending.work(lanes, size=10))
    await held.reached()
    await sending.relay.close()
    held.release()
    await work
    sending.clock.move(minutes=5)
    await sending.work(lanes)
    await everybody_once(sending, sending.relay, other)
    assert await attempts(sending) == {1}


async def test_a_relay_that_ends_each_session_before_it_takes_a_mail_is_taken_over(
    sending: Sending, other: ScriptedRelay
) -> None:
    await sending.many_readers(30)
    await sending.begin()
    sending.relay.on(Stage.MAIL, HangUp())
    broken = replace(sending.relay.target(), weight=100)
    lanes = sending.lanes(broken, other.target(), connections=1)
    await sending.work(lanes)
    assert lanes.lanes[broken].circuit.rest > timedelta(0)
    assert sending.relay.sessions == DROPPED
    assert len(other.taken) >= 29, "one mail may have been given to it twice"
    sending.clock.move(minutes=5)
    await sending.work(lanes)
    await everybody_once(sending, other)


async def test_a_relay_is_booked_for_what_goes_by_it_and_not_for_what_goes_by_a_domains_own(
    sending: Sending, other: ScriptedRelay
) -> None:
    await sending.readers("ada@example.org", "ben@example.org", *NET)
    await sending.begin()
    limited = replace(sending.relay.target(), rate=100.0)
    relays = [limited, replace(other.target(), domains=frozenset({"example.net"}))]
    limits = Throttle(sending.db, sending.clock, limits_of(relays, {}), monotonic=sending.monotonic)
    await sending.work(sending.lanes(*relays), limits=limits)
    assert (len(sending.relay.taken), len(other.taken)) == (2, 3)
    free_at = await sending.db.fetchval("select free_at from pace where name = $1", f"relay:{limited.name}")
    assert free_at - sending.clock.at == timedelta(seconds=0.02)


async def test_a_mail_that_a_relay_chokes_on_holds_up_nobody_else(sending: Sending) -> None:
    first, *others = await sending.many_readers(10)
    await sending.begin()
    sending.relay.on(Stage.RCPT, HangUp(), to=first)
    lanes = sending.lanes(connections=1)
    await sending.work(lanes)
    assert sending.relay.took() == Counter(others)
    assert (await sending.states([first]))[first] == "deferred"
    assert not any(lane.circuit.rest for lane in lanes.all)


async def test_a_relay_that_is_back_gets_its_share_again(sending: Sending, other: ScriptedRelay) -> None:
    await sending.many_readers(4)
    relays = (sending.relay.target(), other.target())
    lanes = sending.lanes(*relays)
    await sending.relay.close()
    await sending.begin()
    await sending.work(lanes, size=1)
    assert (len(sending.relay.taken), len(other.taken)) == (0, 4)
    await sending.relay.open()
    sending.clock.at += max(lane.circuit.rest for lane in lanes.all)
    await sending.begin()
    await sending.work(lanes, size=1)
    assert (len(sending.relay.taken), len(other.taken)) == (2, 6)


async def test_who_takes_over_keeps_to_its_own_rate(sending: Sending, other: ScriptedRelay) -> None:
    await sending.many_readers(15)
    await sending.begin()
    await sending.relay.close()
    relays = (replace(sending.relay.target(), weight=100), replace(other.target(), rate=1000.0))
    limits = Throttle(sending.db, sending.clock, limits_of(relays, {}), monotonic=sending.monotonic)
    lanes = sending.lanes(*relays)
    while await sending.state() == "sending":
        await sending.work(lanes, limits=limits)
        sending.clock.move(seconds=1)
    await everybody_once(sending, other)
    booked = await sending.db.fetchval("select free_at from pace where name = $1", f"relay:{other.target().name}")
    assert booked >= START + timedelta(seconds=15 / 1000), "nobody went without a place"
    assert await attempts(sending) == {1}


# For some mail alone.


async def test_a_list_whose_sender_names_a_relay_goes_by_that_alone(sending: Sending, other: ScriptedRelay) -> None:
    await sending.many_readers(20)
    await sending.db.execute("update sender set relay = 'bulk'")
    lanes = sending.lanes(sending.relay.target(), replace(other.target(), label="bulk", weight=0))
    await sending.begin()
    await sending.work(lanes, size=5)
    await everybody_once(sending, other)
    await sending.db.execute("update sender set relay = null")
    await sending.begin()
    await sending.work(lanes, size=5)
    assert len(sending.relay.taken) == 20


async def test_a_list_whose_relay_is_down_waits_for_it(sending: Sending, other: ScriptedRelay) -> None:
    await sending.many_readers(3)
    await sending.db.execute("update sender set relay = 'bulk'")
    lanes = sending.lanes(sending.relay.target(), replace(other.target(), label="bulk", weight=0))
    await other.close()
    await sending.begin()
    assert await sending.work(lanes) == 1
    assert await sending.rows() == {}
    assert lanes.rest == timedelta(0), "other lists go on"
    await other.open()
    sending.clock.at += lanes.rest_for(wanted="bulk")
    await sending.work(lanes)
    await everybody_once(sending, other)


def bound(relay: ScriptedRelay) -> Relay:
    return replace(relay.target(), label="net", domains=frozenset({"example.net"}))


async def test_a_domain_that_has_a_relay_goes_by_that_and_nobody_else_does(sending: Sending, other: ScriptedRelay) -> None:
    addresses = await sending.many_readers(10)
    await sending.readers(*NET)
    await sending.begin()
    await sending.work(sending.lanes(sending.relay.target(), bound(other)), size=4)
    assert (sending.relay.took(), other.took()) == (Counter(addresses), Counter(NET))


async def test_a_domain_whose_relay_is_down_is_put_aside_while_the_others_go_on(sending: Sending, other: ScriptedRelay) -> None:
    addresses = await sending.many_readers(10)
    await sending.readers(*NET)
    await sending.begin()
    await other.close()
    lanes = sending.lanes(sending.relay.target(), bound(other))
    assert await sending.work(lanes, size=4) == 1
    assert sending.relay.took() == Counter(addresses)
    aside = await sending.db.fetch("select subscriber_id, attempts from delivery where paced and state = 'deferred'")
    assert {row["subscriber_id"]: row["attempts"] for row in aside} == dict.fromkeys(map(subscriber_id, NET), 0)
    await other.open()
    sending.clock.at += lanes.rest_for(domain="example.net")
    await sending.work(lanes)
    await everybody_once(sending, sending.relay, other)
    assert await attempts(sending) == {1}


async def test_the_rate_of_a_domains_relay_is_kept_too(sending: Sending, other: ScriptedRelay) -> None:
    addresses = await sending.many_readers(5)
    await sending.readers(*NET)
    await sending.begin()
    relays = (sending.relay.target(), replace(bound(other), rate=1.0))
    limits = Throttle(sending.db, sending.clock, limits_of(relays, {}), monotonic=sending.monotonic)
    lanes = sending.lanes(*relays)
    for second in range(3):
        await sending.work(lanes, limits=limits)
        assert (len(other.taken), sending.relay.took()) == (second + 1, Counter(addresses))
        sending.clock.move(seconds=1)
    await everybody_once(sending, sending.relay, other)


async def test_who_was_put_aside_since_a_relay_was_away_keeps_to_its_rate_once_it_is_back(
    sending: Sending, other: ScriptedRelay
) -> None:
    relays = (sending.relay.target(), replace(bound(other), rate=1.0))
    limits = Throttle(sending.db, sending.clock, limits_of(relays, {}), monotonic=sending.monotonic)
    lanes = sending.lanes(*relays)
    await other.close()
    for some in (NET[:1], NET[1:]):  # With the first it is noticed, the others need not try.
        await sending.readers(*some)
        await sending.begin()
        await sending.work(lanes, limits=limits)
    assert await sending.db.fetchval("select count(*) from delivery where paced and not has_turn") == len(NET) + 1
    await other.open()
    sending.clock.at += lanes.rest_for(domain="example.net")
    for second in range(3):
        await sending.work(lanes, limits=limits)
        assert len(other.taken) == second + 1
        sending.clock.move(seconds=1)


# Connections.


async def test_a_relay_that_refuses_a_further_connection_goes_on_with_those_it_has(sending: Sending) -> None:
    addresses = await sending.many_readers(12)
    lanes = sending.lanes(connections=1)
    await sending.begin()
    held = sending.relay.hold(Stage.BODY, to=addresses[0], times=1)
    work = asyncio.ensure_future(sending.work(lanes, size=3))
    await held.reached()
    sending.relay.on(Stage.GREETING, Say("421 4.7.0 too many connections"))
    (lane,) = lanes.all
    lane.connections = 3
    held.release()
    assert await work == 1
    assert sending.relay.took() == Counter(addresses)
    assert lane.circuit.rest == timedelta(0)
    assert sending.relay.sessions > 1, "it was asked for another"

    asked = sending.relay.sessions
    await sending.begin()
    await sending.work(lanes, size=3)
    assert sending.relay.sessions == asked, "it is not asked again at once"

    sending.relay.behave()
    sending.clock.at += timedelta(seconds=ENOUGH_FOR)
    await sending.begin()
    await sending.work(lanes, size=3)
    assert sending.relay.sessions > asked
    assert sending.relay.took() == Counter(addresses * 3)


def shares(*lanes: Lanes) -> list[int]:
    return [lane.connections for each in lanes for lane in each.all]


def with_connections(sending: Sending, most: int | None, *, own: int = 8) -> Lanes:
    return sending.lanes(replace(sending.relay.target(), connections=most), connections=own)


async def test_what_a_relay_allows_is_shared_by_the_workers_there_are(sending: Sending) -> None:
    one, two = with_connections(sending, 3), with_connections(sending, 3)
    first, second = (Presence(sending.db, sending.clock, each, worker=name) for each, name in ((one, "a"), (two, "b")))
    await first.show()
    assert shares(one) == [3]
    await second.show()
    await first.show()
    assert shares(one, two) == [2, 1]

    sending.clock.at += PRESENT_FOR
    await second.show()
    assert shares(two) == [1]
    sending.clock.move(seconds=1)
    await second.show()
    assert shares(two) == [3], "the first was silent for too long"

    await first.show()
    await second.leave()
    await first.show()
    assert shares(one) == [3], "the second said goodbye"


@pytest.mark.parametrize(("allowed", "own", "shared"), [(None, 8, [8, 8]), (100, 8, [8, 8]), (1, 8, [1, 0]), (9, 4, [4, 4])])
async def test_nobody_opens_more_than_its_own_limit_or_than_its_share(
    sending: Sending, allowed: int | None, own: int, shared: list[int]
) -> None:
    lanes = [with_connections(sending, allowed, own=own) for _ in range(2)]
    workers = [Presence(sending.db, sending.clock, each, worker=str(number)) for number, each in enumerate(lanes)]
    for worker in (*workers, *workers):
        await worker.show()
    assert shares(*lanes) == shared


async def test_a_worker_opens_no_more_connections_than_its_share(sending: Sending) -> None:
    await sending.many_readers(40)
    await sending.begin()
    lanes = with_connections(sending, 3)
    lanes.share(workers=2, before=1)
    await sending.work(lanes, size=10)
    assert sending.relay.most_sessions == 1
    await everybody_once(sending, sending.relay)


async def test_a_worker_without_a_share_leaves_the_batch_to_others(sending: Sending) -> None:
    """It would claim it again and again, and nobody else could have it."""
    await sending.many_readers(3)
    await sending.begin()
    idle, busy = with_connections(sending, 1), with_connections(sending, 1)
    idle.share(workers=2, before=1)
    busy.share(workers=2, before=0)
    assert await sending.work(idle) == 1
    assert (await sending.rows(), sending.relay.sessions) == ({}, 0)
    sending.clock.move(seconds=1)
    await sending.work(busy)
    await everybody_once(sending, sending.relay)


# Logging in with a token.


async def test_the_token_is_read_anew_for_each_connection(sending: Sending, tmp_path: Path) -> None:
    await sending.readers("ada@example.org")
    file = tmp_path / "token"
    target = replace(sending.relay.target(user="letter@example.org"), token_file=file)
    for token in ("first", "second"):
        sending.relay.token = ("letter@example.org", token)
        file.write_text(f"{token}\n")
        await sending.begin()
        lanes = sending.lanes(target)
        await sending.work(lanes)
        assert await sending.state() == "sent"
        await lanes.close()
    assert sending.relay.took() == Counter({"ada@example.org": 2})


@pytest.mark.parametrize("content", [None, "stale"])
async def test_a_token_that_is_missing_or_refused_touches_no_reader(
    sending: Sending, tmp_path: Path, content: str | None
) -> None:
    await sending.readers("ada@example.org")
    file = tmp_path / "token"
    if content:
        file.write_text(content)
    sending.relay.token = ("letter@example.org", "fresh")
    lanes = sending.lanes(replace(sending.relay.target(user="letter@example.org"), token_file=file))
    await sending.begin()
    await sending.work(lanes)
    assert await sending.rows() == {}
    file.write_text("fresh")
    sending.clock.at += lanes.rest
    await sending.work(lanes)
    await everybody_once(sending, sending.relay)


async def test_a_mail_that_comes_while_a_connection_is_held_up_gets_another(sending: Sending) -> None:
    sending.relay.extensions = ()  # Pipelined, the second could be offered behind the first.
    first, second = await sending.many_readers(2)
    await sending.begin()
    held = sending.relay.hold(Stage.BODY, to=first)
    work = asyncio.ensure_future(sending.work(sending.lanes(connections=2), size=1))
    await held.reached()
    try:
        await sending.relay.until(lambda: second in sending.relay.took())
    finally:
        held.release()
        await work


async def test_a_worker_whose_last_connection_goes_to_another_hands_back_what_waits_and_holds_nothing(sending: Sending) -> None:
    first, *_ = addresses = await sending.many_readers(6)
    await sending.begin()
    lanes = sending.lanes(replace(sending.relay.target(), connections=1))
    held = sending.relay.hold(Stage.BODY, to=first, times=1)
    work = asyncio.ensure_future(sending.run(await sending.claimed(), lanes).run())
    await held.reached()
    lanes.share(workers=2, before=1)
    held.release()
    await asyncio.wait_for(work, 10)
    assert set(sending.relay.took()) <= set(addresses[:2])
    lanes.share(workers=1, before=0)
    sending.clock.move(seconds=2)
    await sending.work(lanes)
    assert sending.relay.took() == dict.fromkeys(addresses, 1)
