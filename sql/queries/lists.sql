-- Lists and their senders, how they grow, and looking through their readers.

-- name: add_sender
-- Who a list's mail comes from.
insert into sender (name, from_address, reply_to, postal_address, contact, legal_notice, created_at)
values (:name, :from_address, :reply_to, :postal_address, :contact, :legal_notice, :now)
returning sender_id;

-- name: add_list
-- The List-Id is fixed here, once.
insert into list (slug, sender_id, visibility, languages, time_zone, list_id_header, return_urls, rate, created_at)
values (:slug, :sender_id, :visibility, :languages, :time_zone, :list_id_header, :return_urls, :rate, :now)
returning list_id;

-- name: set_relay
-- Whose mail goes by which relay; null: by whichever there is. It holds for all lists of the sender.
update sender set relay = :relay where sender_id = :sender_id;

-- name: close_list
-- For good. Waits for a campaign that is being started at this moment.
update list set closed_at = :now where list_id = :list_id and closed_at is null returning true;

-- name: keep_open
-- Whether the list is open, and stays so until this transaction ends.
select closed_at is null from list where list_id = :list_id for share;

-- name: put_list_text
-- What a list calls itself in one language.
insert into list_text (list_id, language, name, description, wording, welcome_subject, welcome_text)
values (:list_id, :language, :name, :description, :wording, :welcome_subject, :welcome_text)
on conflict (list_id, language) do update
set name = excluded.name, description = excluded.description, wording = excluded.wording, welcome_subject = excluded.welcome_subject,
    welcome_text = excluded.welcome_text;

-- name: drop_list_texts
-- Of the languages that a list has no longer.
delete from list_text where list_id = :list_id and language <> all(:languages::text[]);

-- name: lock_list
-- Whoever edits a list waits for whoever else does; false when it is closed.
select closed_at is null from list where list_id = :list_id for update;

-- name: edit_list
update list
set sender_id = :sender_id, visibility = :visibility, languages = :languages, time_zone = :time_zone, return_urls = :return_urls,
    rate = :rate
where list_id = :list_id;

-- name: speaks
-- Whether somebody reads a list in that language, or has been asked in it.
select exists (select from subscription where list_id = :list_id and language = :language);

-- name: senders
-- All of them, each with the lists that it has.
select s.sender_id, s.name, s.from_address, s.reply_to, s.postal_address, s.contact, s.legal_notice, s.relay,
       array(select l.slug from list l where l.sender_id = s.sender_id order by l.slug) as slugs
from sender s order by s.name;

-- name: lock_sender
-- One after the other changes it.
select true from sender where sender_id = :sender_id for update;

-- name: edit_sender
-- For all lists of it.
update sender
set name = :name, from_address = :from_address, reply_to = :reply_to, postal_address = :postal_address, contact = :contact,
    legal_notice = :legal_notice, relay = :relay
where sender_id = :sender_id returning true;

-- name: note_wording
-- That a list asks, or asked, with these words.
insert into list_wording (list_id, wording_hash, since) values (:list_id, :wording_hash, :now) on conflict do nothing;

-- name: asked_with
-- Whether these are words that stood beside the button of this list's form.
select exists (
  select from list_wording lw join wording w using (wording_hash)
  where lw.list_id = :list_id and lw.wording_hash = :wording_hash and w.kind = 'form');

-- name: list_wordings
-- The words that a list asked with, newest first.
select w.kind, w.language, w.content, lw.since
from list_wording lw join wording w using (wording_hash)
where lw.list_id = :list_id order by lw.since desc, w.kind, w.language limit :size;

-- name: find_sender
-- By its name, for the command line.
select sender_id from sender where name = :name;

