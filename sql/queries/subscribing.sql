-- Lists, senders, sign-up requests, subscribers, subscriptions, confirmations, limits.

-- name: count_hits
-- How often a code was counted since then.
select count(*)::integer from limit_hit where code = :code and kind = :kind and occurred_at > :since;

-- name: insert_request
-- What a form handed in, unconditionally, with its hit on the network's counter and a hint to the workers: one statement, the
-- same whatever the address's state.
with request as (
  insert into signup_request (subscriber_id, address, name, language, list_ids, form, wording_hash, network, agent, received_at, expires_at,
                              not_before, replaces)
  values (:subscriber_id, :address, :name, :language, :list_ids, :form, :wording_hash, :network::inet, :agent, :now, :expires_at, :now,
          :replaces)
), hit as (
  insert into limit_hit (code, kind, occurred_at, expires_at)
  select :network_code, 'network', :now, :hit_expires_at where :network_code::bytea is not null
)
select pg_notify('newsletter_work', '');

-- name: take_request
-- One request, for good if the transaction commits. SKIP LOCKED: this queue is small and stays on one server.
delete from signup_request where request_id = (
  select request_id from signup_request where not_before <= :now and expires_at > :now
  order by request_id limit 1 for update skip locked
)
returning request_id, address, name, language, list_ids, form, wording_hash, host(network) as network, agent, received_at, replaces;

-- name: postpone_request
-- Something went wrong with it: others first.
update signup_request set not_before = :not_before where request_id = :request_id;

