-- Evidence, suppression, withdrawals.

-- name: keep_wording
-- Once per content.
insert into wording (wording_hash, kind, language, content, first_used)
values (:wording_hash, :kind, :language, :content, :now) on conflict do nothing;

-- name: policy_in_force
-- Number of the version that was published last; null before the first.
select max(version) from policy_version;

-- name: record_event
-- One event of evidence per list (null: about the person), and for a while where it came from. A link outlives its campaign: one that is not there any
-- more, or not yet again after a backup was restored, must keep nobody from unsubscribing.
with event as (
  insert into consent_event (subscriber_id, list_id, kind, occurred_at, language, form, wording_hash, mail_hash,
                             process_hash, via, confirmation_id, campaign_id)
  select :subscriber_id, list_id, :kind, :now, :language, :form, :wording_hash, :mail_hash, :process_hash, :via, :confirmation_id,
         (select campaign_id from campaign where campaign_id = :campaign_id)
  from unnest(:list_ids::integer[]) as asked(list_id)
  returning subscriber_id, event_id
)
insert into consent_origin (subscriber_id, event_id, network, agent, expires_at)
select subscriber_id, event_id, :network::inet, :agent, :origin_until from event
where :network::inet is not null or :agent <> '';

-- name: fold_left
-- Before somebody is erased: that they unsubscribed from a campaign's mail becomes a sum that belongs to nobody.
insert into campaign_left as l (campaign_id, count)
select campaign_id, count(distinct subscriber_id) from consent_event
where subscriber_id = any(:subscriber_ids::uuid[]) and kind = 'unsubscribed' and campaign_id is not null
group by 1 order by 1
on conflict (campaign_id) do update set count = l.count + excluded.count;

-- name: suppressions_of
-- What stands against mailing this person, on any list.
select list_id, reason, since, until from suppression
where subscriber_id = :subscriber_id and (until is null or until > :now);

-- name: suppress
-- The later of two ends counts.
insert into suppression as s (subscriber_id, list_id, reason, since, until)
select :subscriber_id, list_id, :reason, :now, :until from unnest(:list_ids::integer[]) as given(list_id)
on conflict (subscriber_id, list_id, reason) do update set since = excluded.since, until = greatest(s.until, excluded.until);

-- name: restrict
-- A pause; unlike with the others, what the person said last counts. No end: until they resume.
insert into suppression as s (subscriber_id, list_id, reason, since, until)
values (:subscriber_id, :list_id, 'restricted', :now, :until)
on conflict (subscriber_id, list_id, reason) do update set since = excluded.since, until = excluded.until
where s.since <= excluded.since;

-- name: end_pauses
-- They end with the person.
delete from suppression where subscriber_id = any(:subscriber_ids::uuid[]) and reason = 'restricted';

-- name: suppress_erased
-- Those of these people of whom no code stays: which lists they had confirmed nobody knows any more.
insert into suppression (subscriber_id, list_id, reason, since, until)
select distinct id, 0, 'left', :now::timestamptz, :until::timestamptz from unnest(:subscriber_ids::uuid[]) as people(id)
where not exists (select from suppression x where x.subscriber_id = id)
on conflict do nothing;

-- name: carry_pauses
-- Whoever changes their address has not asked for an end of their pauses. Where the new one is paused too, the longer counts. Gives
-- the pauses as they stand now.
insert into suppression as s (subscriber_id, list_id, reason, since, until)
select :subscriber_id, list_id, reason, since, until from suppression
where subscriber_id = :replaces and reason = 'restricted' and (until is null or until > :now)
on conflict (subscriber_id, list_id, reason) do update
set since = greatest(s.since, excluded.since),
    until = case when s.until is not null and excluded.until is not null then greatest(s.until, excluded.until) end
returning list_id, until;

-- name: lift_own
-- What only the person can lift, of that reason and for that list. True when there was something.
delete from suppression where subscriber_id = :subscriber_id and list_id = :list_id and reason = :reason returning true;

