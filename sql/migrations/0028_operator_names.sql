-- Names of operators that differ in case alone are one name, since the log knows people by it. Where there are such names already
-- they stay: all but the oldest of them are marked, which takes them out of the rule. A handful of rows, and older programs go on
-- with them.

alter table operator add column namesake integer not null default 0;
comment on column operator.namesake is 'their own number where an older one had the name, in other case, before that was refused; else 0';
update operator o set namesake = o.operator_id
where exists (select from operator e where lower(e.name) = lower(o.name) and e.operator_id < o.operator_id);
create unique index operator_called on operator (lower(name), namesake);
