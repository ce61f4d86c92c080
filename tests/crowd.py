"""A house that was at work for long: readers, lists, campaigns and what was delivered, made inside PostgreSQL at any size.

For tests of plans and for benches. Ids are random, as keyed ids are; figures fit: a campaign's batches hold the totals of its
deliveries, which lie in the partition of its week.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

LISTS = 12
WEEKS = 12
"""That deliveries are spread over, all within the 90 days that they are kept."""
BATCH = 1000

PEOPLE = """
create temporary table crowd as
select row_number() over (order by id)::integer as n, id
from (select gen_random_uuid() as id from generate_series(1, {count})) made;
create unique index on crowd (n);
analyze crowd;
"""
LIST = """
insert into list (slug, sender_id, visibility, languages, time_zone, list_id_header, created_at)
select 'crowd-' || n, (select min(sender_id) from sender), 'public', '{en}', 'Europe/Berlin', 'crowd-' || n || '.example.org',
       $1
from generate_series(1, $2::integer) n
"""
LIST_TEXT = """
insert into list_text (list_id, language, name, description)
select list_id, 'en', 'Letter of ' || slug, 'Once a month.' from list where slug like 'crowd-%'
"""
SUBSCRIBERS = """
insert into subscriber (subscriber_id, address, domain, name, language, created_at, left_at)
select id, left(md5(n::text), 8) || n || '@' || domain, domain, 'Reader ' || n, 'en',
       $1::timestamptz - n % 900 * interval '1 day', case when n % 50 = 2 then $1::timestamptz - interval '3 days' end
from crowd, lateral (select (array['example.org', 'example.net', 'mail.example', 'post.example'])[n % 4 + 1] as domain) d
"""
SUBSCRIPTIONS = """
insert into subscription (subscriber_id, list_id, state, language, requested_at, expires_at, confirmed_at, unsubscribed_at,
                          unsubscribed_via)
select id, list_id, state, 'en', $1::timestamptz - n % 900 * interval '1 day',
       case when state = 'pending' then $1::timestamptz + interval '5 hours' end,
       case when state <> 'pending' then $1::timestamptz - n % 900 * interval '1 day' end,
       case when state = 'unsubscribed' then $1::timestamptz - interval '3 days' end,
       case when state = 'unsubscribed' then 'link' end
from crowd,
     lateral (select distinct list_id from unnest(array[1, 1 + n % $2::integer]) as chosen(list_id)) l,
     lateral (select case n % 50 when 2 then 'unsubscribed' when 3 then 'pending' else 'confirmed' end) s(state)
"""
LINKS = """
insert into confirmation (subscriber_id, confirmation_id, list_id, name, language, requested_at, expires_at)
select id, gen_random_uuid(), 1, '', 'en', $1::timestamptz, $1::timestamptz + interval '5 hours' from crowd where n % 10 = 3
"""
EVENTS = """
insert into consent_event (subscriber_id, list_id, kind, occurred_at, language, form, via, wording_hash)
select id, 1, kind, $1::timestamptz - n % 900 * interval '1 day', 'en', 'https://example.org/', 'form',
       (select min(wording_hash) from wording)
from crowd, unnest('{asked,confirmed}'::text[]) as kind
"""
ORIGINS = """
insert into consent_origin (subscriber_id, event_id, network, agent, expires_at)
select subscriber_id, event_id, '192.0.2.0/24', 'Browser', $1::timestamptz + interval '20 days'
from consent_event e join crowd on id = subscriber_id where n % 10 = 0
"""
SUPPRESSIONS = """
insert into suppression (subscriber_id, list_id, reason, since, until)
select case when n % 40 = 0 then id else gen_random_uuid() end, 0, case when n % 40 = 0 then 'restricted' else 'left' end,
       $1::timestamptz, case when n % 40 = 0 then null else $1::timestamptz + interval '900 days' end
from crowd where n % 4 = 0
"""
WITHDRAWALS = """
insert into withdrawal (kind, subscriber_id, list_id, occurred_at)
select case when n % 20 = 0 then 'refused' else 'unsubscribed' end, id, 1, $1::timestamptz - n % 25 * interval '1 day'
from crowd where n % 4 = 1
"""
EVIDENCE = """
insert into evidence (subscriber_id, list_id, kind, occurred_at, language, form, via, erased_at, expires_at)
select gen_random_uuid(), 1, 'confirmed', $1::timestamptz - interval '400 days', 'en', '', 'form', $1::timestamptz,
       $1::timestamptz + interval '100 days'
from crowd where n % 10 = 0
"""
AUDIT = """
insert into audit_log (occurred_at, operator, action, target)
select $1::timestamptz - n % 300 * interval '1 day', case when n % 3 = 0 then 'Owner' else 'Editor' end,
       case when n % 10 = 0 then 'campaign.edit' else 'subscriber.show' end, 'number ' || n
from crowd where n % 5 = 0
"""
READERS_OF_LINES = """
insert into audit_subject (subscriber_id, audit_id)
select id, audit_id from crowd join audit_log on target = 'number ' || n and action = 'subscriber.show'
"""
HITS = """
insert into limit_hit (code, kind, occurred_at, expires_at)
select substring(sha256(n::text::bytea) for 16), 'network', $1::timestamptz - interval '1 hour',
       $1::timestamptz + interval '29 days'
