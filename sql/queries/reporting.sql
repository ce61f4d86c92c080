-- Where campaigns stand, and what becomes of them.

-- name: standings
-- Newest first; of one state, one list, or all for null.
select c.campaign_id, c.list_id, l.slug, l.time_zone, c.name, c.state, c.created_at, c.scheduled_at, c.started_at, c.finished_at,
       c.planned, c.pause_reason, c.returned_reason, s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped,
       s.next_due, s.unsubscribed
from (
  select * from campaign
  where campaign_id < :before and (:state::text is null or state = :state) and (:list_id::integer is null or list_id = :list_id)
  order by campaign_id desc limit :size
) c
join list l using (list_id)
join campaign_standing s using (campaign_id)
order by c.campaign_id desc;

-- name: standing
-- Of one campaign.
select c.campaign_id, c.list_id, l.slug, l.time_zone, c.name, c.state, c.created_at, c.scheduled_at, c.started_at, c.finished_at,
       c.planned, c.pause_reason, c.returned_reason, s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped,
       s.next_due, s.unsubscribed
from campaign c join list l using (list_id) join campaign_standing s using (campaign_id)
where c.campaign_id = :campaign_id;

-- name: standing_now
-- What changes while it is sent: asked once a second for whoever watches.
select c.state, c.planned, s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped, s.next_due
from campaign c join campaign_standing s using (campaign_id)
where c.campaign_id = :campaign_id;

-- name: paces
-- Receivers that were slowed down lately, or whose mails stand in line; `domain` is empty where the campaign's report does not name
-- it; `kind` is how names of receivers begin. Asked once a second for whoever watches; the table has a row for each domain that has
-- a rate.
select p.name, coalesce(c.domain, '') as domain, p.free_at, p.slow_rate, p.slowed_at
from pace p
left join campaign_domain c on c.campaign_id = :campaign_id and c.domain = substr(p.name, length(:kind) + 1)
where starts_with(p.name, :kind) and (p.slowed_at > :slowed_since or p.free_at > :free_after)
order by c.domain is null, c.tried desc, p.name limit :most;

-- name: open_report
-- From the start on.
insert into campaign_report (campaign_id, next_at) values (:campaign_id, :now) on conflict do nothing;

-- name: sample_progress
-- Where something has changed since the last look. After a while without any change the chart gets a point where that ended, or it
-- would show a slope for a pause.
with latest as (
  select r.campaign_id, p.taken_at, p.attempting, p.accepted, p.deferred, p.failed, p.uncertain, p.skipped
  from campaign_report r
  left join lateral (
    select * from campaign_progress p where p.campaign_id = r.campaign_id order by taken_at desc limit 1
  ) p on true
  where r.next_at is not null
), changed as (
  select l.campaign_id, l.taken_at as before_at, l.attempting as before_attempting, l.accepted as before_accepted,
         l.deferred as before_deferred, l.failed as before_failed, l.uncertain as before_uncertain, l.skipped as before_skipped,
         s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped
  from latest l join campaign_standing s using (campaign_id)
  where l.taken_at is null
     or (l.taken_at < :now
         and (s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped)
             is distinct from (l.attempting, l.accepted, l.deferred, l.failed, l.uncertain, l.skipped))
)
insert into campaign_progress (campaign_id, taken_at, attempting, accepted, deferred, failed, uncertain, skipped)
select campaign_id, :now, attempting, accepted, deferred, failed, uncertain, skipped from changed
union all
select campaign_id, :quiet_until, before_attempting, before_accepted, before_deferred, before_failed, before_uncertain, before_skipped
from changed where before_at < :quiet_until
on conflict do nothing;

-- name: thin_progress
-- Of campaigns that are looked at, and have become many, every other point goes; the first and the last stay.
with counted as (
  select p.campaign_id, p.taken_at, row_number() over (partition by p.campaign_id order by p.taken_at) as number,
         count(*) over (partition by p.campaign_id) as points
  from campaign_report r join campaign_progress p using (campaign_id) where r.next_at is not null
)
delete from campaign_progress p using counted c
where p.campaign_id = c.campaign_id and p.taken_at = c.taken_at
  and c.points > :most and c.number % 2 = 0 and c.number < c.points;

-- name: progress
-- Oldest first.
select taken_at, attempting, accepted, deferred, failed, uncertain, skipped
from campaign_progress where campaign_id = :campaign_id and taken_at >= :since order by taken_at;

