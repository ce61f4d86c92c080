-- Operators, their API tokens, and what they did.

-- name: add_operator
insert into operator (name, role, created_at) values (:name, :role, :now) on conflict (name) do nothing returning operator_id;

-- name: find_operator
select operator_id from operator where name = :name and disabled_at is null;

-- name: count_tokens
select count(*)::integer from api_token;

-- name: add_token
-- The token itself is shown once and not stored.
insert into api_token (operator_id, name, digest, scopes, created_at, expires_at)
values (:operator_id, :name, :digest, :scopes, :now, :expires_at)
returning token_id;

-- name: open_token
-- Whose it is and what it may, while it is valid.
select o.name as operator, o.role, t.scopes
from api_token t join operator o using (operator_id)
where t.digest = :digest and t.expires_at > :now and t.revoked_at is null and o.disabled_at is null;

-- name: list_tokens
select t.token_id, t.name, o.name as operator, o.role, t.scopes, t.created_at, t.expires_at, t.revoked_at
from api_token t join operator o using (operator_id) order by t.token_id;

-- name: revoke_token
update api_token set revoked_at = :now where token_id = :token_id and revoked_at is null returning true;

-- name: add_audit
-- What an operator did to what. The reader whom it is about is noted beside it, where the sweep finds them; whoever is gone, or
-- not here yet, is not. They are held until the end, so that nobody is erased between the two.
with reader as (
  select subscriber_id from subscriber where subscriber_id = :about for key share
), line as (
  insert into audit_log (occurred_at, operator, action, target) values (:now, :operator, :action, :target) returning audit_id
)
insert into audit_subject (subscriber_id, audit_id) select subscriber_id, audit_id from reader cross join line;

-- name: expire_audit
-- With whom the lines were about, and with what an older program left of that when it deleted lines alone: numbers only grow, so that
-- below the first line that is here no other is. Who is being erased at this moment is not waited for, and goes anyway.
with due as (select audit_id from audit_log where occurred_at <= :before order by occurred_at limit :size),
     readers as (
       delete from audit_subject where (subscriber_id, audit_id) in (
         select s.subscriber_id, s.audit_id from due join audit_subject s using (audit_id) for update of s skip locked)
     ),
     left_over as (
       delete from audit_subject where (subscriber_id, audit_id) in (
         select subscriber_id, audit_id from audit_subject
         where audit_id < coalesce((select audit_id from audit_log order by audit_id limit 1), 9223372036854775807)
         order by audit_id limit :size for update skip locked)
     ),
     gone as (delete from audit_log a using due where a.audit_id = due.audit_id returning a.occurred_at)
select count(*)::integer as removed, min(occurred_at) as oldest from gone;

-- name: due_audit
select count(*)::integer as due, min(occurred_at) as oldest from audit_log where occurred_at <= :before;

-- name: operators
-- All who were not let go, with what the house page shows.
select o.operator_id, o.name, o.role, o.address, o.created_at, o.password is not null as has_password,
       o.totp_since is not null as has_second_factor,
       (select max(s.seen_at) from operator_session s where s.operator_id = o.operator_id) as last_seen
from operator o where o.disabled_at is null order by o.name;

-- name: operator_by_id
select operator_id, name, role, address, password, totp, totp_since, totp_step from operator
where operator_id = :operator_id and disabled_at is null;

-- name: operator_by_normal
-- Whoever signs in with that address.
select operator_id, name, role, address, password, totp, totp_since, totp_step from operator
where normal = :normal and disabled_at is null;

-- name: lock_operators
-- One after the other changes who may what: of two owners who let each other go at once, one must stay.
lock table operator in share row exclusive mode;

-- name: count_owners
-- Owners who can sign in, besides that one.
select count(*)::integer from operator
where role = 'owner' and disabled_at is null and password is not null and operator_id <> :besides;

-- name: has_passwords
-- Whether anybody has ever set one.
select exists (select from operator where password is not null);

-- name: set_role
update operator set role = :role where operator_id = :operator_id and disabled_at is null returning true;

-- name: set_address
update operator set address = :address, normal = :normal where operator_id = :operator_id and disabled_at is null returning true;

-- name: hold_account
-- Whoever has that password still, held until the transaction ends: who changes it meanwhile comes after, and ends what was begun.
select operator_id, name, role, address, password, totp, totp_since, totp_step from operator
where operator_id = :operator_id and password = :password and disabled_at is null for no key update;

-- name: set_password
update operator set password = :password where operator_id = :operator_id and disabled_at is null returning true;