from crowd where n % 10 = 1
"""
DAYS = """
insert into list_day (list_id, day, asked, confirmed, unsubscribed, refused, lapsed)
select list_id, $1::date - n, 40 + n % 7, 30 + n % 11, 5 + n % 5, n % 2, 8 from list, generate_series(0, 729) n
on conflict do nothing
"""
CAMPAIGNS = """
insert into campaign (list_id, name, state, created_at, scheduled_at, started_at, finished_at, week, message_key,
                      message_domain, planned)
select 1 + k % $2::integer, 'Campaign ' || k, state, at, at, at, case when state = 'sent' then at + interval '2 hours' end,
       week, sha256(k::text::bytea), 'example.org', $3::integer
from generate_series(1, $1::integer) k,
     lateral (select $4::date - 7 * ((k - 1) * $5::integer / $1::integer) as week) w,
     lateral (select week + interval '1 hour' as at) t,
     lateral (select case when k = 1 then 'sending' when k = 2 then 'paused' else 'sent' end as state) s
order by k desc
"""
CONTENTS = """
insert into campaign_content (campaign_id, language, subject, format, body)
select campaign_id, 'en', 'The long tide', 'markdown', repeat('The tide comes in. ', 100) from campaign
on conflict do nothing
"""
BATCHES = """
insert into batch (campaign_id, batch_no, id_from, id_to, state, not_before, accepted, failed, uncertain, deferred)
select c.campaign_id, b, lower.id, upper.id, 'done', $1, size - size / 50 - size / 200 - size / 100, size / 50,
       size / 200, size / 100
from (select *, row_number() over (order by campaign_id) as k from campaign where week is not null) c,
     generate_series(0, ($2::integer - 1) / $3::integer) b,
     lateral (select least($3::integer, $2::integer - b * $3::integer) as size,
                     ((k * $2::bigint) % greatest(1, $4::integer - $2::integer))::integer + b * $3::integer + 1 as first) s
     join crowd lower on lower.n = first join crowd upper on upper.n = first + size - 1
"""
DELIVERIES = """
insert into {partition} (subscriber_id, campaign_id, week, state, epoch, attempts, first_at, attempted_at, retry_at, reply_code,
                         reply_status, reply)
select id, $1::integer, $2::date, state, 1, 1, $3::timestamptz, $3::timestamptz,
       case when state = 'deferred' then $3::timestamptz + interval '1 day' end,
       case state when 'failed' then 550 when 'accepted' then 250 end,
       case state when 'failed' then '5.1.1' when 'accepted' then '2.0.0' end,
       case state when 'failed' then 'no such user' when 'accepted' then 'queued' end
from (select id, (n - $4::integer) % $6::integer as r from crowd
      where n between $4 and $4::integer + $5::integer - 1 order by id) chosen,
     lateral (select case when r < $6 / 50 then 'failed' when r < $6 / 50 + $6 / 200 then 'uncertain'
                          when r < $6 / 50 + $6 / 200 + $6 / 100 then 'deferred' else 'accepted' end as state) s
"""


async def gather(db: Any, now: datetime, *, subscribers: int, campaigns: int, deliveries: int, batch: int = BATCH) -> None:
    """`db` is one connection, of asyncpg's; there has to be one list at least. Ends with fresh statistics."""
    each = min(deliveries // campaigns, subscribers // 2)
    monday = now.date() - timedelta(days=now.weekday())
    await db.execute(PEOPLE.format(count=subscribers))
    await db.execute(LIST, now, LISTS - await db.fetchval("select count(*) from list"))
    await db.execute(LIST_TEXT)
    await db.execute(SUBSCRIBERS, now)
    await db.execute(SUBSCRIPTIONS, now, LISTS)
    for statement in (LINKS, EVENTS, ORIGINS, SUPPRESSIONS, WITHDRAWALS, EVIDENCE, AUDIT, HITS):
        await db.execute(statement, now)
    await db.execute(READERS_OF_LINES)
    await db.execute(DAYS, now.date())
    await db.execute(CAMPAIGNS, campaigns, LISTS, each, monday, WEEKS)
    await db.execute(CONTENTS)
    await db.execute(BATCHES, now, each, min(batch, each), subscribers)
    await _deliver(db, each, subscribers, min(batch, each))
    await db.execute("drop table crowd")
    await db.execute("analyze")


async def _deliver(db: Any, each: int, subscribers: int, batch: int) -> None:
    """Right into the partition of the week, in the order of ids: a third of the time."""
    rows = await db.fetch("select campaign_id, week, started_at from campaign where week is not null order by campaign_id")
    for week in sorted({row["week"] for row in rows}):
        await db.execute("select ensure_delivery_week($1)", week)
    for number, row in enumerate(rows, 1):
        first = number * each % max(1, subscribers - each) + 1
        partition = row["week"].strftime('"delivery_%Gw%V"')
        await db.execute(
            DELIVERIES.format(partition=partition),
            row["campaign_id"],
            row["week"],
            row["started_at"],
            first,
            each,
            batch,
        )
