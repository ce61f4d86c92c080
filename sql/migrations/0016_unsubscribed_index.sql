-- Who used the way out of a campaign's mail. Built while people go on signing up and unsubscribing.
-- outside-transaction
create index concurrently if not exists consent_event_campaign on consent_event (campaign_id, subscriber_id)
  where kind = 'unsubscribed' and campaign_id is not null;
