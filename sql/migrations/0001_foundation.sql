-- The whole ground: keys, what operators own, subject tables, transit tables, delivery, schedule.
--
-- Subject tables have subscriber_id leading their primary key, so that erasing a person is one sweep and the tables can be
-- distributed by that column. Transit tables have a mandatory expiry. No other table may hold a mail address of a reader.
-- oldest-program: 1

-- ---------------------------------------------------------------------------------------------------------------- keys

-- Random keys, wrapped (AES-GCM) by a key derived from NEWSLETTER_SECRET. The address key is made once and never rotated, since
-- an erased address cannot be keyed again; token keys rotate, and retired ones go on opening what they once made.
create table key (
  key_id     smallint generated always as identity primary key,
  purpose    text not null check (purpose in ('address', 'token')),
  wrapped    bytea not null check (octet_length(wrapped) = 12 + 32 + 16),
  created_at timestamptz not null,
  retired_at timestamptz,
  check (purpose = 'token' or retired_at is null)
);
create unique index key_one_address on key (purpose) where purpose = 'address';
create unique index key_one_current_token on key (purpose) where purpose = 'token' and retired_at is null;

-- ----------------------------------------------------------------------------------------------------- what operators own

create table sender (
  sender_id      integer generated always as identity primary key,
  name           text not null check (length(name) between 1 and 100),
  from_address   text not null check (length(from_address) <= 254),
  reply_to       text check (length(reply_to) <= 254),
  postal_address text not null check (length(postal_address) between 1 and 300),
  contact        text not null check (length(contact) <= 254),
  legal_notice   text check (legal_notice ~ '^https?://'),
  relay          text,
  dkim_selector  text,
  dkim_domain    text,
  dkim_key       bytea,
  created_at     timestamptz not null,
  check (num_nonnulls(dkim_selector, dkim_domain, dkim_key) in (0, 3))
);
comment on column sender.contact is 'mail address that people write to about their data; shown on the privacy page';
comment on column sender.relay is 'name of the relay that takes this sender''s mail; null: whichever there is';
comment on column sender.dkim_key is 'private key, wrapped like those in table key';

create table list (
  list_id        integer generated always as identity primary key,
  slug           text not null unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  sender_id      integer not null references sender,
  visibility     text not null default 'public' check (visibility in ('public', 'private')),
  languages      text[] not null check (cardinality(languages) between 1 and 20),
  time_zone      text not null,
  list_id_header text not null unique check (list_id_header ~ '^[a-z0-9.-]{3,200}$'),
  return_urls    text[] not null default '{}',
  created_at     timestamptz not null,
  closed_at      timestamptz
);
comment on column list.languages is 'the first is the default';
comment on column list.list_id_header is 'RFC 2919 List-Id, fixed at creation: independent of name and base address';
comment on column list.return_urls is 'pages of other sites that an embedded form may send the visitor back to';

-- What a list calls itself, language by language.
create table list_text (
  list_id     integer not null references list on delete cascade,
  language    text not null check (language ~ '^[a-z]{2,3}(_[A-Z]{2})?$'),
  name        text not null check (length(name) between 1 and 100),
  description text not null check (length(description) <= 500),
  primary key (list_id, language)
);

-- Texts that are the same for many, once each by SHA-256: the wording beside a form's button, a confirmation mail's pattern.
create table wording (
  wording_hash bytea primary key check (octet_length(wording_hash) = 32),
  kind         text not null check (kind in ('form', 'mail')),
  language     text not null,
  content      text not null,
  first_used   timestamptz not null
);

create table campaign (
  campaign_id       integer generated always as identity primary key,
  list_id           integer not null references list,
  name              text not null check (length(name) between 1 and 200),
  state             text not null default 'draft'
                    check (state in ('draft', 'scheduled', 'sending', 'paused', 'sent', 'cancelled')),
  uncertain_policy  text not null default 'resend' check (uncertain_policy in ('resend', 'leave')),
  created_at        timestamptz not null,
  scheduled_at      timestamptz,
  started_at        timestamptz,
  finished_at       timestamptz,
  week              date check (extract(isodow from week) = 1),
  message_key       bytea check (octet_length(message_key) = 32),
  message_domain    text,
  planned           integer check (planned >= 0),
  check (state <> 'scheduled' or scheduled_at is not null),
  check (state in ('draft', 'scheduled', 'cancelled') or num_nulls(started_at, week, message_key, message_domain, planned) = 0),
  check ((state in ('sent', 'cancelled')) = (finished_at is not null))
);
comment on column campaign.week is 'Monday of the week it was started in: the partition that its deliveries lie in';
comment on column campaign.message_key is 'with message_domain fixes the Message-ID of every reader''s mail, whatever is rotated or renamed later';
comment on column campaign.planned is 'confirmed readers when it was started; a figure to show progress against, not the audience';

