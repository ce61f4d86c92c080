-- Promises at work: the record of what was deleted.

-- name: record_run
-- Rule, when, how many, how old the oldest was. No personal data.
insert into retention_run (promise, started_at, finished_at, removed, oldest_due)
values (:promise, :started_at, :finished_at, :removed, :oldest_due);

-- name: latest_runs
-- The last run of each promise.
select distinct on (promise) promise, started_at, finished_at, removed, oldest_due
from retention_run order by promise, started_at desc;

-- name: expire_runs
with due as (select run_id from retention_run where started_at <= :before order by started_at limit :size),
     gone as (delete from retention_run r using due where r.run_id = due.run_id returning r.started_at)
select count(*)::integer as removed, min(started_at) as oldest from gone;