-- name: expire_requests
-- Never decided on in time, because no worker ran.
with due as (select request_id from signup_request where expires_at <= :now order by expires_at limit :size),
     gone as (delete from signup_request r using due where r.request_id = due.request_id returning r.expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: due_requests
select count(*)::integer as due, min(expires_at) as oldest from signup_request where expires_at <= :now;

-- name: drop_answers
-- Erasing: mails that would be made from what these people handed in. Before that goes, which is the order of whoever sends them.
delete from outbox
where (kind = 'data' and request_id in (select request_id from data_request where subscriber_id = any(:subscriber_ids::uuid[])))
   or (kind = 'contact' and request_id in (select message_id from contact_message where subscriber_id = any(:subscriber_ids::uuid[])));

-- name: carry_messages
-- Whoever changes their address still wants an answer: what no relay has taken yet goes along, and is answered at the new one.
update contact_message m set subscriber_id = p.subscriber_id, address = p.address from subscriber p
where p.subscriber_id = :subscriber_id and m.subscriber_id = :replaces;

-- name: drop_requests
-- Erasing: what these people handed in and nobody has decided on or answered yet. One that a worker has in hand comes after the
-- erasure, and is not waited for: it waits for the erasure.
-- The line of a message in the register stays, and says what became of it. Whoever wrote it wants no answer any more, and nobody
-- could give one; but whoever looks after people's data has to be able to tell that something came in, and a line that vanishes by
-- itself looks like one that somebody removed. They close it, which is on record.
with asked as (
  delete from data_request where request_id in (
    select request_id from data_request where subscriber_id = any(:subscriber_ids::uuid[]) for update skip locked)
), said as (
  delete from contact_message where message_id in (
    select message_id from contact_message where subscriber_id = any(:subscriber_ids::uuid[]) for update skip locked)
  returning message_id
), registered as (
  update rights_request r set message_id = null, writer_erased = true from said where r.message_id = said.message_id
)
delete from signup_request where request_id in (
  select request_id from signup_request where subscriber_id = any(:subscriber_ids::uuid[]) for update skip locked
);

-- name: lock_address
-- Decisions on one address, plus-tags folded, follow one another even while there is nobody to lock yet: else two workers would
-- each find that no mail was sent.
select pg_advisory_xact_lock(hashtextextended(encode(:code::bytea, 'hex'), 0));

-- name: mail_hits
-- When this address was mailed about sign-ups lately, newest first.
select occurred_at from limit_hit where code = :code and kind = 'mail' and occurred_at > :since order by occurred_at desc;

-- name: add_mail_hit
insert into limit_hit (code, kind, occurred_at, expires_at) values (:code, 'mail', :now, :expires_at);

-- name: clear_mail_hits
-- The limits on confirmation mails hold while somebody is unconfirmed.
delete from limit_hit where code = :code and kind = 'mail';

-- name: expire_hits
with due as (select ctid from limit_hit where expires_at <= :now order by expires_at limit :size),
     gone as (delete from limit_hit h using due where h.ctid = due.ctid returning h.expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: due_hits
select count(*)::integer as due, min(expires_at) as oldest from limit_hit where expires_at <= :now;

-- name: lock_subscriber
-- Everything that changes one person's state takes this lock first, so that two changes follow one another.
select subscriber_id, address, name, language, left_at from subscriber where subscriber_id = :subscriber_id for update;

-- name: lock_subscribers
-- The same for many, in one order, so that two sweeps cannot wait for each other.
select subscriber_id from subscriber where subscriber_id = any(:subscriber_ids::uuid[]) order by subscriber_id for update;

-- name: subscriptions_of
-- All of one person's.
select list_id, state, language, requested_at, expires_at, confirmed_at, undo_id, undo_until
from subscription where subscriber_id = :subscriber_id;

-- name: add_subscriber
-- The address stays as it was first typed. What else was typed is the person's once it is confirmed.
insert into subscriber (subscriber_id, address, domain, language, created_at)
values (:subscriber_id, :address, :domain, :language, :now) on conflict do nothing;

-- name: put_pending
-- Asked for (again), each list in a language that it has. Never touches what is confirmed.
insert into subscription as s (subscriber_id, list_id, state, language, requested_at, expires_at)
select :subscriber_id, list_id, 'pending', language, :requested_at, :expires_at
from unnest(:list_ids::integer[], :languages::text[]) as asked(list_id, language)
on conflict (subscriber_id, list_id) do update
set state = 'pending', language = excluded.language, requested_at = excluded.requested_at, expires_at = excluded.expires_at,
    undo_id = null, undo_until = null
where s.state <> 'confirmed';

-- name: add_confirmation
-- What one mail asks about, in which language, and under which name.
insert into confirmation (subscriber_id, confirmation_id, list_id, name, language, requested_at, expires_at, replaces)
select :subscriber_id, :confirmation_id, list_id, :name, :language, :requested_at, :expires_at, :replaces
from unnest(:list_ids::integer[]) as asked(list_id);

-- name: confirmation
-- What the mail asked about, and where each of it stands; nothing from the second on that its time is over, job or no job, and
-- nothing about a list that was closed since.
select c.list_id, c.requested_at, c.expires_at, c.used_at, s.state, coalesce(c.language, s.language) as language, c.replaces
from confirmation c left join subscription s using (subscriber_id, list_id) join list l using (list_id)
where c.subscriber_id = :subscriber_id and c.confirmation_id = :confirmation_id and c.expires_at > :now and l.closed_at is null
order by c.list_id;

-- name: expire_confirmations
-- Links whose time is over, used or not.
with due as (select subscriber_id, confirmation_id, list_id from confirmation
             where expires_at <= :now order by expires_at limit :size),
     gone as (delete from confirmation c using due
              where (c.subscriber_id, c.confirmation_id, c.list_id) = (due.subscriber_id, due.confirmation_id, due.list_id)
              returning c.expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: due_confirmations
select count(*)::integer as due, min(expires_at) as oldest from confirmation where expires_at <= :now;

-- name: take_name
-- Name and language are those of the request that makes somebody a reader. While anything is confirmed, no other changes them.
update subscriber p set name = coalesce(c.name, p.name), language = coalesce(c.language, p.language)
from confirmation c
where p.subscriber_id = :subscriber_id and c.subscriber_id = p.subscriber_id and c.confirmation_id = :confirmation_id
  and not exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.state = 'confirmed');

-- name: confirm_pending
-- The guard on state and time is the promise: to the second, whatever ran before.
update subscription set state = 'confirmed', confirmed_at = :now, expires_at = null, unsubscribed_at = null, unsubscribed_via = null
where subscriber_id = :subscriber_id and list_id = any(:list_ids::integer[]) and state = 'pending' and expires_at > :now
returning list_id;

-- name: greeted_by
-- Those of these lists that have a welcome mail in the language of this person's subscription.
select s.list_id, s.language from subscription s join list_text t using (list_id, language)
where s.subscriber_id = :subscriber_id and s.list_id = any(:list_ids::integer[]) and t.welcome_text <> ''
order by s.list_id;

-- name: greeted
-- To whom a welcome mail goes, read at the last moment: nobody who has left, has confirmed anew (there is another mail for that) or
-- is not to be written to.
select p.address, s.language from subscriber p join subscription s using (subscriber_id)
where p.subscriber_id = :subscriber_id and s.list_id = :list_id and s.state = 'confirmed' and s.confirmed_at = :confirmed_at
  and not exists (
    select from suppression x where x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id)
      and (x.until is null or x.until > :now));

-- name: use_confirmation
update confirmation set used_at = :now where subscriber_id = :subscriber_id and confirmation_id = :confirmation_id;

-- name: stay
-- The clock towards deletion stops.
update subscriber set left_at = null where subscriber_id = :subscriber_id;

-- name: leave
-- The clock towards deletion starts when the last confirmed subscription has ended; an earlier start stays. Who never had one is
-- on the clock of the request.
update subscriber p set left_at = coalesce(left_at, :now)
where subscriber_id = :subscriber_id
  and exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.unsubscribed_at is not null)
  and not exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.state = 'confirmed')