create table campaign_content (
  campaign_id integer not null references campaign on delete cascade,
  language    text not null check (language ~ '^[a-z]{2,3}(_[A-Z]{2})?$'),
  subject     text not null check (length(subject) between 1 and 300),
  preheader   text not null default '' check (length(preheader) <= 300),
  format      text not null check (format in ('markdown', 'html')),
  body        text not null check (body ~ '\S'),
  primary key (campaign_id, language)
);

create table operator (
  operator_id integer generated always as identity primary key,
  name        text not null unique check (length(name) between 1 and 100),
  role        text not null check (role in ('owner', 'editor', 'viewer')),
  created_at  timestamptz not null,
  disabled_at timestamptz
);

create table api_token (
  token_id    integer generated always as identity primary key,
  operator_id integer not null references operator,
  name        text not null check (length(name) between 1 and 100),
  digest      bytea not null unique check (octet_length(digest) = 32),
  scopes      text[] not null check (scopes <@ '{campaigns:read,campaigns:write,campaigns:send}' and cardinality(scopes) > 0),
  created_at  timestamptz not null,
  expires_at  timestamptz not null check (expires_at > created_at),
  revoked_at  timestamptz
);

-- What operators did. Names no reader.
create table audit_log (
  audit_id    bigint generated always as identity primary key,
  occurred_at timestamptz not null,
  operator    text not null,
  action      text not null,
  target      text not null
);
create index audit_log_age on audit_log (occurred_at);

-- ------------------------------------------------------------------------------------------------------- subject tables

create table subscriber (
  subscriber_id uuid primary key,
  address       text not null check (length(address) between 3 and 254 and address !~ '[[:cntrl:][:space:]]'),
  domain        text not null check (domain = lower(domain)),
  name          text not null default '' check (length(name) <= 100 and name !~ '[[:cntrl:]]'),
  language      text not null,
  created_at    timestamptz not null,
  left_at       timestamptz
);
comment on column subscriber.address is 'as it was first typed; mail goes there and never to what somebody typed later';
comment on column subscriber.left_at is 'when the last confirmed subscription ended: the clock of the promise to delete; cleared by confirming';
create index subscriber_left on subscriber (left_at) where left_at is not null;

create table subscription (
  subscriber_id    uuid not null references subscriber on delete cascade,
  list_id          integer not null references list,
  state            text not null check (state in ('pending', 'confirmed', 'unsubscribed')),
  language         text not null,
  requested_at     timestamptz not null,
  expires_at       timestamptz,
  confirmed_at     timestamptz,
  unsubscribed_at  timestamptz,
  unsubscribed_via text check (unsubscribed_via in ('link', 'one-click', 'mail', 'operator', 'complaint')),
  undo_id          uuid,
  undo_until       timestamptz,
  primary key (subscriber_id, list_id),
  check ((state = 'pending') = (expires_at is not null)),
  check (state <> 'confirmed' or (confirmed_at is not null and unsubscribed_at is null)),
  check (state <> 'unsubscribed' or unsubscribed_at is not null),
  check ((unsubscribed_at is null) = (unsubscribed_via is null)),
  check (num_nonnulls(undo_id, undo_until) in (0, 2) and (undo_id is null or state = 'unsubscribed'))
);
comment on column subscription.unsubscribed_at is 'kept while a new request is pending, so that its lapse restores what was';
-- Measured at 1 % of readers: 9 pages read instead of 732.
create index subscription_audience on subscription (list_id, subscriber_id) where state = 'confirmed';
create index subscription_lapsing on subscription (expires_at) where state = 'pending';

-- One confirmation mail and the lists it asks about: a confirm token names one of these and can do exactly what that mail said.
create table confirmation (
  subscriber_id   uuid not null references subscriber on delete cascade,
  confirmation_id uuid not null,
  list_id         integer not null references list,
  requested_at    timestamptz not null,
  expires_at      timestamptz not null check (expires_at > requested_at),
  used_at         timestamptz,
  primary key (subscriber_id, confirmation_id, list_id)
);

