-- Migration 21 made a better one.
-- outside-transaction
drop index concurrently if exists audit_log_operator;
