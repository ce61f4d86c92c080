-- Evidence of consent goes with the life of a person here, and in no other way. The register of requests knows which message of
-- the privacy page could not be handed over.
-- oldest-program: 8

-- Deleting cannot be revoked as updating is: what cascades from `subscriber` runs with the rights of this table's owner, who the
-- program is. Hence a trigger, once for each statement: a cascade comes from within another trigger, and passes; so does the one
-- statement that ends somebody's life here and keeps what they have asked anew, which says so beforehand. It guards against slips,
-- not against whoever may drop it.
-- Where a cluster distributes this table, distribute it without the triggers (drop them before): nothing but this guard is lost.
-- Who wants it there makes it on each shard.
create function refuse_to_delete_evidence() returns trigger language plpgsql as $$
begin
  raise exception 'Evidence of consent goes with the person that it is about: delete that row of subscriber.'
    using errcode = 'insufficient_privilege';
end $$;
create trigger evidence_is_only_erased before delete on consent_event for each statement
  when (pg_trigger_depth() = 0 and current_setting('newsletter.ends_lives', true) is distinct from 'yes')
  execute function refuse_to_delete_evidence();
create trigger evidence_is_not_truncated before truncate on consent_event for each statement
  execute function refuse_to_delete_evidence();

alter table rights_request add column message_id bigint;
comment on column rights_request.message_id is
  'of the contact_message that it came with, until that was handed over as a mail; stays where it never was';
