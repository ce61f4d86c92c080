-- Who is put aside for a slow domain has a turn in its queue, or asks for one when due.
-- oldest-program: 6

alter table delivery
  add column has_turn boolean not null default false,
  add constraint delivery_has_turn check (not has_turn or paced);
comment on column delivery.paced is 'put aside, not attempted: its domain takes no more for now, or the relay for it is away';
comment on column delivery.has_turn is 'retry_at is its turn in the queue of its domain, given at attempted_at; otherwise it asks for one then';
