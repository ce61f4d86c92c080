-- Campaigns: making, starting, pausing and ending them.

-- name: add_campaign
insert into campaign (list_id, name, uncertain_policy, is_notice, created_at)
values (:list_id, :name, :uncertain_policy, :is_notice, :now)
returning campaign_id;

-- name: put_content
-- One language's words, which have compiled.
insert into campaign_content (campaign_id, language, subject, preheader, format, body)
values (:campaign_id, :language, :subject, :preheader, :format, :body)
on conflict (campaign_id, language) do update
set subject = excluded.subject, preheader = excluded.preheader, format = excluded.format, body = excluded.body,
    version = campaign_content.version + 1, fault = null;

-- name: campaign
select campaign_id, list_id, name, state, created_at, started_at, finished_at, message_key, message_domain, planned,
       pause_reason
from campaign where campaign_id = :campaign_id;

-- name: contents
-- All languages of a campaign.
select language, subject, preheader, format, body from campaign_content where campaign_id = :campaign_id order by language;

-- name: pause
update campaign set state = 'paused' where campaign_id = :campaign_id and state = 'sending' returning true;

-- name: resume
update campaign set state = 'sending', pause_reason = null where campaign_id = :campaign_id and state = 'paused' returning true;

-- name: cancel
-- For good. What was begun is finished; nothing else is.
update campaign set state = 'cancelled', finished_at = :now, pause_reason = null, returned_reason = null
where campaign_id = :campaign_id and state in ('draft', 'scheduled', 'sending', 'paused')
returning true;

-- name: count_under_way
select count(*)::integer from campaign where state in ('sending', 'paused');

-- Sending later, again, or not at all.

-- name: schedule
-- A draft, or one that was to start at another time.
update campaign set state = 'scheduled', scheduled_at = :at, returned_reason = null
where campaign_id = :campaign_id and state in ('draft', 'scheduled') returning true;

-- name: unschedule
-- A draft again.
update campaign set state = 'draft', scheduled_at = null
where campaign_id = :campaign_id and state = 'scheduled' returning true;

-- name: return_to_draft
-- The same by itself, with the reason, where nobody has changed the time meanwhile.
update campaign set state = 'draft', scheduled_at = null, returned_reason = :reason
where campaign_id = :campaign_id and state = 'scheduled' and scheduled_at <= :now returning true;

-- name: is_due
-- Whether it is to start still, and stays so until this transaction ends.
select state = 'scheduled' and scheduled_at <= :now from campaign where campaign_id = :campaign_id for no key update;

-- name: due_campaigns
select campaign_id, scheduled_at from campaign
where state = 'scheduled' and scheduled_at <= :now order by scheduled_at, campaign_id;

-- name: copy_campaign
-- As a new draft.
insert into campaign (list_id, name, uncertain_policy, created_at)
select list_id, :name, uncertain_policy, :now from campaign where campaign_id = :campaign_id
returning campaign_id;

-- name: copy_contents
-- With what is wrong with them, if anything.
insert into campaign_content (campaign_id, language, subject, preheader, format, body, fault)
select :copy, language, subject, preheader, format, body, fault from campaign_content where campaign_id = :campaign_id;

-- name: delete_draft
delete from campaign where campaign_id = :campaign_id and state = 'draft' returning true;

-- name: hold_trials
-- Test mails of one operator are counted one after the other.
select pg_advisory_xact_lock(hashtextextended('test mails of ' || :operator::text, 0));

-- name: count_trials
select count(*)::integer from audit_log where operator = :operator and action = :action and occurred_at > :since;
