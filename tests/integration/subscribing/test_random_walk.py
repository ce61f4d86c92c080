"""Whatever people, workers and the clock do, in whatever order: what must always be so is so after every step."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest

from newsletter.core.errors import Conflict, ExpiredToken
from newsletter.subscribing.rules import Via
from tests.people import People, token_in

ADDRESSES = ("ada@example.org", "Ada+news@example.org", "ben@example.org")
SLUGS = ("letter", "digest")
STEPS = 300
MOVES = (1, 1, 1, 1, 9, 9, 9, 31, 61, 60 * 23, 60 * 24, 60 * 24 * 13)
"""Minutes."""

VIOLATIONS = """
select 'confirmed without having said so last' from subscription s where s.state = 'confirmed' and coalesce((
    select e.kind from consent_event e where (e.subscriber_id, e.list_id) = (s.subscriber_id, s.list_id) and e.kind <> 'asked'
    order by e.event_id desc limit 1), '') not in ('confirmed', 'resubscribed')
union all
select 'confirmed without a confirmation' from subscription s where s.state = 'confirmed' and not exists (
    select from consent_event e where (e.subscriber_id, e.list_id) = (s.subscriber_id, s.list_id) and e.kind = 'confirmed')
union all
select 'unsubscribed, and the evidence says otherwise' from subscription s where s.state = 'unsubscribed' and (
    select e.kind from consent_event e where (e.subscriber_id, e.list_id) = (s.subscriber_id, s.list_id) and e.kind <> 'asked'
    order by e.event_id desc limit 1) not in ('unsubscribed', 'refused')
union all
select 'confirmed and suppressed' from subscription s join suppression x using (subscriber_id)
where s.state = 'confirmed' and x.list_id in (0, s.list_id) and x.until > $1::timestamptz
union all
select 'the clock towards deletion is wrong' from subscriber p where (p.left_at is null) <> (
    exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.state = 'confirmed')
    or not exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.unsubscribed_at is not null))
union all
select 'here for nothing' from subscriber p
where not exists (select from subscription s where s.subscriber_id = p.subscriber_id)
union all
select 'a mail for nobody' from outbox o where not exists (select from subscriber p where p.subscriber_id = o.subscriber_id)
union all
select 'an origin of nothing' from consent_origin o where not exists (
    select from consent_event e where (e.subscriber_id, e.event_id) = (o.subscriber_id, o.event_id))
union all
select 'pending for longer than a link lives' from subscription
where state = 'pending' and expires_at > $1::timestamptz + interval '24 hours'
union all
select 'a wrong sum' from list_day group by list_id
having least(sum(asked), sum(confirmed), sum(refused), sum(lapsed), sum(unsubscribed), sum(erased)) < 0
    or sum(confirmed) + sum(lapsed) > sum(asked) or sum(erased) > sum(unsubscribed)
"""
LINKS = "select subscriber_id, confirmation_id from consent_event where kind = 'asked' group by 1, 2 order by min(event_id)"
OVERDUE = """
select 'unconfirmed and still here' from subscription
where state = 'pending' and expires_at <= $1::timestamptz - interval '5 minutes'
union all
select 'left and still here' from subscriber p where left_at <= $1::timestamptz - interval '14 days 5 minutes' and (
    left_at <= $1::timestamptz - interval '28 days 5 minutes' or not exists (
        select from subscription s
        where s.subscriber_id = p.subscriber_id and s.state = 'pending' and s.expires_at > $1::timestamptz))
"""
LEFT_OVER = """
select 'here, and not a reader' from subscriber p
where not exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.state = 'confirmed')
   or left_at is not null or left_at > $1::timestamptz
"""
CONFIRMED = """
select l.slug, coalesce(sum(d.confirmed - d.unsubscribed), 0)::integer as counted,
       (select count(*) from subscription s where s.list_id = l.list_id and s.state = 'confirmed')::integer as so