-- name: lists
-- All lists with their sender and texts, or those that are named; there are few of them. Closed and private ones too.
select l.list_id, l.slug, l.visibility, l.languages, l.time_zone, l.list_id_header, l.return_urls, l.closed_at is not null as closed,
       l.rate, s.sender_id, s.name as sender_name, s.from_address, s.reply_to, s.postal_address, s.contact, s.legal_notice, s.relay,
       array(select t.language from list_text t where t.list_id = l.list_id order by t.language) as text_languages,
       array(select t.name from list_text t where t.list_id = l.list_id order by t.language) as names,
       array(select t.description from list_text t where t.list_id = l.list_id order by t.language) as descriptions,
       array(select t.wording from list_text t where t.list_id = l.list_id order by t.language) as wordings,
       array(select t.welcome_subject from list_text t where t.list_id = l.list_id order by t.language) as welcome_subjects,
       array(select t.welcome_text from list_text t where t.list_id = l.list_id order by t.language) as welcome_texts
from list l join sender s using (sender_id)
where (:slugs::text[] is null or l.slug = any(:slugs::text[])) and (:list_ids::integer[] is null or l.list_id = any(:list_ids::integer[]))
order by l.list_id;

-- name: list_sizes
-- Readers per list and state.
select list_id, state, count(*)::bigint as count from subscription group by list_id, state;

-- name: known_sizes
-- The same without reading millions of rows: each as far as :most, and what was counted last. Ordered, so that the index alone is
-- read and no further than that.
select l.list_id, live.confirmed, live.pending, live.unsubscribed, z.confirmed as counted_confirmed, z.pending as counted_pending,
       z.unsubscribed as counted_unsubscribed, z.counted_at
from list l left join list_size z using (list_id) cross join lateral (
  select (select count(*) from (select subscriber_id from subscription
          where list_id = l.list_id and state = 'confirmed' order by subscriber_id limit :most) few) as confirmed,
         (select count(*) from (select subscriber_id from subscription
          where list_id = l.list_id and state = 'pending' order by subscriber_id limit :most) few) as pending,
         (select count(*) from (select subscriber_id from subscription
          where list_id = l.list_id and state = 'unsubscribed' order by subscriber_id limit :most) few) as unsubscribed
) live
where :list_id::integer is null or l.list_id = :list_id
order by l.list_id;

-- name: count_part
-- How many readers of each list are in each state, among those whose ids lie in a part of all: read from the indexes, which are in
-- the order of ids, so that the whole table is read by no statement.
select l.list_id,
       (select count(*) from subscription where list_id = l.list_id and state = 'confirmed'
        and subscriber_id between :first_id and :last_id) as confirmed,
       (select count(*) from subscription where list_id = l.list_id and state = 'pending'
        and subscriber_id between :first_id and :last_id) as pending,
       (select count(*) from subscription where list_id = l.list_id and state = 'unsubscribed'
        and subscriber_id between :first_id and :last_id) as unsubscribed
from list l;

-- name: keep_sizes
-- What was counted, list by list.
insert into list_size (list_id, confirmed, pending, unsubscribed, counted_at)
select list_id, confirmed, pending, unsubscribed, :now
from unnest(:list_ids::integer[], :confirmed::bigint[], :pending::bigint[], :unsubscribed::bigint[])
     as counted (list_id, confirmed, pending, unsubscribed)
on conflict (list_id) do update
set confirmed = excluded.confirmed, pending = excluded.pending, unsubscribed = excluded.unsubscribed,
    counted_at = excluded.counted_at;

-- name: growth
-- What came and went since a day, list by list.
select l.list_id, coalesce(d.confirmed, 0)::bigint as confirmed, coalesce(d.unsubscribed, 0)::bigint as unsubscribed
from list l cross join lateral (
  select sum(confirmed) as confirmed, sum(unsubscribed) as unsubscribed from list_day
  where list_id = l.list_id and day >= :since::date
) d order by l.list_id;

-- name: list_months
-- One list's months since that day; a month without anything has no row.
select date_trunc('month', day::timestamp)::date as month, sum(asked)::bigint as asked, sum(confirmed)::bigint as confirmed,
       sum(unsubscribed)::bigint as unsubscribed, sum(refused)::bigint as refused, sum(lapsed)::bigint as lapsed