returning true;

-- name: drop_confirmations
-- Links that ask about these lists die with refusing and with leaving.
delete from confirmation c
where c.subscriber_id = :subscriber_id and c.confirmation_id in (
  select confirmation_id from confirmation where subscriber_id = :subscriber_id and list_id = any(:list_ids::integer[]));

-- name: drop_refused
-- Who refuses did not ask, not for what was confirmed by this link either; who had unsubscribed before is unsubscribed again.
-- Gives the lists that there was something to drop of.
with gone as (
  delete from subscription where subscriber_id = :subscriber_id and list_id = any(:list_ids::integer[])
    and state <> 'unsubscribed' and unsubscribed_at is null
  returning list_id
), back as (
  update subscription set state = 'unsubscribed', expires_at = null
  where subscriber_id = :subscriber_id and list_id = any(:list_ids::integer[]) and state = 'pending' and unsubscribed_at is not null
  returning list_id
)
select list_id from gone union all select list_id from back;

-- name: unsubscribe
-- False when there was nothing to unsubscribe from. A request that is pending is not for this: undoing would confirm it.
update subscription set state = 'unsubscribed', unsubscribed_at = :now, unsubscribed_via = :via, undo_id = :undo_id,
       undo_until = :undo_until
where subscriber_id = :subscriber_id and list_id = :list_id and state = 'confirmed'
returning true;

-- name: end_subscriptions
-- Of many people, on one list or (0) on all. Who confirmed after that time has come back since, and stays. Cannot be taken back by
-- a click: nobody clicked.
update subscription set state = 'unsubscribed', unsubscribed_at = :now, unsubscribed_via = :via
where subscriber_id = any(:subscriber_ids::uuid[]) and (:list_id = 0 or list_id = :list_id)
  and state = 'confirmed' and confirmed_at <= :now
returning subscriber_id, list_id, language;

-- name: drop_asked
-- Requests of these people, on one list or (0) on all, that were made by then and not confirmed; who had unsubscribed before is
-- unsubscribed again.
with gone as (
  delete from subscription
  where subscriber_id = any(:subscriber_ids::uuid[]) and (:list_id = 0 or list_id = :list_id)
    and state = 'pending' and requested_at <= :now and unsubscribed_at is null
)
update subscription set state = 'unsubscribed', expires_at = null
where subscriber_id = any(:subscriber_ids::uuid[]) and (:list_id = 0 or list_id = :list_id)
  and state = 'pending' and requested_at <= :now and unsubscribed_at is not null;

-- name: drop_links
-- Links that ask these people about that list, or (0) about any, and were mailed by then.
delete from confirmation
where subscriber_id = any(:subscriber_ids::uuid[]) and (:list_id = 0 or list_id = :list_id) and requested_at <= :now;

-- name: leave_many
-- As `leave`, for those of them whom nothing confirmed is left of.
update subscriber p set left_at = coalesce(left_at, :now)
where subscriber_id = any(:subscriber_ids::uuid[])
  and exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.unsubscribed_at is not null)
  and not exists (select from subscription s where s.subscriber_id = p.subscriber_id and s.state = 'confirmed');

-- name: confirmed_since
-- Those of these people who have confirmed something after that time, on one list or (0) on any.
select distinct subscriber_id from subscription
where subscriber_id = any(:subscriber_ids::uuid[]) and (:list_id = 0 or list_id = :list_id)
  and state = 'confirmed' and confirmed_at > :since;

