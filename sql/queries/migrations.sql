-- name: create_ledger
-- What was applied, with the oldest program (by the number of its newest migration) that may work on the result.
create table if not exists schema_migration (
  number         integer primary key,
  name           text not null,
  checksum       bytea not null,
  oldest_program integer not null,
  applied_at     timestamptz not null
);

-- name: try_lock_ledger
-- One migration at a time, whoever starts it; held until the connection closes.
select pg_try_advisory_lock(hashtext('newsletter migrations'));

-- name: is_unfinished_index
-- Of a build that failed or was broken off.
select exists (select from pg_index where indexrelid = to_regclass(:name) and not indisvalid);

-- name: applied
-- In order.
select number, name, checksum from schema_migration order by number;

-- name: record
-- In the transaction of the migration itself, where it has one.
insert into schema_migration (number, name, checksum, oldest_program, applied_at)
values (:number, :name, :checksum, :oldest_program, :now);

-- name: schema_state
-- The newest migration, and the oldest program that may work on this database.
select coalesce(max(number), 0)::integer as version, coalesce(max(oldest_program), 0)::integer as oldest_program
from schema_migration;

-- name: has_ledger
-- Whether this database was ever migrated.
select to_regclass('schema_migration') is not null as present;

-- name: limit_waiting
-- A migration that cannot have its lock at once gives up rather than hold up everybody behind it.
select set_config('lock_timeout', :milliseconds, false);
