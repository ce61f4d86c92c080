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
          o.epoch, o.attempts, o.request_id;

-- name: queue_answer
-- A single mail about what somebody handed in: to whoever asked, or to whoever answers.
insert into outbox (kind, request_id, list_ids, language, message_id, created_at, expires_at, not_before)
values (:kind, :request_id, :list_ids, :language, :message_id, :now, :expires_at, :now);

-- name: drop_mail
-- Taken by the relay, or nobody wants it any more. What it was made from goes with it.
with gone as (delete from outbox where outbox_id = :outbox_id and epoch = :epoch returning kind, request_id),
     asked as (delete from data_request r using gone where gone.kind = 'data' and r.request_id = gone.request_id),
     said as (delete from contact_message m using gone where gone.kind = 'contact' and m.message_id = gone.request_id)
update rights_request r set message_id = null from gone where gone.kind = 'contact' and r.message_id = gone.request_id;

-- name: defer_mail
-- Tried again later.
update outbox set lease_until = null, not_before = :not_before, reply = :reply
where outbox_id = :outbox_id and epoch = :epoch;

-- name: return_mail
-- Not tried after all: the attempt does not count.
update outbox set lease_until = null, not_before = :not_before, attempts = attempts - 1
where outbox_id = :outbox_id and epoch = :epoch;

-- name: fail_mail
-- Never tried again; kept until it expires, for whoever asks why it did not come. A message whose line in the register is closed
-- nobody can read any more: it goes. The lock is on a line that somebody closes at this moment.
with failed as (
  update outbox set state = 'failed', lease_until = null, reply = :reply
  where outbox_id = :outbox_id and epoch = :epoch returning kind, request_id
), registered as (
  select r.message_id from failed join rights_request r on failed.kind = 'contact' and r.message_id = failed.request_id
  for update of r
)
delete from contact_message m using failed
where failed.kind = 'contact' and m.message_id = failed.request_id
  and not exists (select from registered where registered.message_id = m.message_id);

