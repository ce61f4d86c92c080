-- A sender is named on the command line by its name alone, which therefore means one.

-- Of two of one name the command line found the first; the later ones are told apart by their number from now on.
update sender s set name = left(s.name, 90) || ' ' || s.sender_id
where exists (select from sender earlier where earlier.name = s.name and earlier.sender_id < s.sender_id);
alter table sender add constraint sender_name_is_one unique (name);

-- Name and language that somebody asked with: they become the person's when that request is confirmed, and not before. Null in
-- rows of programs that did not know these columns.
alter table confirmation add column name text check (length(name) <= 100 and name !~ '[[:cntrl:]]');
alter table confirmation add column language text;
comment on column confirmation.language is 'that the mail was written in; each subscription has its own';
