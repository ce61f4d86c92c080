-- And by action.
-- outside-transaction
create index concurrently if not exists audit_log_action on audit_log (action, occurred_at);
