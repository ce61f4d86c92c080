-- Which week a partition of deliveries holds, asked of nothing else. PostgreSQL may look at the name of every table before it looks
-- whose partition it is: to_date then failed on names that are no week, by the plan that it happened to choose.

create function week_of_partition(relname name) returns date language sql immutable as $$
  select case when relname ~ '^delivery_[0-9]{4}w[0-9]{2}$' then to_date(right(relname, 7), 'IYYY"w"IW') end
$$;

create or replace function drop_delivery_week(before date) returns table (removed bigint, monday date) language plpgsql as $$
declare
  partition regclass;
begin
  select c.oid::regclass, week_of_partition(c.relname)
  into partition, monday
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'delivery'::regclass and week_of_partition(c.relname) < before
    and not exists (
      select from campaign k where k.week = week_of_partition(c.relname) and k.state in ('sending', 'paused'))
  order by 2 limit 1;
  if partition is null then
    return;
  end if;
  -- All that dropping takes, at once and of the parent first: whoever came in between would wait for us as we wait for them.
  -- Nobody is kept waiting for long behind this: it is tried again.
  perform set_config('lock_timeout', '2s', true);
  lock table only delivery in access exclusive mode;
  execute format('lock table %s in share row exclusive mode', partition);
  execute format(
    'insert into delivery_folded as f (campaign_id, state, count)
     select campaign_id, state, count(*) from %s group by 1, 2 order by 1, 2
     on conflict (campaign_id, state) do update set count = f.count + excluded.count', partition);
  execute format('select count(*) from %s', partition) into removed;
  execute format('drop table %s', partition);
  return next;
end
$$;
