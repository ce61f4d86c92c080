-- What became of mails to readers who were erased while their campaign was under way, by domain: its report counts them on. The
-- domain stays only where the report had named it already, being that of at least 20 readers; all others are the empty one.
-- Gone again with the campaign's last report. A new table and nothing else: pages and older workers go on meanwhile.

create table delivery_folded_domain (
  campaign_id integer not null references campaign on delete cascade,
  domain      text not null,
  state       text not null check (state in ('accepted', 'failed', 'uncertain')),
  count       bigint not null check (count > 0),
  primary key (campaign_id, domain, state)
);
comment on table delivery_folded_domain is 'sums of erased readers, nobody''s in particular: domain empty but where many have it';