-- name: due_reports
-- Also of campaigns that have ended since: whoever looks wants to see how. A second time once their last outcomes are written.
select r.campaign_id, c.week, c.finished_at
from campaign_report r join campaign c using (campaign_id)
where r.next_at is not null and c.week is not null
  and (r.next_at <= :now or (c.finished_at is not null and (r.as_of is null or r.as_of < c.finished_at)))
order by r.next_at;

-- name: put_off_report
-- Before it is begun, so that one that cannot be made does not keep the others from being made.
update campaign_report set next_at = :next_at where campaign_id = :campaign_id;

-- name: finish_report
-- After the last one nothing is counted anew, nor does erasing fold anything for it.
update campaign_report set as_of = :as_of, took = :took, next_at = :next_at where campaign_id = :campaign_id;

-- name: forget_folded
-- What was folded for reports of which the last was made. An erasure that began before that may write some after it: so this looks at
-- all of them, each time, and there are none but of campaigns under way. What an erasure has in hand is left for the next time: neither
-- waits for the other in a circle, and a report waits for nobody's erasure.
with domains as (
  delete from delivery_folded_domain where (campaign_id, domain, state) in (
    select f.campaign_id, f.domain, f.state from delivery_folded_domain f join campaign_report r using (campaign_id)
    where r.next_at is null for update of f skip locked)
)
delete from delivery_folded_reply where (campaign_id, state, code, status, hint) in (
  select f.campaign_id, f.state, f.code, f.status, f.hint from delivery_folded_reply f join campaign_report r using (campaign_id)
  where r.next_at is null for update of f skip locked);

-- name: count_reasons
-- What relays said of whom they did not take, among a part of all ids, in few groups: codes, and what can be told from the words alone.
select state, coalesce(reply_code, 0)::integer as code, coalesce(reply_status, '') as status, paced, reply_hint(reply) as hint,
       count(*)::bigint as count
from delivery
where campaign_id = :campaign_id and week = :week and subscriber_id between :first_id and :last_id
  and state in ('deferred', 'failed', 'uncertain', 'skipped')
group by 1, 2, 3, 4, 5;

-- name: folded_reasons
-- The same of readers who were erased since.
select state, code, status, false as paced, hint, count from delivery_folded_reply where campaign_id = :campaign_id;

-- name: drop_reasons
delete from campaign_reason where campaign_id = :campaign_id;

-- name: put_reason
insert into campaign_reason as r (campaign_id, state, reason, count) values (:campaign_id, :state, :reason, :count)
on conflict (campaign_id, state, reason) do update set count = r.count + excluded.count;

-- name: drop_domains
delete from campaign_domain where campaign_id = :campaign_id;

-- name: count_domains
-- What became of the mails to each domain that was tried, among a part of all ids.
insert into campaign_domain_part (campaign_id, domain, state, count)
select :campaign_id, p.domain, d.state, count(*)
from delivery d join subscriber p using (subscriber_id)
where d.campaign_id = :campaign_id and d.week = :week and d.subscriber_id between :first_id and :last_id
  and d.state in ('accepted', 'deferred', 'failed', 'uncertain') and d.attempts > 0
group by 2, 3;

-- name: put_domains
-- All parts together, and readers who were erased since. Where few readers are, domains are put together; of how many the erased were
-- is not known.
with each as (
  select domain, sum(count)::bigint as tried, coalesce(sum(count) filter (where state = 'accepted'), 0) as accepted,
         coalesce(sum(count) filter (where state = 'deferred'), 0) as deferred,
         coalesce(sum(count) filter (where state = 'failed'), 0) as failed,
         coalesce(sum(count) filter (where state = 'uncertain'), 0) as uncertain
  from (select domain, state, count from campaign_domain_part where campaign_id = :campaign_id
        union all
        select domain, state, count from delivery_folded_domain where campaign_id = :campaign_id) sums
  group by domain
)
insert into campaign_domain (campaign_id, domain, domains, tried, accepted, deferred, failed, uncertain)
select :campaign_id, case when domain <> '' and tried >= :fewest then domain else '' end,
       greatest(count(*) filter (where domain <> ''), 1), sum(tried), sum(accepted), sum(deferred), sum(failed), sum(uncertain)
from each group by 2;

-- name: drop_parts
delete from campaign_domain_part where campaign_id = :campaign_id;

-- name: report_made
-- When the sums were made.
select as_of from campaign_report where campaign_id = :campaign_id;

-- name: reasons
-- The most frequent first.
select state, reason, count from campaign_reason where campaign_id = :campaign_id order by count desc, state, reason;

-- name: domains
-- Most readers first; the others together come last.
select domain, domains, tried, accepted, deferred, failed, uncertain from campaign_domain
where campaign_id = :campaign_id order by domain = '', tried desc, domain;