from list_day where list_id = :list_id and day >= :since::date group by 1 order by 1;

-- name: people_after
-- A page of everybody, by id: as quick at the millionth as at the first.
select subscriber_id from subscriber where subscriber_id > :edge order by subscriber_id limit :size;

-- name: people_before
-- The page that ends before somebody, from its end.
select subscriber_id from subscriber where subscriber_id < :edge order by subscriber_id desc limit :size;

-- name: subscribed_after
-- A page of those with a subscription in one of these states, to one list or (null) to any. List by list and state by state, each
-- with an index of its own and no further than the page is long.
select distinct s.subscriber_id from list l cross join lateral (
  (select subscriber_id from subscription where list_id = l.list_id and state = 'confirmed' and 'confirmed' = any(:states::text[])
   and subscriber_id > :edge order by subscriber_id limit :size)
  union all
  (select subscriber_id from subscription where list_id = l.list_id and state = 'pending' and 'pending' = any(:states::text[])
   and subscriber_id > :edge order by subscriber_id limit :size)
  union all
  (select subscriber_id from subscription where list_id = l.list_id and state = 'unsubscribed' and 'unsubscribed' = any(:states::text[])
   and subscriber_id > :edge order by subscriber_id limit :size)
) s
where :list_id::integer is null or l.list_id = :list_id
order by s.subscriber_id limit :size;

-- name: subscribed_before
-- The same that ends before somebody, from its end.
select distinct s.subscriber_id from list l cross join lateral (
  (select subscriber_id from subscription where list_id = l.list_id and state = 'confirmed' and 'confirmed' = any(:states::text[])
   and subscriber_id < :edge order by subscriber_id desc limit :size)
  union all
  (select subscriber_id from subscription where list_id = l.list_id and state = 'pending' and 'pending' = any(:states::text[])
   and subscriber_id < :edge order by subscriber_id desc limit :size)
  union all
  (select subscriber_id from subscription where list_id = l.list_id and state = 'unsubscribed' and 'unsubscribed' = any(:states::text[])
   and subscriber_id < :edge order by subscriber_id desc limit :size)
) s
where :list_id::integer is null or l.list_id = :list_id
order by s.subscriber_id desc limit :size;

-- name: paused_after
-- A page of those whom a pause keeps from one list or (null) from any. A pause of every list is one of this list too.
select distinct subscriber_id from suppression
where reason = 'restricted' and (until is null or until > :now) and (:list_id::integer is null or list_id in (0, :list_id))
  and subscriber_id > :edge
order by subscriber_id limit :size;

-- name: paused_before
-- The same that ends before somebody, from its end.
select distinct subscriber_id from suppression
where reason = 'restricted' and (until is null or until > :now) and (:list_id::integer is null or list_id in (0, :list_id))
  and subscriber_id < :edge
order by subscriber_id desc limit :size;

-- name: beginning_with
-- Whose address begins so, in the order of addresses, after the last one of the page before, if any. The operators compare
-- octets, as the index does; a collation beside them would keep the index from serving.
select subscriber_id, lower(address) as place from subscriber
where lower(address) ~>=~ coalesce(nullif(:after::text, ''), :beginning::text) and lower(address) ~<~ (:beginning::text || chr(1114111))
  and (lower(address) ~>~ :after::text or subscriber_id > :after_id)
order by lower(address) using ~<~, subscriber_id limit :size;

-- name: people
-- What a page says of each of them.
select p.subscriber_id, p.address, p.name, p.created_at, p.left_at,
       array(select s.list_id from subscription s where s.subscriber_id = p.subscriber_id order by s.list_id) as list_ids,
       array(select s.state from subscription s where s.subscriber_id = p.subscriber_id order by s.list_id) as states,
       exists (select from suppression u where u.subscriber_id = p.subscriber_id and u.reason = 'restricted'
               and (u.until is null or u.until > :now)) as paused
from subscriber p where p.subscriber_id = any(:subscriber_ids::uuid[])
order by array_position(:subscriber_ids::uuid[], p.subscriber_id);