-- name: let_go
-- Nothing of them is kept but the name, which the log has.
with gone as (delete from operator_session where operator_id = :operator_id),
     codes as (delete from operator_recovery where operator_id = :operator_id),
     links as (delete from operator_link where operator_id = :operator_id),
     open as (delete from campaign_open where operator_id = :operator_id),
     tokens as (update api_token set revoked_at = :now where operator_id = :operator_id and revoked_at is null)
update operator
set disabled_at = :now, address = null, normal = null, password = null, totp = null, totp_since = null, totp_step = null
where operator_id = :operator_id and disabled_at is null returning true;

-- name: set_totp
-- A secret that is being set up.
update operator set totp = :totp, totp_since = null, totp_step = null
where operator_id = :operator_id and disabled_at is null and totp_since is null returning true;

-- name: begin_totp
-- From its first code on it is asked for.
update operator set totp_since = :now, totp_step = :step
where operator_id = :operator_id and totp is not null and totp_since is null returning true;

-- name: use_totp
-- The guard refuses a code that was used, and every earlier one.
update operator set totp_step = :step
where operator_id = :operator_id and totp_since is not null and totp_step < :step returning true;

-- name: drop_totp
with codes as (delete from operator_recovery where operator_id = :operator_id)
update operator set totp = null, totp_since = null, totp_step = null
where operator_id = :operator_id and totp is not null returning true;

-- name: put_recovery
-- In place of those that there were.
with former as (delete from operator_recovery where operator_id = :operator_id and digest <> all(:digests::bytea[]))
insert into operator_recovery (operator_id, digest) select :operator_id, unnest(:digests::bytea[]);

-- name: use_recovery
delete from operator_recovery where operator_id = :operator_id and digest = :digest returning true;

-- name: count_recovery
select count(*)::integer from operator_recovery where operator_id = :operator_id;

-- name: wrapped_totp
-- Secrets to be wrapped anew.
select operator_id, totp from operator where totp is not null;

-- name: rewrap_totp
update operator set totp = :totp where operator_id = :operator_id;

-- name: add_session
insert into operator_session (operator_id, digest, is_whole, created_at, seen_at, idle_at, ends_at, network, agent)
values (:operator_id, :digest, :is_whole, :now, :now, :idle_at, :ends_at, :network, :agent);

-- name: session
-- Who is behind a cookie, with the role that they have now.
select s.session_id, s.operator_id, s.is_whole, s.seen_at, s.ends_at, o.name, o.role,
       o.totp_since is not null as has_second_factor
from operator_session s join operator o using (operator_id)
where s.digest = :digest and s.idle_at > :now and s.ends_at > :now and o.disabled_at is null;

-- name: touch_session
-- Written once a minute, not at each page.
update operator_session set seen_at = :now, idle_at = least(:idle_at, ends_at)
where session_id = :session_id and seen_at < :before;

-- name: sessions_of
select session_id, created_at, seen_at, network, agent from operator_session
where operator_id = :operator_id and is_whole and idle_at > :now order by seen_at desc;

-- name: drop_session
delete from operator_session where session_id = :session_id and operator_id = :operator_id returning true;

-- name: drop_sessions
-- All of an operator's, but that one.
delete from operator_session where operator_id = :operator_id and session_id <> :besides;

-- name: expire_sessions
with due as (select session_id from operator_session where idle_at <= :now order by idle_at limit :size),
     gone as (delete from operator_session s using due where s.session_id = due.session_id returning s.idle_at)
select count(*)::integer as removed, min(idle_at) as oldest from gone;

-- name: due_sessions
select count(*)::integer as due, min(idle_at) as oldest from operator_session where idle_at <= :now;

-- name: add_link
insert into operator_link (operator_id, created_at, expires_at) values (:operator_id, :now, :expires_at) returning link_id;

-- name: link
-- Whom a link is for, while it works.
select l.link_id, l.operator_id, o.name, o.role, o.address, l.expires_at
from operator_link l join operator o using (operator_id)
where l.link_id = :link_id and l.used_at is null and l.expires_at > :now and o.disabled_at is null;

-- name: use_link
-- Once; the guard lets exactly one of two callers through. Those that were made for the same person before go with it.
with former as (
  delete from operator_link f using operator_link l
  where l.link_id = :link_id and f.operator_id = l.operator_id and f.link_id <> l.link_id
)
update operator_link set used_at = :now where link_id = :link_id and used_at is null and expires_at > :now returning true;

-- name: drop_links
delete from operator_link where operator_id = :operator_id;

