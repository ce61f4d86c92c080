-- name: database_time
-- The clock that all hosts agree on. clock_timestamp, not now(): now() is when the transaction began.
select clock_timestamp();

-- name: load_keys
-- All keys, still wrapped.
select key_id, purpose, wrapped, created_at, retired_at is null as current from key order by key_id;

-- name: insert_key
-- A fresh key. The unique indexes see to it that two processes starting at once agree on one.
insert into key (purpose, wrapped, created_at) values (:purpose, :wrapped, :now) on conflict do nothing;

-- name: retire_token_keys
-- From now on they open what they made and make nothing new.
update key set retired_at = :now where purpose = 'token' and retired_at is null;

-- name: rewrap_key
-- The same key under another secret.
update key set wrapped = :wrapped where key_id = :key_id;
