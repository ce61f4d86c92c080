-- Writing: drafts and their versions, layouts, images, and what is looked at before a campaign is sent.

-- name: hold_draft
-- Nobody starts, cancels or writes it until this transaction ends.
select list_id, state from campaign where campaign_id = :campaign_id for update;

-- name: written
-- One language's words, and which version of them.
select language, subject, preheader, format, body, version, fault
from campaign_content where campaign_id = :campaign_id and language = :language;

-- name: written_languages
select language, version, fault from campaign_content where campaign_id = :campaign_id order by language;

-- name: save_content
-- Whatever is wrong with it: `fault` says what.
insert into campaign_content (campaign_id, language, subject, preheader, format, body, version, fault)
values (:campaign_id, :language, :subject, :preheader, :format, :body, :version, :fault)
on conflict (campaign_id, language) do update
set subject = excluded.subject, preheader = excluded.preheader, format = excluded.format, body = excluded.body,
    version = excluded.version, fault = excluded.fault;

-- name: set_fault
-- Of a content that is still that version.
update campaign_content set fault = :fault
where campaign_id = :campaign_id and language = :language and version = :version and fault is distinct from :fault;

-- name: keep_before
-- The version that is about to be replaced, where it was written before versions were kept, or by a program.
insert into campaign_version (campaign_id, language, version, saved_at, subject, preheader, format, body)
select c.campaign_id, c.language, c.version, k.created_at, c.subject, c.preheader, c.format, c.body
from campaign_content c join campaign k using (campaign_id)
where c.campaign_id = :campaign_id and c.language = :language
on conflict do nothing;

-- name: add_version
insert into campaign_version (campaign_id, language, version, saved_at, saved_by, subject, preheader, format, body)
values (:campaign_id, :language, :version, :now, (select operator_id from operator where name = :by),
        :subject, :preheader, :format, :body);

-- name: last_version
-- Of those that there were, a language that is left out included.
select coalesce(max(version), 0) from campaign_version where campaign_id = :campaign_id and language = :language;

-- name: versions
-- Newest first, without their bodies.
select version, saved_at, coalesce(o.name, '') as saved_by, subject, octet_length(body) as size
from campaign_version left join operator o on o.operator_id = saved_by where campaign_id = :campaign_id and language = :language order by version desc;

-- name: version
select version, saved_at, coalesce(o.name, '') as saved_by, subject, preheader, format, body
from campaign_version left join operator o on o.operator_id = saved_by where campaign_id = :campaign_id and language = :language and version = :version;

-- name: drop_versions
delete from campaign_version
where campaign_id = :campaign_id and language = :language and version = any(:numbers);

-- name: drop_content
delete from campaign_content where campaign_id = :campaign_id and language = :language returning true;

-- name: rename_campaign
update campaign set name = :name where campaign_id = :campaign_id and name <> :name returning true;

-- name: note_open
insert into campaign_open (campaign_id, operator_id, seen_at)
select :campaign_id, operator_id, :now from operator where name = :operator
on conflict (campaign_id, operator_id) do update set seen_at = excluded.seen_at;

-- name: forget_open
-- A table of a few rows: those of the last minutes.
with gone as (delete from campaign_open where seen_at < :before returning 1) select count(*)::integer from gone;

-- name: open_by
-- Others who have it open.
select o.name from campaign_open join operator o using (operator_id)
where campaign_id = :campaign_id and o.name <> :operator and seen_at >= :since order by o.name;

-- name: add_layout
insert into layout (name, subject, preheader, format, body, saved_at, saved_by)
values (:name, :subject, :preheader, :format, :body, :now, (select operator_id from operator where name = :by))
returning layout_id;

-- name: save_layout
-- Unless somebody has saved it since.
update layout
set name = :name, subject = :subject, preheader = :preheader, format = :format, body = :body, version = version + 1,
    saved_at = :now, saved_by = (select operator_id from operator where name = :by)
where layout_id = :layout_id and version = :version
returning true;

-- name: layout
select layout_id, l.name, subject, preheader, format, body, version, saved_at, coalesce(o.name, '') as saved_by
from layout l left join operator o on o.operator_id = l.saved_by where layout_id = :layout_id;

-- name: layouts
-- By name. There are a few dozen at most, since people write them.
select layout_id, l.name, subject, format, saved_at, coalesce(o.name, '') as saved_by
from layout l left join operator o on o.operator_id = l.saved_by
where l.name > :after order by l.name limit :size;

-- name: layout_named
select layout_id from layout where name = :name;

-- name: drop_layout
delete from layout where layout_id = :layout_id returning true;

-- name: add_image
-- False where there is one of that content.
insert into image (hash, kind, width, height, name, alt, content, added_at, added_by)
values (:hash, :kind, :width, :height, :name, :alt, :content, :now, (select operator_id from operator where name = :by))
on conflict (hash) do nothing
returning true;

-- name: image
select hash, kind, width, height, i.name, alt, octet_length(content) as size, added_at, coalesce(o.name, '') as added_by
from image i left join operator o on o.operator_id = i.added_by where hash = :hash;

-- name: image_content
select kind, content from image where hash = :hash;

-- name: images
-- Newest first; `before` and `last` are time and hash of the last one of the page before.
select hash, kind, width, height, i.name, alt, octet_length(content) as size, added_at, coalesce(o.name, '') as added_by
from image i left join operator o on o.operator_id = i.added_by
where (added_at, hash) < (:before, :last)
order by added_at desc, hash desc limit :size;

-- name: known_images
select hash from image where hash = any(:hashes);

-- name: set_alt
update image set alt = :alt where hash = :hash returning true;

-- name: image_campaigns
-- Those that show it.
select distinct c.campaign_id, c.name from campaign_image i join campaign c using (campaign_id)
where i.hash = :hash order by c.campaign_id desc limit 10;

-- name: image_layouts
select l.name from layout_image i join layout l using (layout_id) where i.hash = :hash order by l.name limit 10;

-- name: hold_image
-- Before it is deleted: whoever is saving a letter that shows it has done so then, and nobody else deletes it.
select true from image where hash = :hash for update;

-- name: drop_image
delete from image where hash = :hash returning true;

-- name: audience_sample
-- The first of a list's readers: ids are uniform, so they are a fair sample, and all of them where there are not more.
select s.language, count(*)::integer as readers, (count(*) filter (where p.name <> ''))::integer as named
from (select subscriber_id, language from subscription where list_id = :list_id and state = 'confirmed'
      order by subscriber_id limit :size) s
join subscriber p using (subscriber_id)
group by s.language order by count(*) desc, s.language;

-- name: suppressed_sample
-- Of the same readers those that are left out, by reason: one reader may have several.
select x.reason, count(distinct s.subscriber_id)::integer as readers
from (select subscriber_id from subscription where list_id = :list_id and state = 'confirmed'
      order by subscriber_id limit :size) s
join suppression x on x.subscriber_id = s.subscriber_id and x.list_id in (0, :list_id) and (x.until is null or x.until > :now)
group by x.reason order by x.reason;

-- name: count_pending
select count(*)::integer from subscription where list_id = :list_id and state = 'pending';

-- name: count_unsubscribed
-- Who left lately: they are deleted within the month.
select count(*)::integer from subscription where list_id = :list_id and state = 'unsubscribed';