-- name: expire_mails
-- What could not be delivered in its time.
with due as (select outbox_id, expires_at from outbox where expires_at <= :now order by expires_at limit :size),
     gone as (delete from outbox where outbox_id in (select outbox_id from due) returning expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: due_mails
select count(*)::integer as due, min(expires_at) as oldest from outbox where expires_at <= :now;

-- name: forget_subscribers
-- Erasure: deliveries become sums that belong to nobody, by the state they had; single mails go. Until a campaign's last report was
-- made there are the sums that it is made from, too, by the state that they count as from now on: by domain, where it names that, and
-- by what relays said.
with mails as (delete from outbox where subscriber_id = any(:subscriber_ids::uuid[])),
     gone as (
       delete from delivery where subscriber_id = any(:subscriber_ids::uuid[])
       returning campaign_id, subscriber_id, state, reply_code, reply_status, reply
     ),
     sums as (select campaign_id, state, count(*) as count from gone group by 1, 2 order by 1, 2),
     reported as (
       select g.campaign_id, g.subscriber_id, reply_code, reply_status, reply,
              case g.state when 'attempting' then 'uncertain' when 'deferred' then 'skipped' else g.state end as state
       from gone g join campaign_report r on r.campaign_id = g.campaign_id and r.next_at is not null
     ), domains as (
       insert into delivery_folded_domain as f (campaign_id, domain, state, count)
       select g.campaign_id, coalesce(c.domain, ''), g.state, count(*)
       from reported g
       join subscriber p using (subscriber_id)
       left join campaign_domain c on c.campaign_id = g.campaign_id and c.domain = p.domain
       where g.state <> 'skipped'
       group by 1, 2, 3 order by 1, 2, 3
       on conflict (campaign_id, domain, state) do update set count = f.count + excluded.count
     ), replies as (
       insert into delivery_folded_reply as f (campaign_id, state, code, status, hint, count)
       select campaign_id, state, case state when 'failed' then coalesce(reply_code, 0) else 0 end,
              case state when 'failed' then coalesce(reply_status, '') else '' end,
              case state when 'failed' then reply_hint(reply) else '' end, count(*)
       from reported
       where state <> 'accepted'
       group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
       on conflict (campaign_id, state, code, status, hint) do update set count = f.count + excluded.count
     )
insert into delivery_folded as f (campaign_id, state, count) select campaign_id, state, count from sums
on conflict (campaign_id, state) do update set count = f.count + excluded.count;

-- name: cancel_forgotten
-- A campaign that was begun so long ago and is still paused, or under way, would keep its week from being forgotten.
update campaign set state = 'cancelled', finished_at = :now, pause_reason = null
where state in ('sending', 'paused') and week < :before returning campaign_id;

-- name: drop_week
-- Who was sent what is forgotten week by week.
select coalesce(sum(removed), 0)::integer as removed, min(monday)::timestamptz as oldest from drop_delivery_week(:before);

-- name: due_weeks
-- Also of campaigns that are still under way, which keep their week from being dropped.
select count(*)::integer as due, min(week)::timestamptz as oldest from delivery where week < :before;

-- name: forget_paces
-- What a domain took is of no use a day later.
with due as (
  select name from pace where free_at < :before and (slowed_at is null or slowed_at < :before) limit :size
), gone as (
  delete from pace where name in (select name from due) returning greatest(free_at, slowed_at) as last_used
)
select count(*)::integer as removed, min(last_used) as oldest from gone;

-- name: due_paces
select count(*)::integer as due, min(greatest(free_at, slowed_at)) as oldest
from pace where free_at < :before and (slowed_at is null or slowed_at < :before);

-- name: count_audience
-- Confirmed readers of a list at this moment.
select count(*)::integer from subscription where list_id = :list_id and state = 'confirmed';

-- name: hold_campaign
-- Nobody writes or starts it until this transaction ends: what is read after this is what is sent.
select true from campaign where campaign_id = :campaign_id for update;

-- name: start_campaign
-- From draft to sending. The guard on the state lets exactly one of two callers through; what is empty, or did not compile when
-- it was saved, is not sent.
update campaign
set state = 'sending', started_at = :now, week = :week, message_key = :message_key, message_domain = :message_domain,
    planned = :planned, returned_reason = null
where campaign_id = :campaign_id and state in ('draft', 'scheduled')
  and exists (select from campaign_content k where k.campaign_id = :campaign_id)
  and not exists (select from campaign_content k where k.campaign_id = :campaign_id and k.fault is not null)
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
-- join it may be run again for each row of the outer side, and then leases batches that nobody learns of. The campaigns that this
-- worker waits for already are left to others. While there is a standstill nobody begins anything.
with free as materialized (
  select b.campaign_id, b.batch_no, c.list_id, c.week, c.uncertain_policy
  from batch b join campaign c using (campaign_id)
  where ((b.state = 'queued' and b.not_before <= :now and c.state = 'sending' and not exists (select from standstill))
         or (b.state = 'leased' and b.lease_until < :now))
    and b.campaign_id <> all(:other_than::integer[])
  order by b.not_before, b.campaign_id, b.batch_no
  limit 1 for update of b skip locked
)
update batch b
set state = 'leased', lease_until = :lease_until, leased_by = :worker, epoch = b.epoch + 1
from free join list l using (list_id) join sender s using (sender_id)
where b.campaign_id = free.campaign_id and b.batch_no = free.batch_no
returning b.campaign_id, b.batch_no, b.id_from, b.id_to, b.epoch, free.list_id, free.week, free.uncertain_policy,
          l.rate as list_rate, s.relay as list_relay;

-- name: renew_lease
-- Says at the same time whether to go on: no row when somebody else has the batch, false when the campaign was paused or
-- cancelled, or all stand still. Then the lease is prolonged all the same, for what has begun.
update batch b set lease_until = :lease_until
from campaign c
where b.campaign_id = :campaign_id and b.batch_no = :batch_no and b.epoch = :epoch and b.state = 'leased'
  and c.campaign_id = b.campaign_id
returning c.state = 'sending' and not exists (select from standstill) as sending;

-- name: mark_interrupted
-- Intents of a worker that fell silent: whether they were sent nobody knows.
with counting as materialized (
  select campaign_id, batch_no from batch where campaign_id = :campaign_id and batch_no = :batch_no for no key update
), changed as (
  update delivery
  set state = 'uncertain', was_uncertain = true,
      retry_at = case when :resend and attempts < :attempts_at_most then :now::timestamptz end
  where campaign_id = :campaign_id and week = :week and subscriber_id between :id_from and :id_to
    and state = 'attempting' and epoch < :epoch and exists (select from counting)
  returning state
)
update batch b set attempting = b.attempting - c.count, uncertain = b.uncertain + c.count
from counting, (select count(*) as count from changed) c
where b.campaign_id = counting.campaign_id and b.batch_no = counting.batch_no and c.count > 0;

-- name: skip_unwanted
-- Retries that are due for readers who have left since.
with counting as materialized (
  select campaign_id, batch_no from batch where campaign_id = :campaign_id and batch_no = :batch_no for no key update
), due as materialized (
  select d.subscriber_id, d.state from delivery d
  where d.campaign_id = :campaign_id and d.week = :week and d.subscriber_id between :id_from and :id_to and d.retry_at <= :now
    and exists (select from counting)
    and not exists (
      select from subscription s where s.subscriber_id = d.subscriber_id and s.list_id = :list_id and s.state = 'confirmed'
        and not exists (
          select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
            and (x.until is null or x.until > :now)))
  for update of d
), changed as (
  update delivery d set state = 'skipped', retry_at = null, paced = false, has_turn = false, attempted_at = :now
  from due where d.subscriber_id = due.subscriber_id and d.campaign_id = :campaign_id and d.week = :week
  returning due.state
), sums as (
  select count(*) filter (where state = 'deferred') as deferred, count(*) filter (where state = 'uncertain') as uncertain
  from changed
)
update batch b
set deferred = b.deferred - s.deferred, uncertain = b.uncertain - s.uncertain, skipped = b.skipped + s.deferred + s.uncertain
from counting, sums s
where b.campaign_id = counting.campaign_id and b.batch_no = counting.batch_no and s.deferred + s.uncertain > 0;

-- name: take_again
-- Retries that are due, with the intent written anew under this epoch. Who has left meanwhile stays due, for skip_unwanted.
-- The lock keeps others from claiming the batch between the look at the lease and the intents.
with held as materialized (
  select b.campaign_id, b.batch_no from batch b join campaign c using (campaign_id)
  where b.campaign_id = :campaign_id and b.batch_no = :batch_no and b.epoch = :epoch and b.state = 'leased'
    and c.state = 'sending' and not exists (select from standstill)
  for no key update of b
), due as materialized (
  select subscriber_id, state, retry_at, has_turn, attempted_at from delivery d
  where campaign_id = :campaign_id and week = :week and subscriber_id between :id_from and :id_to and retry_at <= :now
    and exists (select from held)
    and exists (
      select from subscription s
      where s.subscriber_id = d.subscriber_id and s.list_id = :list_id and s.state = 'confirmed'
        and not exists (
          select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
            and (x.until is null or x.until > :now)))
  order by subscriber_id limit :size
  for update of d
), written as (
  update delivery d
  set state = 'attempting', epoch = :epoch, attempts = d.attempts + 1, attempted_at = :now, retry_at = null, paced = false,
      has_turn = false, first_at = case when d.attempts = 0 then :now else d.first_at end
  from due where d.subscriber_id = due.subscriber_id and d.campaign_id = :campaign_id and d.week = :week
  returning d.subscriber_id, d.attempts, d.first_at, d.doubts, due.state,
            case when due.has_turn then due.retry_at end as turn_at, due.attempted_at as put_off_at
), counted as (
  update batch b
  set attempting = b.attempting + s.deferred + s.uncertain, deferred = b.deferred - s.deferred,
      uncertain = b.uncertain - s.uncertain
  from held, (select count(*) filter (where state = 'deferred') as deferred,
                     count(*) filter (where state = 'uncertain') as uncertain from written) s
  where b.campaign_id = held.campaign_id and b.batch_no = held.batch_no
)
select p.subscriber_id, p.address, p.name, s.language, s.confirmed_at, w.attempts::integer as attempts, w.first_at,
       w.doubts::integer as doubts, p.domain, w.turn_at, w.put_off_at
from written w
join subscriber p on p.subscriber_id = w.subscriber_id
join subscription s on s.subscriber_id = w.subscriber_id and s.list_id = :list_id
order by p.subscriber_id;

-- name: take_fresh
-- The next readers from an id on, as the list is now, with the intent to mail them written before anything is sent. The lock on
-- the batch keeps others from claiming it meanwhile. KEY SHARE on the subscriber, which everything that changes a person locks
-- first, makes this wait for an erasure that is under way, so that no intent is left behind for somebody erased. The range is said
-- of every table, or a merge would read each from its beginning, chunk after chunk.
with held as materialized (
  select b.campaign_id, b.batch_no from batch b join campaign c using (campaign_id)
  where b.campaign_id = :campaign_id and b.batch_no = :batch_no and b.epoch = :epoch and b.state = 'leased'
    and c.state = 'sending' and not exists (select from standstill)
  for no key update of b
), audience as materialized (
  select s.subscriber_id, p.address, p.domain, p.name, s.language, s.confirmed_at
  from subscription s join subscriber p using (subscriber_id)
  where s.list_id = :list_id and s.state = 'confirmed' and s.subscriber_id between :first and :id_to
    and p.subscriber_id between :first and :id_to
    and exists (select from held)
    and not exists (
      select from delivery d
      where d.subscriber_id = s.subscriber_id and d.campaign_id = :campaign_id and d.week = :week
        and d.subscriber_id between :first and :id_to)
    and not exists (
      select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
        and (x.until is null or x.until > :now) and x.subscriber_id between :first and :id_to)
  order by s.subscriber_id limit :size
  for key share of p
), written as (
  insert into delivery (subscriber_id, campaign_id, week, state, epoch, attempts, first_at, attempted_at)
  select subscriber_id, :campaign_id, :week, 'attempting', :epoch, 1, :now, :now from audience
), counted as (
  update batch b set attempting = b.attempting + (select count(*) from audience)
  from held where b.campaign_id = held.campaign_id and b.batch_no = held.batch_no
)
select subscriber_id, address, name, language, confirmed_at, 1 as attempts, :now::timestamptz as first_at, 0 as doubts, domain,
       null::timestamptz as turn_at, null::timestamptz as put_off_at
from audience order by subscriber_id;

-- name: keep_moving
-- No standstill begins until this transaction ends.
lock table standstill in share mode;

-- name: keep_sending
-- Whether the campaign is being sent, and stays so until this transaction ends, under `keep_moving`.
select state = 'sending' and not exists (select from standstill) from campaign where campaign_id = :campaign_id for share of campaign;

-- name: pause_list
-- Campaigns of a list that is being closed.
update campaign set state = 'paused', pause_reason = :reason where list_id = :list_id and state = 'sending';

-- name: still_wanted
-- Of these readers, those who are still to be mailed.
select s.subscriber_id from subscription s
where s.subscriber_id = any(:subscriber_ids::uuid[]) and s.list_id = :list_id and s.state = 'confirmed'
  and not exists (
    select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
      and (x.until is null or x.until > :now));

-- name: record_numbered_outcomes
-- Guarded by state and epoch and never an upsert, which would revive the erased and let a worker without lease have its say.
-- The batch is locked first, whoever holds it now: an erasure that waits for one of these rows must not have us wait behind
-- somebody who waits for it.
with counting as materialized (
  select campaign_id, batch_no from batch where campaign_id = :campaign_id and batch_no = :batch_no for no key update
), changed as (
  update delivery d
  set state = o.state, was_uncertain = d.was_uncertain or o.state = 'uncertain', retry_at = o.retry_at, reply_code = o.code,
      reply_status = o.status, reply = o.reply, paced = o.paced, has_turn = o.has_turn,
      attempts = case when o.paced then d.attempts - 1 else d.attempts end,
      doubts = case when o.state = 'uncertain' then d.doubts + 1 else d.doubts end
  from unnest(string_to_array(:subscriber_ids, ',')::uuid[], string_to_array(:numbers, ',')::integer[]) as r(subscriber_id, number)
  join unnest(:states::text[], :retries::timestamptz[], :paced::boolean[], :turns::boolean[], :codes::smallint[],
              :statuses::text[], :replies::text[])
       with ordinality as o(state, retry_at, paced, has_turn, code, status, reply, number) using (number)
  where d.subscriber_id = r.subscriber_id and d.campaign_id = :campaign_id and d.week = :week
    and d.state = 'attempting' and d.epoch = :epoch and exists (select from counting)
  returning d.state
), sums as (
  select count(*) as all_of_them,
         count(*) filter (where state = 'accepted') as accepted, count(*) filter (where state = 'deferred') as deferred,
         count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'uncertain') as uncertain,
         count(*) filter (where state = 'skipped') as skipped
  from changed
)
update batch b
set attempting = b.attempting - s.all_of_them, accepted = b.accepted + s.accepted, deferred = b.deferred + s.deferred,
    failed = b.failed + s.failed, uncertain = b.uncertain + s.uncertain, skipped = b.skipped + s.skipped
