-- Who has asked that their data be left alone, among all that is suppressed.
-- outside-transaction
create index concurrently if not exists suppression_pauses on suppression (subscriber_id) where reason = 'restricted';
