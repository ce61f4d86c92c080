-- What became of mails to readers who were erased while their campaign was under way, for its report: by domain, and by what relays
-- said. The domain stays only where the report had named it already, being that of at least 20 readers; all others are the empty one.
-- Both go after the campaign's last report; what an erasure that began before it still writes goes a moment later.
-- New tables and a function alone: pages go on meanwhile. Readers whom an older program erases are missing from the report's receivers
-- and reasons, as they were before; the totals have them.

create table delivery_folded_domain (
  campaign_id integer not null references campaign on delete cascade,
  domain      text not null,
  state       text not null check (state in ('accepted', 'failed', 'uncertain')),
  count       bigint not null check (count > 0),
  primary key (campaign_id, domain, state)
);
comment on table delivery_folded_domain is 'sums of erased readers, nobody''s in particular: domain empty but where many have it';

create table delivery_folded_reply (
  campaign_id integer not null references campaign on delete cascade,
  state       text not null check (state in ('failed', 'uncertain', 'skipped')),
  code        integer not null,
  status      text not null,
  hint        text not null check (hint ~ '^[a-z]*$'),
  count       bigint not null check (count > 0),
  primary key (campaign_id, state, code, status, hint)
);
comment on table delivery_folded_reply is 'sums of erased readers by what a relay said, in groups; never its words';

-- What can be told from a relay's words alone.
create function reply_hint(reply text) returns text language sql immutable as $$
  select case when reply ~* 'gr[ae]y.?list' then 'greylisted'
              when reply ~* 'quota|(mailbox|inbox).{0,20}full' then 'full'
              when reply ~* 'spam|virus|malware|phish|content' then 'content'
              when reply ~* 'block|blacklist|reputation|spf|dkim|dmarc|reverse dns|ptr' then 'sender'
              when reply ~* 'rate|too many|too fast|throttl' then 'busy'
              else '' end
$$;