-- name: due_closed
-- Who still has something of a list that was closed.
-- List by list, and state by state, each with an index of its own: one look at all would read every subscription, every five
-- minutes (measured with 150,000: 108 ms against 0.1 ms).
select s.subscriber_id, l.list_id, l.closed_at
from list l cross join lateral (
  (select subscriber_id from subscription
   where list_id = l.list_id and state = 'confirmed' and confirmed_at <= :now limit :size)
  union all
  (select subscriber_id from subscription
   where list_id = l.list_id and state = 'pending' and requested_at <= :now limit :size)
) s
where l.closed_at <= :now limit :size;

-- name: due_of_closed
-- How many still have something of a list that was closed by then.
select coalesce(sum(s.due), 0)::integer as due, min(l.closed_at) filter (where s.due > 0) as oldest
from list l cross join lateral (
  select (select count(*) from subscription where list_id = l.list_id and state = 'confirmed')
       + (select count(*) from subscription where list_id = l.list_id and state = 'pending') as due
) s
where l.closed_at <= :closed_before;

-- name: unsubscribe_from
-- Said by other ways than a letter's link, so that there is nothing to take back by it. Gives the lists that it ended.
update subscription set state = 'unsubscribed', unsubscribed_at = :now, unsubscribed_via = :via, undo_id = null, undo_until = null
where subscriber_id = :subscriber_id and list_id = any(:list_ids::integer[]) and state = 'confirmed'
returning list_id;

-- name: correct_person
-- Name and language, as the person says.
update subscriber set name = :name, language = :language where subscriber_id = :subscriber_id;

-- name: speak
-- Each list in the person's language, where it has that.
update subscription s set language = :language from list l
where s.subscriber_id = :subscriber_id and l.list_id = s.list_id and :language = any(l.languages);

-- name: undo_unsubscribe
-- Once, and within its hour.
update subscription set state = 'confirmed', unsubscribed_at = null, unsubscribed_via = null, undo_id = null, undo_until = null
where subscriber_id = :subscriber_id and list_id = :list_id and state = 'unsubscribed' and undo_id = :undo_id
  and undo_until > :now and confirmed_at is not null
returning true;

-- name: count_day
-- Depersonalised growth.
insert into list_day as d (list_id, day, asked, confirmed, refused, lapsed, unsubscribed, erased)
select list_id, :day, :asked * n, :confirmed * n, :refused * n, :lapsed * n, :unsubscribed * n, :erased * n
from (select list_id, count(*) as n from unnest(:list_ids::integer[]) as counted(list_id) group by list_id order by list_id) lists
on conflict (list_id, day) do update
set asked = d.asked + excluded.asked, confirmed = d.confirmed + excluded.confirmed, refused = d.refused + excluded.refused,
    lapsed = d.lapsed + excluded.lapsed, unsubscribed = d.unsubscribed + excluded.unsubscribed,
    erased = d.erased + excluded.erased;

-- name: due_lapsed
-- People with a request whose time is over.
select distinct subscriber_id from (
  select subscriber_id from subscription where state = 'pending' and expires_at <= :now order by expires_at limit :size
) due;

-- name: due_unconfirmed
-- How many requests were not confirmed in time and are still here.
select count(*)::integer as due, min(expires_at) as oldest from subscription where state = 'pending' and expires_at <= :now;

-- name: lapse
-- Who had unsubscribed before is unsubscribed again; for the others the request goes.
with due as (
  select subscriber_id, list_id, expires_at from subscription
  where subscriber_id = any(:subscriber_ids::uuid[]) and state = 'pending' and expires_at <= :now
), back as (
  update subscription s set state = 'unsubscribed', expires_at = null from due
  where (s.subscriber_id, s.list_id) = (due.subscriber_id, due.list_id) and s.unsubscribed_at is not null
), gone as (
  delete from subscription s using due
  where (s.subscriber_id, s.list_id) = (due.subscriber_id, due.list_id) and s.unsubscribed_at is null
)
select list_id, expires_at from due;

-- name: without_subscription
-- People who are here for nothing.
select p.subscriber_id from subscriber p
where p.subscriber_id = any(:subscriber_ids::uuid[])
  and not exists (select from subscription s where s.subscriber_id = p.subscriber_id);