-- name: forgot
-- A link, its mail and a line in the log for whoever has that address. One statement, so that it takes as long for nobody.
with who as (
  select operator_id, name from operator where normal = :normal and disabled_at is null
), fresh as (
  insert into operator_link (operator_id, created_at, expires_at) select operator_id, :now, :expires_at from who
  returning link_id
), writes as (
  select list_id from list order by closed_at is not null, list_id limit 1
), mailed as (
  insert into outbox (kind, request_id, list_ids, language, message_id, created_at, expires_at, not_before)
  select 'operator', link_id, array[list_id], 'en', :message_id, :now, :expires_at, :now from fresh cross join writes
)
insert into audit_log (occurred_at, operator, action, target)
select :now, name, 'password.forgot', 'operator ' || operator_id from who;

-- name: expire_links
with due as (select link_id from operator_link where expires_at <= :now order by expires_at limit :size),
     gone as (delete from operator_link l using due where l.link_id = due.link_id returning l.expires_at)
select count(*)::integer as removed, min(expires_at) as oldest from gone;

-- name: due_links
select count(*)::integer as due, min(expires_at) as oldest from operator_link where expires_at <= :now;

-- name: expire_operators
-- Who was let go so long ago that the log does not name them any more; their revoked tokens first.
with due as (select operator_id, disabled_at from operator where disabled_at <= :before order by disabled_at limit :size),
     tokens as (delete from api_token t using due where t.operator_id = due.operator_id),
     gone as (delete from operator o using due where o.operator_id = due.operator_id returning o.disabled_at)
select count(*)::integer as removed, min(disabled_at) as oldest from gone;

-- name: due_operators
select count(*)::integer as due, min(disabled_at) as oldest from operator where disabled_at <= :before;

-- name: lock_limit
-- Who counts and who adds follow one another: of a thousand attempts at once no more come through than one after the other.
select pg_advisory_xact_lock(hashtextextended(encode(:code::bytea, 'hex'), 0));

-- name: count_attempts
-- Sign-ins that failed or are under way, by code of a network, of an account from a network, or of a first step.
select count(*)::integer from limit_hit where code = :code and kind = 'sign_in' and occurred_at > :since;

-- name: add_attempt
insert into limit_hit (code, kind, occurred_at, expires_at)
select unnest(:codes::bytea[]), 'sign_in', :now, :expires_at;

-- name: take_back
-- One attempt of that moment, under each code: it was no failure.
delete from limit_hit h using (
  select distinct on (code) ctid from limit_hit
  where code = any(:codes::bytea[]) and kind = 'sign_in' and occurred_at = :now
) due where h.ctid = due.ctid;

-- name: note_once
-- A line in the log, if there was none for that code lately.
with noted as (
  insert into limit_hit (code, kind, occurred_at, expires_at) select :code, 'sign_in', :now, :expires_at
  where not exists (select from limit_hit where code = :code and kind = 'sign_in' and expires_at > :now)
  returning true
)
insert into audit_log (occurred_at, operator, action, target) select :now, :operator, :action, :target from noted;

-- name: audit_page
-- Newest first, from after that line on; of one operator, of one action, of some days, where they are named. A line that the page
-- before ended with and that has gone since was among the oldest: nothing comes after it.
select a.audit_id, a.occurred_at, a.operator, a.action, a.target,
       (select s.subscriber_id from audit_subject s where s.audit_id = a.audit_id) as subscriber_id
from audit_log a
where (:operator::text is null or a.operator = :operator) and (:action::text is null or a.action = :action)
  and (:since::timestamptz is null or a.occurred_at >= :since) and (:until::timestamptz is null or a.occurred_at < :until)
  and (:before::bigint is null
       or (a.occurred_at, a.audit_id) < (select b.occurred_at, b.audit_id from audit_log b where b.audit_id = :before))
order by a.occurred_at desc, a.audit_id desc limit :size;

-- name: audit_actions
-- Which there are, from one to the next by the index: there are few of them, and many lines.
with recursive found as (
  (select action from audit_log order by action limit 1)
  union all
  select (select a.action from audit_log a where a.action > f.action order by a.action limit 1) from found f
  where f.action is not null
)
select action from found where action is not null;

-- name: list_that_writes
-- Whose sender writes to operators: the first list that is open.
select list_id from list order by closed_at is not null, list_id limit 1;

-- For the doctor.

-- name: server_settings
-- Settings of the server by name, as far as this role may see them.
select name, setting from pg_settings where name = any(:names::text[]) order by name;

-- name: server_role
-- Which server this is, and as whom we are connected.
select split_part(current_setting('server_version'), ' ', 1) as version, rolsuper as is_superuser
from pg_roles where rolname = current_user;
