-- Promises that run: what remains as evidence, what people ask for about their data, the policy and its versions, withdrawals
-- outside the database.
-- oldest-program: 7

-- ------------------------------------------------------------------------------------------------------------- evidence

alter table wording drop constraint wording_kind_check;
alter table wording add constraint wording_kind check (kind in ('form', 'mail', 'process'));

-- About one list, or (null) about the person as a whole.
alter table consent_event alter column list_id drop not null;
alter table consent_event drop constraint consent_event_kind_check;
alter table consent_event
  add constraint consent_event_kind check (kind in (
    'asked', 'confirmed', 'refused', 'preferences', 'unsubscribed', 'resubscribed', 'restricted', 'resumed', 'objected',
    'corrected', 'moved')),
  add column via text check (via in ('form', 'page', 'link', 'one-click', 'mail', 'operator', 'complaint', 'bounce', 'closing')),
  add column process_hash bytea references wording;
comment on column consent_event.via is 'the way it was said; null in events that are older than this column';
comment on column consent_event.process_hash is 'how asking and confirming went at that time, in words';

-- What remains of the evidence about somebody who was erased. Sealed: nothing that names them but the keyed id; in full: with
-- address and origin. Outlives the subscriber, hence no foreign key to it.
create table evidence (
  subscriber_id uuid not null,
  evidence_id   bigint generated always as identity,
  list_id       integer references list,
  kind          text not null,
  occurred_at   timestamptz not null,
  language      text not null,
  form          text not null,
  via           text,
  wording_hash  bytea references wording,
  mail_hash     bytea references wording,
  process_hash  bytea references wording,
  address       text check (length(address) <= 254),
  network       inet,
  agent         text check (length(agent) <= 300),
  origin_until  timestamptz,
  erased_at     timestamptz not null,
  expires_at    timestamptz not null check (expires_at > erased_at and expires_at <= erased_at + interval '1096 days'),
  held_at       timestamptz,
  hold_reason   text check (length(hold_reason) between 1 and 300),
  primary key (subscriber_id, evidence_id),
  check (num_nulls(held_at, hold_reason) in (0, 2)),
  check (origin_until is not null or num_nulls(network, agent) = 2)
);
comment on column evidence.held_at is 'since when a dispute keeps it from expiring; three years after the erasure it goes all the same';
comment on column evidence.origin_until is 'when network and browser go, as they would have with the person';
create index evidence_expiry on evidence (expires_at);
create index evidence_origin on evidence (origin_until) where origin_until is not null;

-- ----------------------------------------------------------------------------------------------------------- suppression

alter table suppression drop constraint suppression_reason_check, drop constraint suppression_check1;
alter table suppression
  add constraint suppression_reason
  check (reason in ('left', 'complained', 'bounced', 'refused', 'objected', 'restricted')),
  add constraint suppression_ends
  check (case reason when 'objected' then until is null when 'restricted' then true else until is not null end);
comment on column suppression.reason is 'restricted: a pause that the person asked for; unlike the others it ends with the person';

alter table subscription drop constraint subscription_unsubscribed_via_check;
alter table subscription
  add constraint subscription_via
  check (unsubscribed_via in ('link', 'one-click', 'mail', 'page', 'operator', 'complaint', 'bounce', 'closing'));

-- ---------------------------------------------------------------------------------------------------------------- rights

-- A change of address is a sign-up of the new one: confirming it erases the old one. Keyed id of that, null for all others.
alter table signup_request add column replaces uuid;
alter table confirmation add column replaces uuid;
create index signup_request_replaces on signup_request (replaces) where replaces is not null;
create index confirmation_replaces on confirmation (replaces) where replaces is not null;

-- Somebody asked for the link to their data. Decided on by a worker, like a sign-up: the page answers the same for everybody.
create table data_request (
  request_id    bigint generated always as identity primary key,
  subscriber_id uuid not null,
  address       text not null check (length(address) <= 254),
  language      text not null,
  received_at   timestamptz not null,
  expires_at    timestamptz not null check (expires_at > received_at),
  not_before    timestamptz not null,
  decided       boolean not null default false
);
create index data_request_expiry on data_request (expires_at);
create index data_request_subscriber on data_request (subscriber_id);
comment on column data_request.subscriber_id is 'computed from the address, never looked up: erasing finds it by this';
comment on column data_request.decided is 'a mail to the address that was typed is in the outbox, and the row goes with it';

