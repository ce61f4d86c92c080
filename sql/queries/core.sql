-- name: database_time
-- The clock that all hosts agree on. clock_timestamp, not now(): now() is when the transaction began.
select clock_timestamp();

-- name: load_keys
-- All keys, still wrapped.
select key_id, purpose, wrapped, created_at, retired_at is null as current from key order by key_id;

-- name: lock_keys
-- Changes of keys follow one another; readers do not wait.
lock table key in share row exclusive mode;

-- name: knows_people
-- Whether there are ids that an address key was used for.
select exists (select from subscriber) or exists (select from suppression) or exists (select from withdrawal);

-- name: insert_key
-- A fresh key, under `lock_keys`.
insert into key (purpose, wrapped, created_at) values (:purpose, :wrapped, :now);

-- name: retire_token_keys
-- From now on they open what they made and make nothing new.
update key set retired_at = :now where purpose = 'token' and retired_at is null;

-- name: rewrap_key
-- The same key under another secret.
update key set wrapped = :wrapped where key_id = :key_id;
