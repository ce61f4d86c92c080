-- Delivery at speed: totals kept beside the rows, pacing, why a campaign paused, which workers there are.
-- oldest-program: 5

-- Totals stand with the batch, whose holder alone changes them: no row that all workers queue for. They follow every change of a
-- delivery's state, in the same statement. Erasing and dropping change no batch (an erasure must not wait for a worker): what they
-- took is in delivery_folded by the state it had, and who reads the totals takes that into account.
alter table batch
  add column attempting integer not null default 0 check (attempting >= 0),
  add column accepted   integer not null default 0 check (accepted >= 0),
  add column deferred   integer not null default 0 check (deferred >= 0),
  add column failed     integer not null default 0 check (failed >= 0),
  add column uncertain  integer not null default 0 check (uncertain >= 0),
  add column skipped    integer not null default 0 check (skipped >= 0);

-- What there is already: live rows to their batch, folded ones to the campaign's first.
with live as (
  select b.campaign_id, b.batch_no, d.state, count(*) as count
  from batch b
  join campaign c using (campaign_id)
  join delivery d on d.campaign_id = b.campaign_id and d.week = c.week and d.subscriber_id between b.id_from and b.id_to
  group by 1, 2, 3
  union all
  select campaign_id, 0, state, count from delivery_folded
), sums as (
  select campaign_id, batch_no,
         coalesce(sum(count) filter (where state = 'attempting'), 0) as attempting,
         coalesce(sum(count) filter (where state = 'accepted'), 0) as accepted,
         coalesce(sum(count) filter (where state = 'deferred'), 0) as deferred,
         coalesce(sum(count) filter (where state = 'failed'), 0) as failed,
         coalesce(sum(count) filter (where state = 'uncertain'), 0) as uncertain,
         coalesce(sum(count) filter (where state = 'skipped'), 0) as skipped
  from live group by 1, 2
)
update batch b
set attempting = s.attempting, accepted = s.accepted, deferred = s.deferred, failed = s.failed, uncertain = s.uncertain,
    skipped = s.skipped
from sums s where s.campaign_id = b.campaign_id and s.batch_no = b.batch_no;

alter table delivery_folded
  add constraint delivery_folded_state
  check (state in ('attempting', 'accepted', 'deferred', 'failed', 'uncertain', 'skipped'));
comment on table delivery_folded is 'what erasing and dropping took away, by the state it had; its batch goes on counting it';

alter table delivery
  add column paced boolean not null default false,
  add column doubts smallint not null default 0 check (doubts >= 0),
  add constraint delivery_paced check (not paced or state = 'deferred');
comment on column delivery.paced is 'put aside for a slow domain, with its place in the queue; not an attempt';
comment on column delivery.doubts is 'how often the relay''s answer to the last dot was missing; a killed worker is none of them';
comment on column delivery.attempts is 'mails handed over or being handed over; 0 where it was only put aside so far';
create index delivery_retry on delivery (campaign_id, subscriber_id) where retry_at is not null;

-- How much a relay, list or domain takes: free_at is when the next mail may go (a virtual scheduling bucket: booking n mails at a
-- rate moves it by n / rate), slow_rate what it was slowed down to at slowed_at.
create table pace (
  name      text primary key check (name ~ '^(relay|list|domain):.' and length(name) <= 300),
  free_at   timestamptz not null,
  slow_rate double precision check (slow_rate > 0),
  slowed_at timestamptz,
  check (num_nulls(slow_rate, slowed_at) in (0, 2))
);

-- Workers that were heard of lately: they share the connections that a relay allows.
create table worker (
  name       text primary key check (length(name) <= 200),
  seen_until timestamptz not null
);

alter table campaign add column pause_reason text check (length(pause_reason) <= 300);
alter table campaign add constraint campaign_pause_reason check (pause_reason is null or state = 'paused');
alter table list add column rate double precision check (rate > 0);
comment on column list.rate is 'mails a second at most, all workers together; null: as fast as its relay takes them';

-- Room for the outcome beside the intent, so that recording it touches no index.
create or replace function ensure_delivery_week(monday date) returns void language plpgsql as $$
declare
  partition text := format('delivery_%s', to_char(monday, 'IYYY"w"IW'));
begin
  perform pg_advisory_xact_lock(hashtext('ensure_delivery_week'));
  if to_regclass(partition) is not null then
    return;
  end if;
  execute format('create table %I (like delivery including all) with (fillfactor = 60)', partition);
  execute format('alter table delivery attach partition %I for values from (%L) to (%L)', partition, monday, monday + 7);
end
$$;

-- Forget who was sent what in the oldest week that began before the given day: fold, then drop. Nothing is dropped while a
-- campaign of that week is still under way. Returns how many rows went and the week; no row when there is nothing to do.
create function drop_delivery_week(before date) returns table (removed bigint, monday date) language plpgsql as $$
declare
  partition regclass;
begin
  select c.oid::regclass, to_date(right(c.relname, 7), 'IYYY"w"IW')
  into partition, monday
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'delivery'::regclass and to_date(right(c.relname, 7), 'IYYY"w"IW') < before
    and not exists (
      select from campaign k
      where k.week = to_date(right(c.relname, 7), 'IYYY"w"IW') and k.state in ('sending', 'paused'))
  order by 2 limit 1;
  if partition is null then
    return;
  end if;
  -- All that dropping takes, at once and of the parent first: whoever came in between would wait for us as we wait for them.
  -- Nobody is kept waiting for long behind this: it is tried again.
  perform set_config('lock_timeout', '2s', true);
  lock table only delivery in access exclusive mode;
  execute format('lock table %s in share row exclusive mode', partition);
  execute format(
    'insert into delivery_folded as f (campaign_id, state, count)
     select campaign_id, state, count(*) from %s group by 1, 2 order by 1, 2
     on conflict (campaign_id, state) do update set count = f.count + excluded.count', partition);
  execute format('select count(*) from %s', partition) into removed;
  execute format('drop table %s', partition);
  return next;
end
$$;
