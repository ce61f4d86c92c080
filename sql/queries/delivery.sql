-- Mail going out: the outbox of single mails, and campaigns in batches under lease.

-- name: queue_mail
-- A single mail for a subscriber; the address is read when the mail is made.
insert into outbox (kind, subscriber_id, about, list_ids, language, message_id, created_at, expires_at, not_before)
values (:kind, :subscriber_id, :about, :list_ids, :language, :message_id, :created_at, :expires_at, :now);

-- name: wake_workers
-- A hint that there is something to do; sent when the transaction commits.
select pg_notify('newsletter_work', '');

-- name: claim_mails
-- Mails that are due or whose worker fell silent. SKIP LOCKED: this queue is small and stays on one server.
with free as materialized (
  select outbox_id from outbox
  where state = 'queued' and not_before <= :now and expires_at > :now and (lease_until is null or lease_until < :now)
  order by not_before limit :size for update skip locked
)
update outbox o set lease_until = :lease_until, epoch = o.epoch + 1, attempts = o.attempts + 1
from free where o.outbox_id = free.outbox_id
returning o.outbox_id, o.kind, o.subscriber_id, o.about, o.list_ids, o.language, o.message_id, o.created_at, o.expires_at,
          o.epoch, o.attempts;

-- name: drop_mail
-- Taken by the relay, or nobody wants it any more.
delete from outbox where outbox_id = :outbox_id and epoch = :epoch;

-- name: defer_mail
-- Tried again later.
update outbox set lease_until = null, not_before = :not_before, reply = :reply
where outbox_id = :outbox_id and epoch = :epoch;

-- name: return_mail
-- Not tried after all: the attempt does not count.
update outbox set lease_until = null, not_before = :not_before, attempts = attempts - 1
where outbox_id = :outbox_id and epoch = :epoch;

-- name: fail_mail
-- Never tried again; kept until it expires, for whoever asks why it did not come.
update outbox set state = 'failed', lease_until = null, reply = :reply
where outbox_id = :outbox_id and epoch = :epoch;