-- name: lift
-- The person's own, confirmed sign-up lifts what stood against these lists. Objection and pause are lifted by their own ways.
delete from suppression
where subscriber_id = :subscriber_id and (list_id = 0 or list_id = any(:list_ids::integer[])) and reason not in ('objected', 'restricted');

-- name: record_withdrawal
-- Numbered, so that a restored backup can be told what happened after it was taken.
insert into withdrawal (kind, subscriber_id, list_id, occurred_at, until)
select :kind, :subscriber_id, list_id, :now, :until from unnest(:list_ids::integer[]) as given(list_id);

-- name: remember_erased
-- What stays of the erased: a keyed id for each list that they had confirmed at some time, and the withdrawal. A pause ends.
with known as (
  select distinct e.subscriber_id, e.list_id from consent_event e
  where e.subscriber_id = any(:subscriber_ids::uuid[]) and e.kind = 'confirmed'
), withdrawn as (
  insert into withdrawal (kind, subscriber_id, occurred_at)
  select 'erased', id, :now from unnest(:subscriber_ids::uuid[]) as erased(id)
), resumed as (
  delete from suppression where subscriber_id = any(:subscriber_ids::uuid[]) and reason = 'restricted'
)
insert into suppression as s (subscriber_id, list_id, reason, since, until)
select subscriber_id, list_id, 'left', :now, :until from known
on conflict (subscriber_id, list_id, reason) do update set since = excluded.since, until = greatest(s.until, excluded.until);

-- name: seal_evidence
-- What remains of the evidence about people who are being erased: of the lists that they had confirmed, in the order it occurred.
-- A request that is still pending belongs to a life that begins, not to the one that ends.
insert into evidence (subscriber_id, list_id, kind, occurred_at, language, form, via, wording_hash, mail_hash, process_hash,
                      address, network, agent, origin_until, erased_at, expires_at)
select e.subscriber_id, e.list_id, e.kind, e.occurred_at, e.language, e.form, e.via, e.wording_hash, e.mail_hash, e.process_hash,
       case when :in_full then p.address end, case when :in_full then o.network end, case when :in_full then o.agent end,
       case when :in_full then o.expires_at end, :now, :expires_at
from consent_event e
join subscriber p using (subscriber_id)
left join consent_origin o using (subscriber_id, event_id)
where e.subscriber_id = any(:subscriber_ids::uuid[])
  and (e.list_id is null or exists (
    select from consent_event c
    where c.subscriber_id = e.subscriber_id and c.list_id = e.list_id and c.kind = 'confirmed'))
  and not exists (
    select from confirmation c
    where (c.subscriber_id, c.confirmation_id, c.list_id) = (e.subscriber_id, e.confirmation_id, e.list_id)
      and c.used_at is null and c.expires_at > :now)
order by e.subscriber_id, e.event_id;

-- name: sealed_evidence
-- All that remains about one person, in the order it occurred, with the texts that its hashes stand for.
select e.kind, e.list_id, l.slug as list, e.occurred_at, e.language, e.form, e.via, w.content as wording, m.content as mail,
       p.content as process, e.address, host(e.network) as network, e.agent, e.erased_at, e.expires_at, e.held_at, e.hold_reason
from evidence e
left join list l using (list_id)
left join wording w on w.wording_hash = e.wording_hash
left join wording m on m.wording_hash = e.mail_hash
left join wording p on p.wording_hash = e.process_hash
where e.subscriber_id = :subscriber_id
order by e.occurred_at, e.evidence_id;

-- name: hold_evidence
-- While somebody disputes it.
with held as (
  update evidence set held_at = :now, hold_reason = :reason where subscriber_id = :subscriber_id and held_at is null returning 1
)
select count(*)::integer from held;

-- name: release_evidence
with released as (
  update evidence set held_at = null, hold_reason = null where subscriber_id = :subscriber_id and held_at is not null returning 1
)
select count(*)::integer from released;

