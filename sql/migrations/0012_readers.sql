-- Lists and readers as operators look at them: sizes that are kept, which words a list asked with. The indexes to browse
-- millions by have migrations of their own.

-- First what takes long, of all evidence that there is, while no table of others is locked: whoever signs up notices nothing.

-- Which words a list asked with, and since when: each once, when they were first used or decided on. Forms for several lists at
-- once say the same of all of them, and are not listed.
create table list_wording (
  list_id      integer not null,
  wording_hash bytea not null,
  since        timestamptz not null,
  primary key (list_id, wording_hash)
);
insert into list_wording (list_id, wording_hash, since)
select list_id, wording_hash, min(occurred_at)
from consent_event where list_id is not null and wording_hash is not null group by list_id, wording_hash;
alter table list_wording
  add foreign key (list_id) references list,
  add foreign key (wording_hash) references wording;

alter table list_text
  add column wording text not null default '',
  add constraint list_text_wording check (length(wording) <= 400 and wording !~ '[[:cntrl:]]');
comment on column list_text.wording is 'the operator''s own sentence beside the button of the form; empty: ours';

-- How many readers a list has, as counted by a job every few minutes: counting a million takes too long for a page.
create table list_size (
  list_id      integer primary key references list,
  confirmed    bigint not null check (confirmed >= 0),
  pending      bigint not null check (pending >= 0),
  unsubscribed bigint not null check (unsubscribed >= 0),
  counted_at   timestamptz not null
);
