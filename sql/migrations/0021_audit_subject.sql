-- The log is found by day and by action, too; a year of it is indexed in a moment. And whom a line is about stands beside it, as a
-- code and while they are here: it is swept with the person, and the line stays. No foreign key leads to the log: checking one
-- locks the line, which takes the right to change it, and nobody has that.

create index audit_log_operator_age on audit_log (operator, occurred_at);
create index audit_log_action on audit_log (action, occurred_at);
drop index audit_log_operator;

create table audit_subject (
  subscriber_id uuid not null references subscriber on delete cascade,
  audit_id      bigint not null,
  primary key (subscriber_id, audit_id)
);
create index audit_subject_line on audit_subject (audit_id);
comment on table audit_subject is 'subject table: the reader whom a line of the audit log is about';