from counting, sums s
where b.campaign_id = counting.campaign_id and b.batch_no = counting.batch_no;

-- name: give_back
-- Intents whose body was not begun: a first one is undone, a later one is due again at the given time.
with counting as materialized (
  select campaign_id, batch_no from batch where campaign_id = :campaign_id and batch_no = :batch_no for no key update
), first as (
  delete from delivery
  where subscriber_id = any(:subscriber_ids::uuid[]) and campaign_id = :campaign_id and week = :week
    and state = 'attempting' and epoch = :epoch and attempts = 1 and exists (select from counting)
  returning 1
), later as (
  update delivery set state = 'deferred', retry_at = :not_before, attempts = attempts - 1
  where subscriber_id = any(:subscriber_ids::uuid[]) and campaign_id = :campaign_id and week = :week
    and state = 'attempting' and epoch = :epoch and attempts > 1 and exists (select from counting)
  returning 1
)
update batch b set attempting = b.attempting - f.count - l.count, deferred = b.deferred + l.count
from counting, (select count(*) as count from first) f, (select count(*) as count from later) l
where b.campaign_id = counting.campaign_id and b.batch_no = counting.batch_no;

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
update campaign set state = 'sent', finished_at = :now, pause_reason = null
where campaign_id = :campaign_id and state in ('sending', 'paused')
  and not exists (select from batch where campaign_id = :campaign_id and state <> 'done')
