-- A report counts receivers part by part, so that no statement reads a million deliveries. What the parts found stands here until it
-- is added up: within one transaction, so that nobody else ever sees a row, and unlogged, since nobody would miss one after a crash.
-- A new table alone: pages and workers go on meanwhile.

create unlogged table campaign_domain_part (
  campaign_id integer not null,
  domain      text not null,
  state       text not null,
  count       bigint not null
);
comment on table campaign_domain_part is 'empty but for the transaction that makes a report';
