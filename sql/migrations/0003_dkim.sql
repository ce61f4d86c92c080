-- Keys that mails are signed with (DKIM), several for a sender: RSA and Ed25519 side by side, since not all receivers verify
-- Ed25519, and an old and a new selector while one follows the other.

create table dkim_key (
  sender_id  integer not null references sender on delete cascade,
  selector   text not null check (selector ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$'),
  domain     text not null check (domain ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$'),
  kind       text not null check (kind in ('rsa', 'ed25519')),
  wrapped    bytea not null check (octet_length(wrapped) between 12 + 48 + 16 and 16384),
  created_at timestamptz not null,
  active_at  timestamptz check (active_at >= created_at),
  primary key (sender_id, selector),
  check (length(selector) + length('._domainkey.') + length(domain) <= 253)
);
create unique index dkim_key_one_active on dkim_key (sender_id, kind) where active_at is not null;
comment on column dkim_key.selector is 'with domain names the TXT record of the public key: selector._domainkey.domain';
comment on column dkim_key.wrapped is 'private key (PKCS#8), wrapped like those in table key, and bound to its row';
comment on column dkim_key.active_at is 'since when mails are signed with it; null: not (yet)';

-- Their predecessors, which nothing used.
alter table sender drop column dkim_selector, drop column dkim_domain, drop column dkim_key;
