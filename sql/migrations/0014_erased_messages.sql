-- Who wrote a message on the privacy page and was erased before it was handed over: the register says so.
-- A program that knows nothing of it writes such a line as it did, without that word.

alter table rights_request add column writer_erased boolean not null default false,
  add constraint rights_request_erased check (not writer_erased or message_id is null);
comment on column rights_request.writer_erased is 'the message that it came with was deleted with the person, and never handed over';