-- name: expire_evidence
-- Its time is over. A dispute keeps it for longer, and not for ever.
with due as (
  select subscriber_id, evidence_id, case when held_at is null then expires_at else erased_at + :longest::interval end as due_at
  from evidence
  where expires_at <= :now and (held_at is null or erased_at <= :now::timestamptz - :longest::interval)
  order by expires_at limit :size
), gone as (
  delete from evidence e using due
  where (e.subscriber_id, e.evidence_id) = (due.subscriber_id, due.evidence_id) returning due.due_at
)
select count(*)::integer as removed, min(due_at) as oldest from gone;

-- name: due_evidence
select count(*)::integer as due, min(case when held_at is null then expires_at else erased_at + :longest::interval end) as oldest
from evidence
where expires_at <= :now and (held_at is null or erased_at <= :now::timestamptz - :longest::interval);

-- name: expire_suppressions
-- Their time is over.
with due as (select subscriber_id, list_id, reason from suppression where until <= :now order by until limit :size),
     gone as (delete from suppression s using due
              where (s.subscriber_id, s.list_id, s.reason) = (due.subscriber_id, due.list_id, due.reason) returning s.until)
select count(*)::integer as removed, min(until) as oldest from gone;

-- name: due_suppressions
select count(*)::integer as due, min(until) as oldest from suppression where until <= :now;

-- name: expire_origins
-- Network address and browser of a consent; also where they stand in evidence that is kept in full.
with due as (select subscriber_id, event_id from consent_origin where expires_at <= :now order by expires_at limit :size),
gone as (
  delete from consent_origin o using due
  where (o.subscriber_id, o.event_id) = (due.subscriber_id, due.event_id) returning o.expires_at
), kept as (
  select subscriber_id, evidence_id, origin_until from evidence where origin_until <= :now order by origin_until limit :size
), cleared as (
  update evidence e set network = null, agent = null, origin_until = null from kept
  where (e.subscriber_id, e.evidence_id) = (kept.subscriber_id, kept.evidence_id) returning kept.origin_until
)
select count(*)::integer as removed, min(expires_at) as oldest
from (select expires_at from gone union all select origin_until from cleared) removed;

-- name: due_origins
select count(*)::integer as due, min(expires_at) as oldest from (
  select expires_at from consent_origin where expires_at <= :now
  union all
  select origin_until from evidence where origin_until <= :now
) over_time;

-- name: expire_withdrawals
-- They hold the same code as a suppression, and go no later: refusals with theirs, the others with the longest. Where no file is
-- set up they are unwritten to the end, and that goes too.
-- Two looks, each with an index of its own, since one would read all that lies between the two times.
with due as (
  (select withdrawal_id, occurred_at + :refused_for::interval as due_at from withdrawal
   where kind = 'refused' and occurred_at <= :now::timestamptz - :refused_for::interval order by occurred_at limit :size)
  union all
  (select withdrawal_id, occurred_at + :others_for::interval from withdrawal
   where kind <> 'refused' and occurred_at <= :now::timestamptz - :others_for::interval order by occurred_at limit :size)
  limit :size
), gone as (delete from withdrawal w using due where w.withdrawal_id = due.withdrawal_id returning due.due_at),
     unwritten as (delete from withdrawal_unwritten u using due where u.withdrawal_id = due.withdrawal_id)
select count(*)::integer as removed, min(due_at) as oldest from gone;

-- name: due_withdrawals
select count(*)::integer as due, min(due_at) as oldest from (
  select occurred_at + :refused_for::interval as due_at from withdrawal
  where kind = 'refused' and occurred_at <= :now::timestamptz - :refused_for::interval
  union all
  select occurred_at + :others_for::interval from withdrawal
  where kind <> 'refused' and occurred_at <= :now::timestamptz - :others_for::interval
) over_time;

-- name: suppress_many
-- The same reason for many people, in the order of their ids, so that two of these cannot wait for each other. Gives how many
-- stand now that did not before.
with given as (
  insert into suppression as s (subscriber_id, list_id, reason, since, until)
  select distinct id, :list_id::integer, :reason::text, :now::timestamptz, :until::timestamptz
  from unnest(:subscriber_ids::uuid[]) as people(id)
  order by id
  on conflict (subscriber_id, list_id, reason) do update
  set since = greatest(s.since, excluded.since), until = greatest(s.until, excluded.until)
  returning xmax = 0 as is_new
)
select count(*) filter (where is_new)::integer from given;

