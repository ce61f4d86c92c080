-- Writing: drafts that do not become a mail yet, their versions, who has one open, layouts to begin from, images.
-- oldest-program: 10

alter table campaign_content
  drop constraint campaign_content_subject_check,
  drop constraint campaign_content_body_check,
  add column version integer not null default 1 check (version > 0),
  add column fault   text check (length(fault) between 1 and 2000),
  add constraint campaign_content_subject check (length(subject) <= 300),
  -- What nothing is known to be wrong with has a subject and a body; starting asks for that (statement start_campaign).
  add constraint campaign_content_ready check (fault is not null or (subject <> '' and body ~ '\S'));
comment on column campaign_content.version is 'grows with every save; a save names the one that it began from';
comment on column campaign_content.fault is 'why it cannot become a mail yet, with the line; null: it compiled when it was saved';

-- What was saved, who saved it and when. Thinned out with age (campaigns/rules.py); outlives a language that is left out.
create table campaign_version (
  campaign_id integer not null references campaign on delete cascade,
  language    text not null,
  version     integer not null check (version > 0),
  saved_at    timestamptz not null,
  saved_by    integer references operator on delete set null,
  subject     text not null,
  preheader   text not null,
  format      text not null check (format in ('markdown', 'html')),
  body        text not null,
  primary key (campaign_id, language, version)
);
comment on column campaign_version.saved_by is 'null: a program, or somebody who is gone: their name goes with them';

-- Who has a draft open in the editor: a row is good for minutes, and whoever comes next removes it.
create table campaign_open (
  campaign_id integer not null references campaign on delete cascade,
  operator_id integer not null references operator on delete cascade,
  seen_at     timestamptz not null,
  primary key (campaign_id, operator_id)
);

-- A start that a campaign begins from.
create table layout (
  layout_id integer generated always as identity primary key,
  name      text not null unique check (length(name) between 1 and 100),
  subject   text not null default '' check (length(subject) <= 300),
  preheader text not null default '' check (length(preheader) <= 300),
  format    text not null check (format in ('markdown', 'html')),
  body      text not null check (body ~ '\S'),
  version   integer not null default 1 check (version > 0),
  saved_at  timestamptz not null,
  saved_by  integer references operator on delete set null
);

-- Images of letters, re-encoded by us; in the database, since files are only on one host. Named by their content.
create table image (
  hash     text primary key check (hash ~ '^[0-9a-f]{32}$'),
  kind     text not null check (kind in ('jpg', 'png')),
  width    integer not null check (width between 1 and 1200),
  height   integer not null check (height between 1 and 4800),
  name     text not null check (length(name) <= 200),
  alt      text not null check (length(alt) <= 300),
  content  bytea not null check (octet_length(content) between 1 and 10000000),
  added_at timestamptz not null,
  added_by integer references operator on delete set null
);
alter table image alter column content set storage external;  -- It is compressed already.
create index image_newest on image (added_at desc, hash desc);

-- Which texts show which image, whoever wrote them: an image that is in use cannot be deleted.
create table campaign_image (
  campaign_id integer not null,
  language    text not null,
  hash        text not null references image,
  primary key (campaign_id, language, hash),
  foreign key (campaign_id, language) references campaign_content on delete cascade
);
create index campaign_image_use on campaign_image (hash);
create table layout_image (
  layout_id integer not null references layout on delete cascade,
  hash      text not null references image,
  primary key (layout_id, hash)
);
create index layout_image_use on layout_image (hash);

create function images_in(body text) returns setof text language sql stable as $$
  select hash from image
  where hash in (select found[1] from regexp_matches(body, '/images/([0-9a-f]{32})\.(?:jpg|png)', 'g') as found)
$$;

create function note_campaign_images() returns trigger language plpgsql as $$
begin
  delete from campaign_image where campaign_id = new.campaign_id and language = new.language;
  insert into campaign_image select new.campaign_id, new.language, hash from images_in(new.body) as hash;
  return null;
end
$$;
create trigger campaign_content_images after insert or update of body on campaign_content
  for each row execute function note_campaign_images();

create function note_layout_images() returns trigger language plpgsql as $$
begin
  delete from layout_image where layout_id = new.layout_id;
  insert into layout_image select new.layout_id, hash from images_in(new.body) as hash;
  return null;
end
$$;
create trigger layout_images after insert or update of body on layout
  for each row execute function note_layout_images();
