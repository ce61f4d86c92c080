-- Measuring this machine, in a database of its own.

-- name: make_database
-- Beside the one that is used otherwise, on the same server.
create database newsletter_bench;

-- name: drop_database
-- With whoever is still connected.
drop database if exists newsletter_bench with (force);

-- name: make_people
-- Readers that do not exist, ids spread as evenly as real ones.
insert into subscriber (subscriber_id, address, domain, name, language, created_at)
select md5('bench' || number)::uuid, 'reader' || number || '@d' || number % 500 || '.example', 'd' || number % 500 || '.example',
       (array['Ada', 'Benedikt', 'Chloé', 'Dmitri', 'Elif'])[1 + number % 5] || ' ' || number, 'en', :now
from generate_series(1, :readers::integer) as number
order by 1;

-- name: subscribe_people
-- All of them, confirmed.
insert into subscription (subscriber_id, list_id, state, language, requested_at, confirmed_at)
select p.subscriber_id, l.list_id, 'confirmed', 'en', :now, :now from subscriber p, list l order by 1;

-- name: tidy_up
-- What autovacuum would have done by the time that a list has grown so large.
vacuum (analyze) subscriber;

-- name: tidy_up_subscriptions
-- The same for the audience.
vacuum (analyze) subscription;

-- name: first_handed_over
-- When the first mail of a campaign was on its way.
select min(attempted_at) from delivery where campaign_id = :campaign_id;

-- name: count_workers
-- That are up.
select count(*)::integer from worker;