-- A message to whoever looks after people's data, until it was handed over.
create table contact_message (
  message_id    bigint generated always as identity primary key,
  subscriber_id uuid not null,
  address       text not null check (length(address) <= 254),
  content       text not null check (length(content) between 1 and 5000),
  language      text not null,
  received_at   timestamptz not null,
  expires_at    timestamptz not null check (expires_at > received_at)
);
create index contact_message_expiry on contact_message (expires_at);
create index contact_message_subscriber on contact_message (subscriber_id);

alter table outbox drop constraint outbox_kind_check;
alter table outbox
  add constraint outbox_kind check (kind in ('confirm', 'already', 'data', 'contact', 'notice'));
create index outbox_request on outbox (request_id) where request_id is not null;
comment on column outbox.request_id is 'of a data_request (kind data) or a contact_message (kind contact)';

-- Requests about people's data that somebody has to answer, with the day until which (GDPR Art. 12(3)). Names nobody.
create table rights_request (
  number      bigint generated always as identity primary key,
  kind        text not null check (kind in ('access', 'portability', 'rectification', 'erasure', 'restriction', 'objection',
                                            'question')),
  channel     text not null check (channel in ('page', 'mail', 'letter', 'telephone')),
  received_at timestamptz not null,
  due_at      timestamptz not null check (due_at > received_at),
  note        text not null default '' check (length(note) <= 300 and note !~ '@')
);
create index rights_request_age on rights_request (received_at);

-- ---------------------------------------------------------------------------------------------------------------- policy

create table policy_version (
  version      integer primary key check (version > 0),
  published_at timestamptz not null,
  notice       text not null check (notice in ('none', 'mailed', 'skipped')),
  reason       text check (length(reason) between 1 and 500),
  check ((notice = 'skipped') = (reason is not null)),
  check (notice <> 'none' or version = 1)
);
comment on column policy_version.notice is 'whether readers were told: none for the first, which replaces nothing';

create table policy_text (
  version  integer not null references policy_version on delete cascade,
  language text not null check (language ~ '^[a-z]{2,3}(_[A-Z]{2})?$'),
  content  text not null,
  primary key (version, language)
);
comment on column policy_text.content is 'as it was shown, in Markdown';

-- Who helps us and sees addresses while doing so (GDPR Art. 28).
create table subprocessor (
  subprocessor_id integer generated always as identity primary key,
  name            text not null unique check (length(name) between 1 and 100),
  purpose         text not null check (length(purpose) between 1 and 300),
  country         text not null check (length(country) between 1 and 100),
  safeguard       text not null check (length(safeguard) between 1 and 300),
  hosts           text[] not null default '{}' check (array_position(hosts, null) is null),
  added_at        timestamptz not null
);
comment on column subprocessor.hosts is 'host names of theirs that we talk to: a relay at none of these is one that the policy keeps silent about';

alter table campaign add column is_notice boolean not null default false;
comment on column campaign.is_notice is 'tells the readers of a list that the policy has changed';

-- ----------------------------------------------------------------------------------------------------------- withdrawals

-- A pause that is done again after a restore has the end that it had.
alter table withdrawal
  add column until timestamptz,
  add constraint withdrawal_ends check (until is null or kind = 'restricted');

-- Replaying asks which withdrawals the database knows, person by person.
create index withdrawal_subscriber on withdrawal (subscriber_id);

-- Withdrawals that are not in the file outside the database yet. Put here with the withdrawal itself, whoever records it: numbers
-- are taken before a transaction ends, so that "all beyond the last number" would skip whoever was slow to commit.
-- No foreign key: checking it takes the right to update withdrawals, which nobody has.
create table withdrawal_unwritten (
  withdrawal_id bigint primary key
);
insert into withdrawal_unwritten select withdrawal_id from withdrawal;

create function note_unwritten() returns trigger language plpgsql as $$
begin
  insert into withdrawal_unwritten select withdrawal_id from added;
  return null;
end $$;
create trigger withdrawal_unwritten after insert on withdrawal
  referencing new table as added for each statement execute function note_unwritten();

-- How far the file has been written: octets of withdrawals, from the first file that there ever was to the end of this one.
create table withdrawal_export (
  only_one    boolean primary key default true check (only_one),
  exported_to bigint not null default 0 check (exported_to >= 0)
);

-- Why no campaign may be sent by anybody at the moment. Pages and single mails go on.
create table standstill (
  reason text primary key check (reason in ('restored')),
  since  timestamptz not null
);
comment on table standstill is 'restored: the file of withdrawals knows of some that the database does not; ended by a replay';
