-- Writing campaigns, and where they stand.

-- name: add_campaign
insert into campaign (list_id, name, uncertain_policy, is_notice, created_at)
values (:list_id, :name, :uncertain_policy, :is_notice, :now)
returning campaign_id;

-- name: put_content
-- One language's words.
insert into campaign_content (campaign_id, language, subject, preheader, format, body)
values (:campaign_id, :language, :subject, :preheader, :format, :body)
on conflict (campaign_id, language) do update
set subject = excluded.subject, preheader = excluded.preheader, format = excluded.format, body = excluded.body;

-- name: campaign
select campaign_id, list_id, name, state, created_at, started_at, finished_at, message_key, message_domain, planned,
       pause_reason
from campaign where campaign_id = :campaign_id;

-- name: campaigns
-- Newest first.
select campaign_id, list_id, name, state, created_at, started_at, finished_at, message_key, message_domain, planned,
       pause_reason
from campaign where campaign_id < :before order by campaign_id desc limit :size;

-- name: contents
-- All languages of a campaign.
select language, subject, preheader, format, body from campaign_content where campaign_id = :campaign_id order by language;

-- name: pause
update campaign set state = 'paused' where campaign_id = :campaign_id and state = 'sending' returning true;

-- name: resume
update campaign set state = 'sending', pause_reason = null where campaign_id = :campaign_id and state = 'paused' returning true;

-- name: cancel
-- For good. What was begun is finished; nothing else is.
update campaign set state = 'cancelled', finished_at = :now, pause_reason = null
where campaign_id = :campaign_id and state in ('draft', 'scheduled', 'sending', 'paused')
returning true;

-- name: count_under_way
select count(*)::integer from campaign where state in ('sending', 'paused');
