-- The schedule. APScheduler only ticks; what has run and what is due stands here, so that any number of workers may tick.

-- name: due_jobs
-- Which of these are due and run by nobody. One that is not known yet is from now on, and due at once.
with added as (
  insert into job (name, next_run_at) select name, :now from unnest(:names::text[]) as asked(name)
  on conflict do nothing returning name
)
select name from added
union all
select name from job
where name = any(:names) and next_run_at <= :now and (lease_until is null or lease_until < :now);

-- name: claim_job
-- The epoch that the run is guarded by, for exactly one of those who ask, as long as its lease lasts; no row for the others.
update job set lease_until = :lease_until, leased_by = :worker, epoch = epoch + 1, last_started = :now
where name = :name and next_run_at <= :now and (lease_until is null or lease_until < :now)
returning epoch;

-- name: renew_job
-- A run that takes long is still at work. No row when the lease ran out and another worker has it.
update job set lease_until = :lease_until where name = :name and epoch = :epoch and lease_until is not null returning true;

-- name: finish_job
-- Guarded by the epoch: a worker whose lease ran out does not move the next run.
update job set lease_until = null, leased_by = null, last_finished = :now, next_run_at = :next_run_at, last_error = :error
where name = :name and epoch = :epoch;

-- name: job_states
select name, next_run_at, last_started, last_finished, last_error from job order by name;