from list l left join list_day d using (list_id) group by l.list_id
"""
EVERYWHERE = {"sign_up", "decide", "confirm", "refuse", "unsubscribe", "undo", "erase", "tick", "confirm: ExpiredToken"}


class Walk:
    """Takes steps at random, and remembers the links that people were given: nobody throws an old mail away."""

    def __init__(self, people: People, seed: int) -> None:
        self.people = people
        self.random = random.Random(seed)
        self.confirm_links: list[tuple[UUID, UUID]] = []
        self.undo_tokens: list[str] = []
        self.refused_readers: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()

    async def step(self) -> None:
        often = [self.sign_up, self.confirm, self.unsubscribe]
        now_and_then = [self.erase, self.undo, self.move, self.lift_limits]
        seldom = [self.ask_only, self.decide, self.refuse, self.tick]
        steps = [(step, 6) for step in often] + [(step, 4) for step in now_and_then] + [(step, 2) for step in seldom]
        (action,) = self.random.choices([step for step, _ in steps], [weight for _, weight in steps])
        try:
            await action()
        except (ExpiredToken, Conflict) as error:
            self.taken[f"{action.__name__}: {type(error).__name__}"] += 1
        else:
            self.taken[action.__name__] += 1

    def someone(self) -> str:
        return self.random.choice(ADDRESSES)

    def some_lists(self) -> tuple[str, ...]:
        return self.random.choice([(SLUGS[0],), (SLUGS[1],), SLUGS])

    def some_link(self) -> str:
        if not self.confirm_links:
            raise ExpiredToken
        return token_in(self.people.house.links.confirm(*self.random.choice(self.confirm_links[-8:])))

    async def sign_up(self) -> None:
        await self.ask_only()
        await self.decide()

    async def ask_only(self) -> None:
        await self.people.request(self.someone(), *self.some_lists())

    async def decide(self) -> None:
        await self.people.decide()
        rows = await self.people.house.db.fetch(LINKS)
        links = [(row["subscriber_id"], row["confirmation_id"]) for row in rows]
        self.confirm_links += [link for link in links if link not in self.confirm_links]

    async def confirm(self) -> None:
        await self.people.confirm(self.some_link())

    async def refuse(self) -> None:
        before = await self.confirmed()
        await self.people.refuse(self.some_link())
        self.refused_readers += before - await self.confirmed()

    async def confirmed(self) -> Counter[str]:
        return Counter({row["slug"]: row["so"] for row in await self.people.house.db.fetch(CONFIRMED)})

    async def unsubscribe(self) -> None:
        via = self.random.choice([Via.LINK, Via.ONE_CLICK])
        address, slug = self.someone(), self.random.choice(SLUGS)
        if self.random.random() < 0.5:  # Mostly there is nobody to unsubscribe, so look for somebody who is there.
            for address, slug in itertools.product(ADDRESSES, SLUGS):
                if (await self.people.states(address)).get(slug) == "confirmed":
                    break
        answer = await self.people.unsubscribe(address, slug, via)
        if answer.undo_token:
            self.undo_tokens.append(answer.undo_token)

    def some_undo(self) -> str:
        if not self.undo_tokens:
            raise ExpiredToken
        return self.random.choice(self.undo_tokens[-2:])

    async def undo(self) -> None:
        await self.people.undo(self.some_undo())

    async def erase(self) -> None:
        await self.people.erase_now(self.some_undo())

    async def move(self) -> None:
        self.people.clock.move(minutes=self.random.choice(MOVES))

    async def tick(self) -> None:
        await self.people.tick()
        assert await self.violations(OVERDUE) == []

    async def lift_limits(self) -> None:
        await self.people.house.db.execute("delete from limit_hit")
        await self.people.house.db.execute("delete from suppression where reason = 'refused'")

    async def violations(self, query: str) -> list[str]:
        return [row[0] for row in await self.people.house.db.fetch(query, self.people.clock.at)]

    async def check(self) -> None:
        assert await self.violations(VIOLATIONS) == []
        for row in await self.people.house.db.fetch(CONFIRMED):
            assert row["counted"] - self.refused_readers[row["slug"]] == row["so"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_must_always_be_so_is_so_after_every_step(people: People, seed: int) -> None:
    walk = Walk(people, seed)
    for _ in range(STEPS):
        await walk.step()
        await walk.check()
    assert walk.taken.keys() >= EVERYWHERE
    await people.pass_time(timedelta(days=31), tick=timedelta(days=1))
    await walk.check()
    assert await walk.violations(LEFT_OVER) == []