-- Evidence: what was asked, in which words, when and from where, and what was answered. Append-only: UPDATE is revoked below.
create table consent_event (
  subscriber_id   uuid not null references subscriber on delete cascade,
  event_id        bigint generated always as identity,
  list_id         integer not null references list,
  kind            text not null check (kind in ('asked', 'confirmed', 'refused', 'preferences', 'unsubscribed', 'resubscribed',
                                                'restricted', 'objected', 'corrected')),
  occurred_at     timestamptz not null,
  language        text not null,
  form            text not null default '',
  wording_hash    bytea references wording,
  mail_hash       bytea references wording,
  confirmation_id uuid,
  campaign_id     integer references campaign,
  primary key (subscriber_id, event_id)
);
comment on column consent_event.form is 'where it was said: address of the form, or the page or header that was used';
comment on column consent_event.campaign_id is 'the campaign whose link was used';

-- The part of the evidence that expires first.
create table consent_origin (
  subscriber_id uuid not null references subscriber on delete cascade,
  event_id      bigint not null,
  network       inet,
  agent         text not null check (length(agent) <= 300),
  expires_at    timestamptz not null,
  primary key (subscriber_id, event_id)
);
create index consent_origin_expiry on consent_origin (expires_at);

-- Keyed ids that must not be mailed or imported again. Outlives the subscriber, hence no foreign key; holds no address.
create table suppression (
  subscriber_id uuid not null,
  list_id       integer not null default 0,
  reason        text not null check (reason in ('left', 'complained', 'bounced', 'refused', 'objected')),
  since         timestamptz not null,
  until         timestamptz check (until > since),
  primary key (subscriber_id, list_id, reason),
  check ((reason = 'objected') = (until is null))
);
comment on column suppression.list_id is '0: every list';
create index suppression_expiry on suppression (until) where until is not null;

-- Every withdrawal, numbered, so that a restored backup can be told what happened after it. Keyed ids alone; append-only.
create table withdrawal (
  withdrawal_id bigint generated always as identity primary key,
  kind          text not null check (kind in ('unsubscribed', 'refused', 'objected', 'restricted', 'complained', 'erased')),
  subscriber_id uuid not null,
  list_id       integer not null default 0,
  occurred_at   timestamptz not null
);
create index withdrawal_age on withdrawal (occurred_at);

-- ------------------------------------------------------------------------------------------------------- transit tables

-- What a form handed in, as it came: one unconditional INSERT, decided on by a worker, so that the answer tells nobody whether
-- the address is known.
create table signup_request (
  request_id    bigint generated always as identity primary key,
  subscriber_id uuid not null,
  address       text not null check (length(address) <= 254),
  name          text not null default '' check (length(name) <= 100),
  language      text not null,
  list_ids      integer[] not null check (cardinality(list_ids) between 1 and 50),
  form          text not null check (length(form) <= 500),
  wording_hash  bytea not null references wording,
  network       inet,
  agent         text not null check (length(agent) <= 300),
  received_at   timestamptz not null,
  expires_at    timestamptz not null check (expires_at > received_at),
  not_before    timestamptz not null,
  attempts      smallint not null default 0
);
create index signup_request_queue on signup_request (not_before);
create index signup_request_expiry on signup_request (expires_at);
create index signup_request_subscriber on signup_request (subscriber_id);
comment on column signup_request.subscriber_id is 'computed from the address, never looked up: erasing finds it by this';

-- Single mails, always ahead of campaigns. Names whom it is for and holds no address: that is read when the mail is made.
create table outbox (
  outbox_id     bigint generated always as identity primary key,
  kind          text not null check (kind in ('confirm', 'already', 'data', 'notice')),
  subscriber_id uuid,
  request_id    bigint,
  about         uuid,
  list_ids      integer[] not null,
  language      text not null,
  message_id    uuid not null,
  state         text not null default 'queued' check (state in ('queued', 'failed')),
  created_at    timestamptz not null,
  expires_at    timestamptz not null check (expires_at > created_at),
  not_before    timestamptz not null,
  lease_until   timestamptz,
  epoch         integer not null default 0,
  attempts      smallint not null default 0,
  reply         text check (length(reply) <= 300),
  check (num_nonnulls(subscriber_id, request_id) = 1)
);
comment on column outbox.about is 'what the mail is about: the confirmation that it asks for';
comment on column outbox.reply is 'what the relay last said, addresses scrubbed';
create index outbox_queue on outbox (not_before) where state = 'queued';
create index outbox_expiry on outbox (expires_at);
create index outbox_subscriber on outbox (subscriber_id);

