-- People who sign in to the console: passwords, second factors, sessions, links that work once.
-- oldest-program: 9

alter table operator
  add column address    text check (length(address) between 3 and 254 and address !~ '[[:cntrl:][:space:]]'),
  add column normal     text unique,
  add column password   text check (password like '$argon2id$%' and length(password) <= 300),
  add column totp       bytea check (octet_length(totp) = 12 + 20 + 16),
  add column totp_since timestamptz,
  add column totp_step  bigint,
  add constraint operator_address check (num_nulls(address, normal) in (0, 2)),
  add constraint operator_password check (password is null or address is not null),
  add constraint operator_totp check (totp is not null or num_nulls(totp_since, totp_step) = 2),
  -- Who was let go is named by the log alone.
  add constraint operator_gone check (disabled_at is null or num_nulls(address, password, totp) = 3);
comment on column operator.normal is 'normal form of the address, by which they sign in';
comment on column operator.totp is 'secret of the second factor, wrapped like those in table key';
comment on column operator.totp_since is 'when its first code was given; null: it is being set up, and asked of nobody';
comment on column operator.totp_step is 'the last half minute whose code was used: neither it nor an earlier one is taken again';

-- Each works once, in place of a second factor's code.
create table operator_recovery (
  operator_id integer not null references operator on delete cascade,
  digest      bytea not null check (octet_length(digest) = 32),
  primary key (operator_id, digest)
);

-- A browser that is signed in. Its cookie is not stored, only the hash of it.
create table operator_session (
  session_id  bigint generated always as identity primary key,
  operator_id integer not null references operator on delete cascade,
  digest      bytea not null unique check (octet_length(digest) = 32),
  is_whole    boolean not null,
  created_at  timestamptz not null,
  seen_at     timestamptz not null,
  idle_at     timestamptz not null,
  ends_at     timestamptz not null check (ends_at > created_at and idle_at <= ends_at),
  network     text not null check (length(network) <= 50),
  agent       text not null check (length(agent) <= 300)
);
comment on column operator_session.is_whole is 'false: the password was right, and the second factor is still to be given';
comment on column operator_session.idle_at is 'ends then, unless it is used before';
create index operator_session_end on operator_session (idle_at);
create index operator_session_operator on operator_session (operator_id);

-- A link that sets a password: mailed, or shown to whoever invites. Its token is an HMAC and is not stored.
create table operator_link (
  link_id     bigint generated always as identity primary key,
  operator_id integer not null references operator on delete cascade,
  created_at  timestamptz not null,
  expires_at  timestamptz not null check (expires_at > created_at),
  used_at     timestamptz
);
create index operator_link_end on operator_link (expires_at);
create index operator_link_operator on operator_link (operator_id);

alter table limit_hit drop constraint limit_hit_kind_check;
alter table limit_hit add constraint limit_hit_kind check (kind in ('network', 'mail', 'sign_in'));

alter table outbox drop constraint outbox_kind;
alter table outbox
  add constraint outbox_kind check (kind in ('confirm', 'already', 'data', 'contact', 'notice', 'operator'));
comment on column outbox.request_id is 'of a data_request (kind data), a contact_message (contact) or an operator_link (operator)';

create index audit_log_operator on audit_log (operator, audit_id);
