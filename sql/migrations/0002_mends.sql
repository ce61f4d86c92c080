-- What a review of the ground found: bounds that were missing, indexes for what expires, a column that nobody read.
-- oldest-program: 2

-- A link holds the number of its key in one byte.
alter table key add constraint key_fits_a_token check (key_id between 0 and 255);

-- A confirm link is nobody's business once its time is over, used or not: it is deleted by this.
create index confirmation_expiry on confirmation (expires_at);

-- Refusals go after 30 days, the others after three years: without this, each look for the former reads all of the latter.
create index withdrawal_refused on withdrawal (occurred_at) where kind = 'refused';

alter table signup_request drop column attempts;
