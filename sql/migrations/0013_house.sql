-- The pages that look after the house: single mails that were given up are found without reading all that wait.

create index outbox_failed on outbox (created_at) where state = 'failed';
