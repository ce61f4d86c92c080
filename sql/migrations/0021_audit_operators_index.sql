-- The log is found by day within what one operator did. Built while people go on writing it.
-- outside-transaction
create index concurrently if not exists audit_log_operator_age on audit_log (operator, occurred_at);
