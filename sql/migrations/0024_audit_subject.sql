-- Whom a line of the audit log is about stands beside it, as a code and while they are here: it is swept with the person, and the line
-- stays. No foreign key leads to the log: checking one locks the line, which takes the right to change it, and nobody has that.
-- Somebody who was here before and asked anew is begun anew by an older program without taking the lines of the old life from them.
-- That older programs leave a code without its line, where they expire the log, is mended by the next that knows of it.
-- oldest-program: 24

create table audit_subject (
  subscriber_id uuid not null references subscriber on delete cascade,
  audit_id      bigint not null,
  primary key (subscriber_id, audit_id)
);
create index audit_subject_line on audit_subject (audit_id);
comment on table audit_subject is 'subject table: the reader whom a line of the audit log is about';