returning true;

-- name: pause_campaign
-- By itself, with the reason that whoever looks after it has to know.
update campaign set state = 'paused', pause_reason = :reason
where campaign_id = :campaign_id and state = 'sending' returning true;

-- name: campaign_totals
-- What became of a campaign, from what its batches counted.
select total.state, total.count
from campaign_standing s, lateral (values
  ('attempting', s.attempting), ('accepted', s.accepted), ('deferred', s.deferred), ('failed', s.failed),
  ('uncertain', s.uncertain), ('skipped', s.skipped)
) as total(state, count)
where s.campaign_id = :campaign_id and total.count <> 0;

-- name: book
-- Room for so many mails at a rate: returns when the first of them may go. The others follow 1 / rate apart.
insert into pace as p (name, free_at) values (:name, :now::timestamptz + make_interval(secs => :mails::integer / :rate::float8))
on conflict (name) do update
  set free_at = greatest(p.free_at, :now) + make_interval(secs => :mails::integer / :rate::float8)
returning free_at - make_interval(secs => :mails::integer / :rate::float8);

-- name: slow_down
-- To half of what was allowed, as far as nobody else has just seen to that. The queue is emptied where the turns that were given
-- at the former rate are void.
insert into pace as p (name, free_at, slow_rate, slowed_at) values (:name, :now, :slow_rate, :now)
on conflict (name) do update
  set slow_rate = :slow_rate, slowed_at = :now, free_at = case when :empties_queue then :now else p.free_at end
