-- To find somebody by how their address begins. An address never changes, so that only signing up and erasing pay for it.
-- outside-transaction
create index concurrently if not exists subscriber_beginning on subscriber (lower(address) text_pattern_ops);