-- name: count_suppressions
-- How many stand, by reason and list: keyed ids say nothing to people.
select reason, list_id, count(*)::bigint as count from suppression
where (until is null or until > :now) and (:reason::text is null or reason = :reason)
group by reason, list_id order by reason, list_id;

-- name: record_endings
-- Evidence of subscriptions that ended otherwise than by the person's own click, side by side.
insert into consent_event (subscriber_id, list_id, kind, occurred_at, language, form, via)
select subscriber_id, list_id, 'unsubscribed', :now, language, '', :via
from unnest(:subscriber_ids::uuid[], :list_ids::integer[], :languages::text[]) as ended(subscriber_id, list_id, language);

-- name: record_pauses
-- Evidence of pauses, of one list or (0) of all, that a replay does again. What is not here any more, or not yet again, cannot
-- stand in it.
insert into consent_event (subscriber_id, list_id, kind, occurred_at, language, form, via)
select subscriber_id, nullif(:list_id::integer, 0), 'restricted', :now, language, '', :via from subscriber
where subscriber_id = any(:subscriber_ids::uuid[]) and (:list_id = 0 or exists (select from list where list_id = :list_id));

-- name: record_withdrawals
-- Of many people at once, side by side.
insert into withdrawal (kind, subscriber_id, list_id, occurred_at, until)
select kind, subscriber_id, list_id, occurred_at, until
from unnest(:kinds::text[], :subscriber_ids::uuid[], :list_ids::integer[], :times::timestamptz[], :untils::timestamptz[])
     as given(kind, subscriber_id, list_id, occurred_at, until);

-- name: unknown_withdrawals
-- Which of these the database does not know, by their places from 1 on. The number is left aside: after a restore it is given
-- out a second time.
select place::integer from unnest(:kinds::text[], :subscriber_ids::uuid[], :list_ids::integer[], :times::timestamptz[])
     with ordinality as given(kind, subscriber_id, list_id, occurred_at, place)
where not exists (
  select from withdrawal w
  where (w.subscriber_id, w.kind, w.list_id, w.occurred_at)
      = (given.subscriber_id, given.kind, given.list_id, given.occurred_at))
order by place;

-- name: lock_export
-- How far the file is written; whoever asks next waits until this transaction ends, so that one at a time writes it.
insert into withdrawal_export as e (only_one) values (true)
on conflict (only_one) do update set exported_to = e.exported_to
returning exported_to;

-- name: set_exported
update withdrawal_export set exported_to = :exported_to;

-- name: unwritten
-- Withdrawals that are not in the file yet. What is not committed yet is not seen, and is seen next time.
select w.withdrawal_id as number, w.kind, w.subscriber_id, w.list_id, w.occurred_at, w.until
from withdrawal_unwritten u join withdrawal w using (withdrawal_id)
order by w.withdrawal_id limit :size;

-- name: forget_unwritten
-- They are in the file.
delete from withdrawal_unwritten where withdrawal_id = any(:numbers::bigint[]);

-- name: write_all_anew
-- Their file is lost: all that are known belong into the next.
insert into withdrawal_unwritten select withdrawal_id from withdrawal on conflict do nothing;

-- name: move_numbers
-- New withdrawals are numbered beyond those of the file.
select setval(pg_get_serial_sequence('withdrawal', 'withdrawal_id'),
              greatest(:number::bigint, (select last_value from withdrawal_withdrawal_id_seq)));

-- name: stand_still
-- From now on no campaign is sent by anybody. Waits for those who are finding out whether there is anything left to send.
insert into standstill (reason, since) values (:reason, :now) on conflict do nothing returning true;

-- name: go_on
delete from standstill where reason = :reason returning true;

-- name: standstills
select reason, since from standstill order by since;
