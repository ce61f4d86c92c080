-- Campaigns that start by themselves, are watched while they are sent, and reported on when their deliveries are forgotten.
-- oldest-program: 11

alter table campaign
  add column returned_reason text check (length(returned_reason) between 1 and 500),
  add constraint campaign_returned_reason check (returned_reason is null or state = 'draft');
comment on column campaign.returned_reason is 'why it was not started when it was due, and is a draft again';

create index campaign_due on campaign (scheduled_at) where state = 'scheduled';
create index campaign_by_state on campaign (state, campaign_id);
create index campaign_by_list on campaign (list_id, campaign_id);

-- Who used the way out of a campaign's mail is found by an index that has a migration of its own, since it is built while people
-- go on unsubscribing. Erasing takes the evidence along: what it took is counted in campaign_left.
-- Only drafts are deleted, and nobody has used a link of theirs. The check would have to lock evidence, which not even its owner may.
alter table consent_event drop constraint consent_event_campaign_id_fkey;
create table campaign_left (
  campaign_id integer primary key references campaign on delete cascade,
  count       bigint not null check (count > 0)
);
comment on table campaign_left is 'readers who unsubscribed from a mail of this campaign and were erased since: sums, nobody''s in particular';

-- Where a campaign stands: what its batches counted, less what was erased or dropped. Whoever was erased with a mail in hand
-- counts as uncertain, and with one put off as skipped: nobody is going to try again.
create view campaign_standing as
select c.campaign_id,
       (kept.attempting - gone.attempting)::bigint as attempting, kept.accepted::bigint as accepted,
       (kept.deferred - gone.deferred)::bigint as deferred, kept.failed::bigint as failed,
       (kept.uncertain + gone.attempting)::bigint as uncertain, (kept.skipped + gone.deferred)::bigint as skipped,
       kept.next_due,
       (select count(distinct subscriber_id) from consent_event e where e.campaign_id = c.campaign_id and e.kind = 'unsubscribed')
         + coalesce((select count from campaign_left l where l.campaign_id = c.campaign_id), 0) as unsubscribed
from campaign c
cross join lateral (
  select coalesce(sum(attempting), 0) as attempting, coalesce(sum(accepted), 0) as accepted,
         coalesce(sum(deferred), 0) as deferred, coalesce(sum(failed), 0) as failed,
         coalesce(sum(uncertain), 0) as uncertain, coalesce(sum(skipped), 0) as skipped,
         min(not_before) filter (where state <> 'done') as next_due
  from batch b where b.campaign_id = c.campaign_id
) kept
cross join lateral (
  select coalesce(sum(count) filter (where state = 'attempting'), 0) as attempting,
         coalesce(sum(count) filter (where state = 'deferred'), 0) as deferred
  from delivery_folded f where f.campaign_id = c.campaign_id
) gone;

-- What a campaign's totals were, every so often while it was under way: the chart over time. A few hundred rows at most for each.
create table campaign_progress (
  campaign_id integer not null references campaign on delete cascade,
  taken_at    timestamptz not null,
  attempting  bigint not null check (attempting >= 0),
  accepted    bigint not null check (accepted >= 0),
  deferred    bigint not null check (deferred >= 0),
  failed      bigint not null check (failed >= 0),
  uncertain   bigint not null check (uncertain >= 0),
  skipped     bigint not null check (skipped >= 0),
  primary key (campaign_id, taken_at)
);

-- Sums that take a look at every delivery: made beside the pages, and kept when the deliveries are dropped. No row names a reader.
create table campaign_report (
  campaign_id integer primary key references campaign on delete cascade,
  next_at     timestamptz,
  as_of       timestamptz,
  took        double precision check (took >= 0),
  check (num_nulls(as_of, took) in (0, 2)),
  check (next_at is not null or as_of is not null)
);
comment on column campaign_report.next_at is 'when it is made again; null: the campaign is over, and this is the last';
create index campaign_report_due on campaign_report (next_at) where next_at is not null;

create table campaign_reason (
  campaign_id integer not null references campaign on delete cascade,
  state       text not null check (state in ('deferred', 'failed', 'uncertain', 'skipped')),
  reason      text not null check (reason ~ '^[a-z-]{1,40}$'),
  count       bigint not null check (count > 0),
  primary key (campaign_id, state, reason)
);

create table campaign_domain (
  campaign_id integer not null references campaign on delete cascade,
  domain      text not null,
  domains     integer not null check (domains > 0),
  tried       bigint not null,
  accepted    bigint not null check (accepted >= 0),
  deferred    bigint not null check (deferred >= 0),
  failed      bigint not null check (failed >= 0),
  uncertain   bigint not null check (uncertain >= 0),
  primary key (campaign_id, domain),
  check (tried = accepted + deferred + failed + uncertain),
  check (domain = '' or (tried >= 20 and domains = 1))
);
comment on column campaign_domain.domain is 'of at least 20 readers; the others are together under the empty one';

-- What was sent before.
insert into campaign_report (campaign_id, next_at) select campaign_id, started_at from campaign where started_at is not null;
