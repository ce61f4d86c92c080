-- Evidence, suppression, withdrawals.

-- name: keep_wording
-- Once per content.
insert into wording (wording_hash, kind, language, content, first_used)
values (:wording_hash, :kind, :language, :content, :now) on conflict do nothing;

-- name: record_event
-- One event of evidence per list, and for a while where it came from. A link outlives its campaign: one that is not there any
-- more, or not yet again after a backup was restored, must keep nobody from unsubscribing.
with event as (
  insert into consent_event (subscriber_id, list_id, kind, occurred_at, language, form, wording_hash, mail_hash,
                             confirmation_id, campaign_id)
  select :subscriber_id, list_id, :kind, :now, :language, :form, :wording_hash, :mail_hash, :confirmation_id,
         (select campaign_id from campaign where campaign_id = :campaign_id)
  from unnest(:list_ids::integer[]) as asked(list_id)
  returning subscriber_id, event_id
)
insert into consent_origin (subscriber_id, event_id, network, agent, expires_at)
select subscriber_id, event_id, :network::inet, :agent, :origin_until from event
where :network::inet is not null or :agent <> '';

-- name: suppressions_of
-- What stands against mailing this person, on any list.
select list_id, reason, since, until from suppression
where subscriber_id = :subscriber_id and (until is null or until > :now);

-- name: suppress
-- The later of two ends counts.
insert into suppression as s (subscriber_id, list_id, reason, since, until)
select :subscriber_id, list_id, :reason, :now, :until from unnest(:list_ids::integer[]) as given(list_id)
on conflict (subscriber_id, list_id, reason) do update set since = excluded.since, until = greatest(s.until, excluded.until);

-- name: lift
-- The person's own, confirmed sign-up lifts what stood against these lists. An objection is lifted by its own way alone.
delete from suppression
where subscriber_id = :subscriber_id and (list_id = 0 or list_id = any(:list_ids::integer[])) and reason <> 'objected';

-- name: record_withdrawal
-- Numbered, so that a restored backup can be told what happened after it was taken.
insert into withdrawal (kind, subscriber_id, list_id, occurred_at)
select :kind, :subscriber_id, list_id, :now from unnest(:list_ids::integer[]) as given(list_id);

-- name: remember_erased
-- What stays of the erased: a keyed id for each list that they had confirmed at some time, and the withdrawal.
with known as (
  select distinct e.subscriber_id, e.list_id from consent_event e
  where e.subscriber_id = any(:subscriber_ids::uuid[]) and e.kind = 'confirmed'
), withdrawn as (
  insert into withdrawal (kind, subscriber_id, occurred_at)
  select 'erased', id, :now from unnest(:subscriber_ids::uuid[]) as erased(id)
)
insert into suppression as s (subscriber_id, list_id, reason, since, until)
select subscriber_id, list_id, 'left', :now, :until from known
on conflict (subscriber_id, list_id, reason) do update set since = excluded.since, until = greatest(s.until, excluded.until);

-- name: expire_suppressions
-- Their time is over.
with due as (select subscriber_id, list_id, reason from suppression where until <= :now order by until limit :size),
     gone as (delete from suppression s using due
              where (s.subscriber_id, s.list_id, s.reason) = (due.subscriber_id, due.list_id, due.reason) returning s.until)
select count(*)::integer as removed, min(until) as oldest from gone;

-- name: expire_origins
-- Network address and browser of a consent.
with due as (select subscriber_id, event_id from consent_origin where expires_at <= :now order by expires_at limit :size),
     gone as (delete from consent_origin o using due
              where (o.subscriber_id, o.event_id) = (due.subscriber_id, due.event_id) returning o.expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: expire_withdrawals
-- They hold the same code as a suppression, and go no later: refusals with theirs, the others with the longest.
-- Two looks, each with an index of its own, since one would read all that lies between the two times.
with due as (
  (select withdrawal_id, occurred_at + :refused_for::interval as due_at from withdrawal
   where kind = 'refused' and occurred_at <= :now::timestamptz - :refused_for::interval order by occurred_at limit :size)
  union all
  (select withdrawal_id, occurred_at + :others_for::interval from withdrawal
   where kind <> 'refused' and occurred_at <= :now::timestamptz - :others_for::interval order by occurred_at limit :size)
  limit :size
), gone as (delete from withdrawal w using due where w.withdrawal_id = due.withdrawal_id returning due.due_at)
select count(*)::integer as removed, min(due_at) as oldest from gone;
