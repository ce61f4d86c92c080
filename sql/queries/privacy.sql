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