-- name: expire_mails
-- What could not be delivered in its time.
with due as (select outbox_id, expires_at from outbox where expires_at <= :now order by expires_at limit :size),
     gone as (delete from outbox where outbox_id in (select outbox_id from due) returning expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: forget_subscribers
-- Erasure: deliveries become sums that belong to nobody, single mails go. What was under way counts as uncertain.
with mails as (delete from outbox where subscriber_id = any(:subscriber_ids::uuid[])),
     gone as (delete from delivery where subscriber_id = any(:subscriber_ids::uuid[]) returning campaign_id, state),
     sums as (
       select campaign_id, case state when 'attempting' then 'uncertain' else state end as state, count(*) as count
       from gone group by 1, 2 order by 1, 2
     )
insert into delivery_folded as f (campaign_id, state, count) select campaign_id, state, count from sums
on conflict (campaign_id, state) do update set count = f.count + excluded.count;

-- name: count_audience
-- Confirmed readers of a list at this moment.
select count(*)::integer from subscription where list_id = :list_id and state = 'confirmed';

-- name: start_campaign
-- From draft to sending. The guard on the state lets exactly one of two callers through.
update campaign
set state = 'sending', started_at = :now, week = :week, message_key = :message_key, message_domain = :message_domain,
    planned = :planned
where campaign_id = :campaign_id and state in ('draft', 'scheduled')
returning true;

-- name: make_week
-- The partition that the campaign's deliveries will lie in.
select ensure_delivery_week(:week);

-- name: make_batches
-- The id space in equal slices: ids are uniform, so nobody has to be counted.
insert into batch (campaign_id, batch_no, id_from, id_to, not_before)
select :campaign_id, number, id_from, id_to, :now
from unnest(:numbers::integer[], :froms::uuid[], :tos::uuid[]) as slice(number, id_from, id_to);

-- name: claim_batch
-- A batch that is due, or whose worker fell silent (its intents are settled even where the campaign no longer sends). The epoch
-- grows, so that whoever held it before can write nothing more. Materialized, so that the limit holds once: as a subquery of the
-- join it may be run again for each row of the outer side, and then leases batches that nobody learns of.
with free as materialized (
  select b.campaign_id, b.batch_no, c.list_id, c.week, c.uncertain_policy
  from batch b join campaign c using (campaign_id)
  where (b.state = 'queued' and b.not_before <= :now and c.state = 'sending')
     or (b.state = 'leased' and b.lease_until < :now)
  order by b.not_before, b.campaign_id, b.batch_no
  limit 1 for update of b skip locked
)
update batch b
set state = 'leased', lease_until = :lease_until, leased_by = :worker, epoch = b.epoch + 1
from free
where b.campaign_id = free.campaign_id and b.batch_no = free.batch_no
returning b.campaign_id, b.batch_no, b.id_from, b.id_to, b.epoch, free.list_id, free.week, free.uncertain_policy;

-- name: renew_lease
-- Says at the same time whether to go on: no row when somebody else has the batch, false when the campaign was paused or
-- cancelled. Then the lease is prolonged all the same, for what has begun.
update batch b set lease_until = :lease_until
from campaign c
where b.campaign_id = :campaign_id and b.batch_no = :batch_no and b.epoch = :epoch and b.state = 'leased'
  and c.campaign_id = b.campaign_id
returning c.state = 'sending' as sending;

-- name: mark_interrupted
-- Intents of a worker that fell silent: whether they were sent nobody knows. Resent as `may_resend` in delivery/rules.py says.
update delivery
set state = 'uncertain', was_uncertain = true,
    retry_at = case when :resend and (not was_uncertain or attempts < :attempts_at_most) then :now::timestamptz end
where campaign_id = :campaign_id and week = :week and subscriber_id between :id_from and :id_to
  and state = 'attempting' and epoch < :epoch;

-- name: skip_unwanted
-- Retries that are due for readers who have left since.
update delivery d set state = 'skipped', retry_at = null, attempted_at = :now
where d.campaign_id = :campaign_id and d.week = :week and d.subscriber_id between :id_from and :id_to and d.retry_at <= :now
  and not exists (
    select from subscription s where s.subscriber_id = d.subscriber_id and s.list_id = :list_id and s.state = 'confirmed'
      and not exists (
        select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
          and (x.until is null or x.until > :now)));

-- name: take_again
-- Retries that are due, with the intent written anew under this epoch. Who has left meanwhile stays due, for skip_unwanted.
-- SHARE keeps others from claiming the batch between the look at the lease and the intents.
with held as (
  select from batch b join campaign c using (campaign_id)
  where b.campaign_id = :campaign_id and b.batch_no = :batch_no and b.epoch = :epoch and b.state = 'leased'
    and c.state = 'sending'
  for share of b
), due as (
  select subscriber_id from delivery d
  where campaign_id = :campaign_id and week = :week and subscriber_id between :id_from and :id_to and retry_at <= :now
    and exists (select from held)
    and exists (
      select from subscription s
      where s.subscriber_id = d.subscriber_id and s.list_id = :list_id and s.state = 'confirmed')
  order by subscriber_id limit :size
), written as (
  update delivery d set state = 'attempting', epoch = :epoch, attempts = attempts + 1, attempted_at = :now, retry_at = null
  from due where d.subscriber_id = due.subscriber_id and d.campaign_id = :campaign_id and d.week = :week
  returning d.subscriber_id, d.attempts, d.first_at, d.was_uncertain
)
select p.subscriber_id, p.address, p.name, s.language, s.confirmed_at, w.attempts::integer as attempts, w.first_at,
       w.was_uncertain
from written w
join subscriber p on p.subscriber_id = w.subscriber_id
join subscription s on s.subscriber_id = w.subscriber_id and s.list_id = :list_id
order by p.subscriber_id;

-- name: take_fresh
-- The next readers as the list is now, with the intent to mail them written before anything is sent. SHARE keeps others from
-- claiming the batch meanwhile. KEY SHARE on the subscriber, which everything that changes a person locks first, makes this wait
-- for an erasure that is under way, so that no intent is left behind for somebody erased.
with held as (
  select from batch b join campaign c using (campaign_id)
  where b.campaign_id = :campaign_id and b.batch_no = :batch_no and b.epoch = :epoch and b.state = 'leased'
    and c.state = 'sending'
  for share of b
), audience as (
  select s.subscriber_id, p.address, p.name, s.language, s.confirmed_at
  from subscription s join subscriber p using (subscriber_id)
  where s.list_id = :list_id and s.state = 'confirmed' and s.subscriber_id between :id_from and :id_to
    and exists (select from held)
    and not exists (
      select from delivery d
      where d.subscriber_id = s.subscriber_id and d.campaign_id = :campaign_id and d.week = :week)
    and not exists (
      select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
        and (x.until is null or x.until > :now))
  order by s.subscriber_id limit :size
  for key share of p
), written as (
  insert into delivery (subscriber_id, campaign_id, week, state, epoch, attempts, first_at, attempted_at)
  select subscriber_id, :campaign_id, :week, 'attempting', :epoch, 1, :now, :now from audience
)
select subscriber_id, address, name, language, confirmed_at, 1 as attempts, :now::timestamptz as first_at,
       false as was_uncertain
from audience order by subscriber_id;

-- name: still_wanted
-- Of these readers, those who are still to be mailed.
select s.subscriber_id from subscription s
where s.subscriber_id = any(:subscriber_ids::uuid[]) and s.list_id = :list_id and s.state = 'confirmed'
  and not exists (
    select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
      and (x.until is null or x.until > :now));

-- name: record_outcomes
-- Guarded by state and epoch and never an upsert, which would revive the erased and let a worker without lease have its say.
update delivery d
set state = o.state, was_uncertain = d.was_uncertain or o.state = 'uncertain', retry_at = o.retry_at, reply_code = o.code,
    reply_status = o.status, reply = o.reply
from unnest(:subscriber_ids::uuid[], :states::text[], :retries::timestamptz[], :codes::smallint[], :statuses::text[],
            :replies::text[]) as o(subscriber_id, state, retry_at, code, status, reply)
where d.subscriber_id = o.subscriber_id and d.campaign_id = :campaign_id and d.week = :week
  and d.state = 'attempting' and d.epoch = :epoch;

-- name: give_back
-- Intents whose body was not begun: a first one is undone, a later one is due again at the given time.
with first as (
  delete from delivery
  where subscriber_id = any(:subscriber_ids::uuid[]) and campaign_id = :campaign_id and week = :week
    and state = 'attempting' and epoch = :epoch and attempts = 1
)
update delivery set state = 'deferred', retry_at = :not_before, attempts = attempts - 1
where subscriber_id = any(:subscriber_ids::uuid[]) and campaign_id = :campaign_id and week = :week
  and state = 'attempting' and epoch = :epoch and attempts > 1;

-- name: next_retry
-- When the first of the batch's readers is due again.
select min(retry_at) from delivery
where campaign_id = :campaign_id and week = :week and subscriber_id between :id_from and :id_to and retry_at is not null;

-- name: requeue_batch
-- For later: retries are due then, or the relay may be back.
update batch set state = 'queued', not_before = :not_before, lease_until = null, leased_by = null
where campaign_id = :campaign_id and batch_no = :batch_no and epoch = :epoch and state = 'leased';

-- name: finish_batch
-- Everybody in it has an outcome that is final. In one transaction with finish_campaign, or a worker killed in between would
-- leave a campaign that never ends; the lock lets one batch of a campaign finish after the other, so that the last one sees it.
with turn as (
  select campaign_id from campaign where campaign_id = :campaign_id for no key update
)
update batch b set state = 'done', lease_until = null, leased_by = null
from turn
where b.campaign_id = turn.campaign_id and b.batch_no = :batch_no and b.epoch = :epoch and b.state = 'leased';

-- name: finish_campaign
-- After its last batch; paused in that very instant it is sent all the same, since nothing is left to resume.
update campaign set state = 'sent', finished_at = :now
where campaign_id = :campaign_id and state in ('sending', 'paused')
  and not exists (select from batch where campaign_id = :campaign_id and state <> 'done')
returning true;

-- name: delivery_totals
-- What became of a campaign: live rows and folded ones.
select state, sum(count)::bigint as count
from (
  select d.state, count(*) as count
  from delivery d join campaign c on c.campaign_id = d.campaign_id and c.week = d.week
  where d.campaign_id = :campaign_id group by d.state
  union all
  select state, count from delivery_folded where campaign_id = :campaign_id
) parts
group by state;

-- name: next_due
-- When a campaign that is under way has something to do again.
select min(not_before) from batch where campaign_id = :campaign_id and state <> 'done';

-- Keys that mails are signed with (DKIM), wrapped.

-- name: add_dkim_key
-- Signs nothing yet. No row when the sender has that selector already.
insert into dkim_key (sender_id, selector, domain, kind, wrapped, created_at)
values (:sender_id, :selector, :domain, :kind, :wrapped, :now)
on conflict (sender_id, selector) do nothing
returning true;

-- name: dkim_keys
-- A sender's keys, still wrapped, RSA first; of all senders for null.
select sender_id, selector, domain, kind, wrapped, created_at, active_at
from dkim_key where sender_id = coalesce(:sender_id, sender_id)
order by sender_id, kind desc, created_at, selector;

-- name: retire_dkim_keys
-- Before another key of the kind takes over: a mail has one signature of each.
update dkim_key set active_at = null where sender_id = :sender_id and kind = :kind and selector <> :selector;

-- name: activate_dkim_key
-- From now on mails are signed with it; one that is active already stays so.
update dkim_key set active_at = coalesce(active_at, :now) where sender_id = :sender_id and selector = :selector returning true;

-- name: remove_dkim_key
delete from dkim_key where sender_id = :sender_id and selector = :selector returning true;

-- name: rewrap_dkim_key
-- The same key under another secret.
update dkim_key set wrapped = :wrapped where sender_id = :sender_id and selector = :selector;