-- Rolling counters against abuse: keyed codes of an address (plus-tag folded) or a network, never the thing itself.
create table limit_hit (
  code        bytea not null check (octet_length(code) = 16),
  kind        text not null check (kind in ('network', 'mail')),
  occurred_at timestamptz not null,
  expires_at  timestamptz not null
);
create index limit_hit_count on limit_hit (code, kind, occurred_at);
create index limit_hit_expiry on limit_hit (expires_at);

-- ------------------------------------------------------------------------------------------------------------- delivery

-- A slice of a campaign's audience by id range, held by one worker under a lease. The epoch fences: it grows with every claim.
create table batch (
  campaign_id integer not null references campaign on delete cascade,
  batch_no    integer not null,
  id_from     uuid not null,
  id_to       uuid not null check (id_to >= id_from),
  state       text not null default 'queued' check (state in ('queued', 'leased', 'done')),
  not_before  timestamptz not null,
  lease_until timestamptz,
  leased_by   text,
  epoch       integer not null default 0,
  primary key (campaign_id, batch_no),
  check ((state = 'leased') = (lease_until is not null and leased_by is not null))
);
create index batch_queue on batch (not_before) where state <> 'done';

-- What became of one campaign for one reader. Partitioned by the campaign's week, dropped as a whole when its time is over
-- (1 M rows: 0.1 s and 0.1 MB of WAL, against 3.7 s and 256 MB for DELETE).
create table delivery (
  subscriber_id uuid not null,
  campaign_id   integer not null,
  week          date not null,
  state         text not null check (state in ('attempting', 'accepted', 'deferred', 'failed', 'uncertain', 'skipped')),
  epoch         integer not null,
  attempts      smallint not null check (attempts >= 0),
  was_uncertain boolean not null default false,
  first_at      timestamptz not null,
  attempted_at  timestamptz not null,
  retry_at      timestamptz,
  reply_code    smallint,
  reply_status  text check (reply_status ~ '^[245]\.\d{1,3}\.\d{1,3}$'),
  reply         text check (length(reply) <= 300),
  primary key (subscriber_id, campaign_id, week),
  check (state <> 'deferred' or retry_at is not null),
  check (state in ('deferred', 'uncertain') or retry_at is null)
) partition by range (week);
comment on column delivery.retry_at is 'deferred: when it is tried again; uncertain: the same, null where it is left as it is';
comment on column delivery.reply is 'what the relay said, addresses scrubbed';

-- What is left of deliveries whose reader was erased: sums, nobody's in particular.
create table delivery_folded (
  campaign_id integer not null references campaign,
  state       text not null,
  count       bigint not null check (count >= 0),
  primary key (campaign_id, state)
);

-- Depersonalised growth, since erasing people must not erase the chart.
create table list_day (
  list_id      integer not null references list,
  day          date not null,
  asked        bigint not null default 0,
  confirmed    bigint not null default 0,
  refused      bigint not null default 0,
  lapsed       bigint not null default 0,
  unsubscribed bigint not null default 0,
  erased       bigint not null default 0,
  primary key (list_id, day)
);

-- Makes the partition for a week. Made apart and then attached, which does not lock the table against readers and writers.
create function ensure_delivery_week(monday date) returns void language plpgsql as $$
declare
  partition text := format('delivery_%s', to_char(monday, 'IYYY"w"IW'));
begin
  perform pg_advisory_xact_lock(hashtext('ensure_delivery_week'));
  if to_regclass(partition) is not null then
    return;
  end if;
  execute format('create table %I (like delivery including all)', partition);
  execute format('alter table delivery attach partition %I for values from (%L) to (%L)', partition, monday, monday + 7);
end
$$;

-- ------------------------------------------------------------------------------------------------------------- schedule

-- Truth about the schedule: any number of workers tick, one of them runs.
create table job (
  name          text primary key,
  next_run_at   timestamptz not null,
  lease_until   timestamptz,
  leased_by     text,
  epoch         integer not null default 0,
  last_started  timestamptz,
  last_finished timestamptz,
  last_error    text check (length(last_error) <= 300)
);

-- Every run of a promise: rule, when, how many, how old the oldest was. Holds no personal data.
create table retention_run (
  run_id      bigint generated always as identity primary key,
  promise     text not null,
  started_at  timestamptz not null,
  finished_at timestamptz not null check (finished_at >= started_at),
  removed     bigint not null check (removed >= 0),
  oldest_due  timestamptz
);
create index retention_run_latest on retention_run (promise, started_at desc);
create index retention_run_age on retention_run (started_at);

-- Evidence is appended and erased, never changed. A superuser is not bound by this, hence: do not run the program as one.
revoke update on consent_event, withdrawal, retention_run, audit_log from public, current_user;
