-- Beside subscription_audience, for the states that people are in for some days or weeks: small.
-- outside-transaction
create index concurrently if not exists subscription_others on subscription (list_id, state, subscriber_id)
  where state <> 'confirmed';