-- name: due_left
-- People whose last confirmed subscription ended long enough ago. A request that is pending does not put it off: anybody can
-- make one.
select subscriber_id from subscriber where left_at <= :left_before order by left_at limit :size;

-- name: due_to_erase
-- How many people left long enough ago and are still here.
select count(*)::integer as due, min(left_at) as oldest from subscriber where left_at <= :left_before;

-- name: still_left
-- After the lock: has nobody come back meanwhile?
select subscriber_id, left_at from subscriber where subscriber_id = any(:subscriber_ids::uuid[]) and left_at <= :left_before;

-- name: queued_mails
-- Confirmation mails of these people that have not been handed over yet.
select subscriber_id, about, list_ids, language, message_id, created_at, expires_at from outbox
where subscriber_id = any(:subscriber_ids::uuid[]) and kind = 'confirm' and state = 'queued' and expires_at > :now;

-- name: say_that_lives_end
-- Until the transaction ends, evidence may be deleted while its person stays: see migration 8.
select set_config('newsletter.ends_lives', 'yes', true);

-- name: begin_anew
-- Of these people, whose time is over, the ones who have asked anew: the request stays as that of somebody new, with what
-- operators did from then on, and all that came before it goes. Gives them.
with asking as (
  select subscriber_id, min(requested_at) as requested_at from subscription
  where subscriber_id = any(:subscriber_ids::uuid[]) and state = 'pending' and expires_at > :now
  group by subscriber_id
), ended as (
  delete from subscription s using asking
  where s.subscriber_id = asking.subscriber_id and not (s.state = 'pending' and s.expires_at > :now)
), asked as (
  update subscription s set confirmed_at = null, unsubscribed_at = null, unsubscribed_via = null from asking
  where s.subscriber_id = asking.subscriber_id and s.state = 'pending' and s.expires_at > :now
), links as (
  delete from confirmation c using asking
  where c.subscriber_id = asking.subscriber_id and not (c.used_at is null and c.expires_at > :now)
), events as (
  delete from consent_event e using asking
  where e.subscriber_id = asking.subscriber_id and not exists (
    select from confirmation c
    where (c.subscriber_id, c.confirmation_id, c.list_id) = (e.subscriber_id, e.confirmation_id, e.list_id)
      and c.used_at is null and c.expires_at > :now)
  returning e.subscriber_id, e.event_id
), origins as (
  delete from consent_origin o using events where (o.subscriber_id, o.event_id) = (events.subscriber_id, events.event_id)
), lines as (
  delete from audit_subject l using asking
  where l.subscriber_id = asking.subscriber_id and not exists (
    select from audit_log a where a.audit_id = l.audit_id and a.occurred_at >= asking.requested_at)
)
update subscriber p set name = '', created_at = asking.requested_at, left_at = null from asking
where p.subscriber_id = asking.subscriber_id
returning p.subscriber_id;

-- name: lists_of
-- Which lists these people had confirmed, for the day's count.
select list_id from subscription where subscriber_id = any(:subscriber_ids::uuid[]) and confirmed_at is not null;

-- name: lists_read_by
-- Which lists these people read still: being erased ends that, too.
select list_id from subscription where subscriber_id = any(:subscriber_ids::uuid[]) and state = 'confirmed';

-- name: delete_subscribers
-- The sweep: every other subject table that names a living person hangs on this one. Nobody takes their place any more: a move to
-- another address that was not confirmed yet can be no longer, and what it was asked for there lapses.
with signups as (
  delete from signup_request where request_id in (
    select request_id from signup_request where replaces = any(:subscriber_ids::uuid[]) for update skip locked)
), moving as (
  delete from confirmation where replaces = any(:subscriber_ids::uuid[]) and used_at is null returning confirmation_id
), mails as (
  delete from outbox where about in (select confirmation_id from moving)
), moved as (
  update confirmation set replaces = null where replaces = any(:subscriber_ids::uuid[]) and used_at is not null
)
delete from subscriber where subscriber_id = any(:subscriber_ids::uuid[]);

-- name: mail_recipient
-- Where a single mail goes, read at the last moment.
select p.address, p.language, s.list_id, s.state, s.expires_at
from subscriber p join subscription s using (subscriber_id)
where p.subscriber_id = :subscriber_id and s.list_id = any(:list_ids::integer[]);
