-- Promises at work: the record of what was deleted.

-- name: record_batch
-- Rule, when, how many, when the oldest fell due. No personal data. The batches of one run have its start in common.
insert into retention_run (promise, started_at, finished_at, removed, oldest_due)
values (:promise, :started_at, :finished_at, :removed, :oldest_due);

-- name: latest_runs
-- The last run of each promise that removed something.
select promise, started_at, max(finished_at) as finished_at, sum(removed)::bigint as removed, min(oldest_due) as oldest_due
from retention_run r
where started_at = (select max(started_at) from retention_run latest where latest.promise = r.promise)
group by promise, started_at;

-- name: job_runs
-- When the job of each promise last ran, what it removed then, and when it runs next.
select j.promise, j.last_finished as last_run, j.next_run_at as next_run,
       (select coalesce(sum(r.removed), 0) from retention_run r
        where r.promise = j.promise and r.started_at = j.last_started)::bigint as removed
from (select *, substr(name, length(:prefix::text) + 1) as promise from job where starts_with(name, :prefix)) j
order by j.promise;

-- name: expire_runs
with due as (select run_id from retention_run where started_at <= :before order by started_at limit :size),
     gone as (delete from retention_run r using due where r.run_id = due.run_id returning r.started_at)
select count(*)::integer as removed, min(started_at) as oldest from gone;

-- name: due_runs
select count(*)::integer as due, min(started_at) as oldest from retention_run where started_at <= :before;

-- name: add_version
-- A number that is taken already is refused by the key: somebody published at the same time.
insert into policy_version (version, published_at, notice, reason) values (:version, :now, :notice, :reason);

-- name: add_text
insert into policy_text (version, language, content) values (:version, :language, :content);

-- name: versions
-- Newest first, each with the languages that it is there in.
select version, published_at, notice, reason,
       coalesce((select array_agg(t.language order by t.language) from policy_text t where t.version = v.version), '{}') as languages
from policy_version v order by version desc;

-- name: texts
-- A version in all of its languages.
select language, content from policy_text where version = :version order by language;

-- name: mark_mailed
-- The guard lets exactly one of two callers tell the readers.
update policy_version set notice = 'mailed', reason = null where version = :version and notice = 'skipped' returning true;

-- name: subprocessors
select name, purpose, country, safeguard, hosts from subprocessor order by name;

-- name: add_subprocessor
insert into subprocessor (name, purpose, country, safeguard, hosts, added_at)
values (:name, :purpose, :country, :safeguard, :hosts, :now) on conflict (name) do nothing returning subprocessor_id;

-- name: edit_subprocessor
-- What is null stays as it is.
update subprocessor
set purpose = coalesce(:purpose, purpose), country = coalesce(:country, country), safeguard = coalesce(:safeguard, safeguard),
    hosts = coalesce(:hosts, hosts)
where name = :name returning subprocessor_id;

-- name: remove_subprocessor
delete from subprocessor where name = :name returning subprocessor_id;

-- name: insert_data_request
-- Somebody asked for the link to their data: unconditionally, with its hit on the network's counter and a hint to the workers, the
-- same whatever is known of the address.
with request as (
  insert into data_request (subscriber_id, address, language, received_at, expires_at, not_before)
  values (:subscriber_id, :address, :language, :now, :expires_at, :now)
), hit as (
  insert into limit_hit (code, kind, occurred_at, expires_at)
  select :network_code, 'network', :now, :hit_expires_at where :network_code::bytea is not null
)
select pg_notify('newsletter_work', '');

-- name: next_data_request
-- One that nobody has decided on. SKIP LOCKED: this queue is small and stays on one server.
select request_id, subscriber_id, address, language, expires_at from data_request
where not decided and not_before <= :now and expires_at > :now
order by request_id limit 1 for update skip locked;

-- name: postpone_data_request
-- Something went wrong with it: others first.
update data_request set not_before = :not_before where request_id = :request_id;

-- name: decide_data_request
-- A mail to the address that was typed is on its way, and is made from this row.
update data_request set decided = true where request_id = :request_id;