where p.slowed_at is null or p.slowed_at < :seen_before
returning true;

-- name: slowed
-- What is slowed down at the moment.
select name, slow_rate, slowed_at from pace where slowed_at > :since;

-- name: be_present
-- This worker is here until then; says how many there are and how many of them come before it.
with here as (
  insert into worker (name, seen_until) values (:worker, :until)
  on conflict (name) do update set seen_until = :until
), gone as (delete from worker where seen_until < :now and name <> :worker)
select (count(*) + 1)::integer as workers, (count(*) filter (where name < :worker))::integer as before
from worker where seen_until >= :now and name <> :worker;

-- name: leave
-- An orderly end.
delete from worker where name = :worker;

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

-- How things stand, for the console.

-- name: workers
-- That were heard of lately.
select name, seen_until from worker where seen_until >= :now order by name;

-- name: outbox_queue
-- Single mails that wait, and how many of them were tried before.
select count(*)::integer as waiting, (count(*) filter (where attempts > 0))::integer as retried, min(created_at) as oldest
from outbox where state = 'queued';

-- name: failed_mails
-- Single mails that were given up and have not expired yet, by what the relay said.
select kind, reply, count(*)::integer as count, max(created_at) as latest
from outbox where state = 'failed' group by kind, reply order by latest desc, kind, reply limit :size;
