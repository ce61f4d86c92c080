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
select o.name as operator, t.scopes
from api_token t join operator o using (operator_id)
where t.digest = :digest and t.expires_at > :now and t.revoked_at is null and o.disabled_at is null;

-- name: list_tokens
select t.token_id, t.name, o.name as operator, t.scopes, t.created_at, t.expires_at, t.revoked_at
from api_token t join operator o using (operator_id) order by t.token_id;

-- name: revoke_token
update api_token set revoked_at = :now where token_id = :token_id and revoked_at is null returning true;

-- name: add_audit
-- What an operator did to what; names no reader.
insert into audit_log (occurred_at, operator, action, target) values (:now, :operator, :action, :target);

-- name: expire_audit
with due as (select audit_id from audit_log where occurred_at <= :before order by occurred_at limit :size),
     gone as (delete from audit_log a using due where a.audit_id = due.audit_id returning a.occurred_at)
select count(*)::integer as removed, min(occurred_at) as oldest from gone;

-- name: due_audit
select count(*)::integer as due, min(occurred_at) as oldest from audit_log where occurred_at <= :before;