-- name: drop_data_request
-- The mail goes to an address that we hold, or nowhere.
delete from data_request where request_id = :request_id;

-- name: data_request
-- What a mail is made from, at the last moment.
select request_id, subscriber_id, address, language, expires_at from data_request where request_id = :request_id;

-- name: expire_data_requests
-- Neither decided on nor mailed in time.
with due as (select request_id from data_request where expires_at <= :now order by expires_at limit :size),
     gone as (delete from data_request r using due where r.request_id = due.request_id returning r.expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: due_data_requests
select count(*)::integer as due, min(expires_at) as oldest from data_request where expires_at <= :now;

-- name: list_that_speaks
-- Whose sender writes to somebody about their data: a list that they have or had, else the first that is open, else any.
select list_id from (
  select list_id, case state when 'confirmed' then 1 else 2 end as rank from subscription where subscriber_id = :subscriber_id
  union all select list_id, 3 from suppression where subscriber_id = :subscriber_id and list_id <> 0
  union all select list_id, case when closed_at is null and visibility = 'public' then 4 else 5 end from list
) speaking order by rank, list_id limit 1;

-- name: is_remembered
-- Whether codes or sealed evidence of somebody erased are kept.
select exists (select from suppression where subscriber_id = :subscriber_id and (until is null or until > :now))
    or exists (select from evidence where subscriber_id = :subscriber_id)
    or exists (select from withdrawal where subscriber_id = :subscriber_id);

-- name: ever_confirmed
select exists (select from consent_event where subscriber_id = :subscriber_id and kind = 'confirmed');

-- name: held_person
select address, name, language, created_at, left_at from subscriber where subscriber_id = :subscriber_id;

-- name: held_subscriptions
select list_id, state, language, requested_at, expires_at, confirmed_at, unsubscribed_at, unsubscribed_via, undo_until
from subscription where subscriber_id = :subscriber_id order by list_id;

-- name: held_events
-- Evidence in its order, with the words, and where it came from as long as that is kept.
select e.event_id, e.list_id, e.kind, e.occurred_at, e.language, e.form, e.via, asked.content as wording, mailed.content as mail,
       process.content as process, encode(e.mail_hash, 'hex') as mail_hash, c.name as campaign, host(o.network) as network, o.agent,
       o.expires_at as origin_until
from consent_event e
left join consent_origin o using (subscriber_id, event_id)
left join wording asked on asked.wording_hash = e.wording_hash
left join wording mailed on mailed.wording_hash = e.mail_hash
left join wording process on process.wording_hash = e.process_hash
left join campaign c using (campaign_id)
where e.subscriber_id = :subscriber_id order by e.event_id;

-- name: held_deliveries
-- Campaigns that were sent to them, the newest first, and what came of it.
select c.name as campaign, c.list_id, d.state, d.attempts::integer as attempts, d.first_at, d.attempted_at, d.reply
from delivery d join campaign c using (campaign_id)
where d.subscriber_id = :subscriber_id order by d.first_at desc, d.campaign_id desc;

-- name: held_suppressions
-- What stands against mailing them.
select list_id, reason, since, until from suppression
where subscriber_id = :subscriber_id and (until is null or until > :now) order by list_id, reason;

-- name: held_withdrawals
select kind, list_id, occurred_at from withdrawal where subscriber_id = :subscriber_id order by withdrawal_id;

-- name: held_confirmations
-- Links of confirmation mails that are not forgotten yet, under the name that was typed.
select list_id, name, requested_at, expires_at, used_at from confirmation
where subscriber_id = :subscriber_id order by requested_at, list_id;

-- name: held_mails
-- Single mails that wait, or that could not be delivered.
select kind, state, created_at, expires_at, reply from outbox
where subscriber_id = :subscriber_id
   or (kind = 'data' and request_id in (select request_id from data_request where subscriber_id = :subscriber_id))
   or (kind = 'contact' and request_id in (select message_id from contact_message where subscriber_id = :subscriber_id))
order by outbox_id;

-- name: held_acts
-- What operators looked at or did, as the log has it, the newest first. Who of them it was is theirs.
select a.action, a.occurred_at from audit_subject s join audit_log a using (audit_id)
where s.subscriber_id = :subscriber_id order by a.occurred_at desc, a.audit_id desc;

-- name: held_requests
-- What was handed in for the address, or to take it over, and is not worked on yet.
select 'signup' as kind, address, name as content, host(network) as network, agent, received_at, expires_at
from signup_request where subscriber_id = :subscriber_id or replaces = :subscriber_id
union all
select 'data', address, '', null, null, received_at, expires_at from data_request where subscriber_id = :subscriber_id
union all
select 'contact', address, content, null, null, received_at, expires_at from contact_message where subscriber_id = :subscriber_id
order by received_at;

-- name: queue_contact
-- A message to whoever looks after people's data, the mail that hands it over, and its line in the register of requests.
with said as (
  insert into contact_message (subscriber_id, address, content, language, received_at, expires_at)
  values (:subscriber_id, :address, :content, :language, :now, :expires_at)
  returning message_id
), hit as (
  insert into limit_hit (code, kind, occurred_at, expires_at)
  select :network_code, 'network', :now, :hit_expires_at where :network_code::bytea is not null
), registered as (
  insert into rights_request (kind, channel, received_at, due_at, message_id)
  select 'question', 'page', :now, :due_at, message_id from said
), mail as (
  insert into outbox (kind, request_id, list_ids, language, message_id, created_at, expires_at, not_before)
  select 'contact', message_id, array[:list_id::integer], :speaks, :mail_id, :now, :expires_at, :now from said
)
select pg_notify('newsletter_work', '');

-- name: contact_message
select address, content, received_at from contact_message where message_id = :message_id;

-- name: expire_contact_messages
-- Could not be handed over in time.
with due as (select message_id from contact_message where expires_at <= :now order by expires_at limit :size),
     gone as (delete from contact_message m using due where m.message_id = due.message_id returning m.expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: due_contact_messages
select count(*)::integer as due, min(expires_at) as oldest from contact_message where expires_at <= :now;

-- name: add_rights_request
insert into rights_request (kind, channel, received_at, due_at, note) values (:kind, :channel, :received_at, :due_at, :note)
returning number;

-- name: rights_requests
-- The first to be answered first, with what became of the mail that hands over what was written on the page: null for what was
-- handed over, and for what came otherwise. Erased: by its writer, with all else, before anybody could read it.
select r.number, r.kind, r.channel, r.received_at, r.due_at, r.note,
       case when r.writer_erased then 'erased' when r.message_id is null then null when m.message_id is null then 'lost'
            when o.state = 'failed' then 'refused' else 'waiting' end as mail,
       o.reply, m.expires_at as readable_until
from rights_request r
left join contact_message m using (message_id)
left join outbox o on o.kind = 'contact' and o.request_id = m.message_id
order by r.due_at, r.number;

-- name: message_of_request
-- What was written on the page, while its mail was not handed over.
select m.address, m.content, m.received_at from rights_request r join contact_message m using (message_id)
where r.number = :number;

-- name: request_by_number
-- Nobody else changes it until this transaction ends: a mail that a relay refuses meanwhile finds it open or closed, not both.
select channel, message_id is not null as has_message, writer_erased from rights_request where number = :number for update;

-- name: done_rights_request
-- Answered: nothing of it has to be kept, nor what was written, where no mail hands that over any more. One that still waits for a
-- relay goes out, or is refused and takes the text along (`fail_mail`).
with done as (
  delete from rights_request where number = :number returning message_id
), said as (
  delete from contact_message where message_id in (
    select m.message_id from done join contact_message m using (message_id)
    join outbox o on o.kind = 'contact' and o.request_id = m.message_id and o.state = 'failed'
    for update of m skip locked)
)
select true from done;

-- name: expire_rights_requests
with due as (select number from rights_request where received_at <= :before order by received_at limit :size),
     gone as (delete from rights_request r using due where r.number = due.number returning r.received_at)
select count(*)::integer as removed, min(received_at) as oldest from gone;

-- name: due_rights_requests
select count(*)::integer as due, min(received_at) as oldest from rights_request where received_at <= :before;
