-- Writing campaigns, and where they stand.

-- name: add_campaign
insert into campaign (list_id, name, uncertain_policy, is_notice, created_at)
values (:list_id, :name, :uncertain_policy, :is_notice, :now)
returning campaign_id;

-- name: put_content
-- One language's words, which have compiled.
insert into campaign_content (campaign_id, language, subject, preheader, format, body)
values (:campaign_id, :language, :subject, :preheader, :format, :body)
on conflict (campaign_id, language) do update
set subject = excluded.subject, preheader = excluded.preheader, format = excluded.format, body = excluded.body,
    version = campaign_content.version + 1, fault = null;

-- name: campaign
select campaign_id, list_id, name, state, created_at, started_at, finished_at, message_key, message_domain, planned,
       pause_reason
from campaign where campaign_id = :campaign_id;

-- name: contents
-- All languages of a campaign.
select language, subject, preheader, format, body from campaign_content where campaign_id = :campaign_id order by language;

-- name: pause
update campaign set state = 'paused' where campaign_id = :campaign_id and state = 'sending' returning true;

-- name: resume
update campaign set state = 'sending', pause_reason = null where campaign_id = :campaign_id and state = 'paused' returning true;

-- name: cancel
-- For good. What was begun is finished; nothing else is.
update campaign set state = 'cancelled', finished_at = :now, pause_reason = null, returned_reason = null
where campaign_id = :campaign_id and state in ('draft', 'scheduled', 'sending', 'paused')
returning true;

-- name: count_under_way
select count(*)::integer from campaign where state in ('sending', 'paused');

-- ------------------------------------------------------------------------------------------------------------- writing

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
delete from campaign_open where seen_at < :before;

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

-- Where campaigns stand.

-- name: standings
-- Newest first; of one state, one list, or all for null.
select c.campaign_id, c.list_id, l.slug, l.time_zone, c.name, c.state, c.created_at, c.scheduled_at, c.started_at, c.finished_at,
       c.planned, c.pause_reason, c.returned_reason, s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped,
       s.next_due, s.unsubscribed
from (
  select * from campaign
  where campaign_id < :before and (:state::text is null or state = :state) and (:list_id::integer is null or list_id = :list_id)
  order by campaign_id desc limit :size
) c
join list l using (list_id)
join campaign_standing s using (campaign_id)
order by c.campaign_id desc;

-- name: standing
-- Of one campaign.
select c.campaign_id, c.list_id, l.slug, l.time_zone, c.name, c.state, c.created_at, c.scheduled_at, c.started_at, c.finished_at,
       c.planned, c.pause_reason, c.returned_reason, s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped,
       s.next_due, s.unsubscribed
from campaign c join list l using (list_id) join campaign_standing s using (campaign_id)
where c.campaign_id = :campaign_id;

-- name: standing_now
-- What changes while it is sent: asked once a second for whoever watches.
select c.state, c.planned, s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped, s.next_due
from campaign c join campaign_standing s using (campaign_id)
where c.campaign_id = :campaign_id;

-- Sending later, again, or not at all.

-- name: schedule
-- A draft, or one that was to start at another time.
update campaign set state = 'scheduled', scheduled_at = :at, returned_reason = null
where campaign_id = :campaign_id and state in ('draft', 'scheduled') returning true;

-- name: unschedule
-- A draft again.
update campaign set state = 'draft', scheduled_at = null
where campaign_id = :campaign_id and state = 'scheduled' returning true;

-- name: return_to_draft
-- The same by itself, with the reason, where nobody has changed the time meanwhile.
update campaign set state = 'draft', scheduled_at = null, returned_reason = :reason
where campaign_id = :campaign_id and state = 'scheduled' and scheduled_at <= :now returning true;

-- name: is_due
-- Whether it is to start still, and stays so until this transaction ends.
select state = 'scheduled' and scheduled_at <= :now from campaign where campaign_id = :campaign_id for no key update;

-- name: due_campaigns
select campaign_id, scheduled_at from campaign
where state = 'scheduled' and scheduled_at <= :now order by scheduled_at, campaign_id;

-- name: copy_campaign
-- As a new draft.
insert into campaign (list_id, name, uncertain_policy, created_at)
select list_id, :name, uncertain_policy, :now from campaign where campaign_id = :campaign_id
returning campaign_id;

-- name: copy_contents
-- With what is wrong with them, if anything.
insert into campaign_content (campaign_id, language, subject, preheader, format, body, fault)
select :copy, language, subject, preheader, format, body, fault from campaign_content where campaign_id = :campaign_id;

-- name: delete_draft
delete from campaign where campaign_id = :campaign_id and state = 'draft' returning true;

-- What becomes of a campaign.

-- name: open_report
-- From the start on.
insert into campaign_report (campaign_id, next_at) values (:campaign_id, :now) on conflict do nothing;

-- name: sample_progress
-- Where something has changed since the last look. After a while without any change the chart gets a point where that ended, or it
-- would show a slope for a pause.
with latest as (
  select r.campaign_id, p.taken_at, p.attempting, p.accepted, p.deferred, p.failed, p.uncertain, p.skipped
  from campaign_report r
  left join lateral (
    select * from campaign_progress p where p.campaign_id = r.campaign_id order by taken_at desc limit 1
  ) p on true
  where r.next_at is not null
), changed as (
  select l.campaign_id, l.taken_at as before_at, l.attempting as before_attempting, l.accepted as before_accepted,
         l.deferred as before_deferred, l.failed as before_failed, l.uncertain as before_uncertain, l.skipped as before_skipped,
         s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped
  from latest l join campaign_standing s using (campaign_id)
  where l.taken_at is null
     or (l.taken_at < :now
         and (s.attempting, s.accepted, s.deferred, s.failed, s.uncertain, s.skipped)
             is distinct from (l.attempting, l.accepted, l.deferred, l.failed, l.uncertain, l.skipped))
)
insert into campaign_progress (campaign_id, taken_at, attempting, accepted, deferred, failed, uncertain, skipped)
select campaign_id, :now, attempting, accepted, deferred, failed, uncertain, skipped from changed
union all
select campaign_id, :quiet_until, before_attempting, before_accepted, before_deferred, before_failed, before_uncertain, before_skipped
from changed where before_at < :quiet_until
on conflict do nothing;

-- name: thin_progress
-- Of campaigns that are looked at, and have become many, every other point goes; the first and the last stay.
with counted as (
  select p.campaign_id, p.taken_at, row_number() over (partition by p.campaign_id order by p.taken_at) as number,
         count(*) over (partition by p.campaign_id) as points
  from campaign_report r join campaign_progress p using (campaign_id) where r.next_at is not null
)
delete from campaign_progress p using counted c
where p.campaign_id = c.campaign_id and p.taken_at = c.taken_at
  and c.points > :most and c.number % 2 = 0 and c.number < c.points;

-- name: progress
-- Oldest first.
select taken_at, attempting, accepted, deferred, failed, uncertain, skipped
from campaign_progress where campaign_id = :campaign_id and taken_at >= :since order by taken_at;

-- name: due_reports
-- Also of campaigns that have ended since: whoever looks wants to see how. A second time once their last outcomes are written.
select r.campaign_id, c.week, c.finished_at
from campaign_report r join campaign c using (campaign_id)
where r.next_at is not null and c.week is not null
  and (r.next_at <= :now or (c.finished_at is not null and (r.as_of is null or r.as_of < c.finished_at)))
order by r.next_at;

-- name: put_off_report
-- Before it is begun, so that one that cannot be made does not keep the others from being made.
update campaign_report set next_at = :next_at where campaign_id = :campaign_id;

-- name: finish_report
update campaign_report set as_of = :as_of, took = :took, next_at = :next_at where campaign_id = :campaign_id;

-- name: count_reasons
-- What relays said of whom they did not take, in few groups: codes, and what can be told from the words alone.
select state, coalesce(reply_code, 0)::integer as code, coalesce(reply_status, '') as status, paced,
       case when reply ~* 'gr[ae]y.?list' then 'greylisted'
            when reply ~* 'quota|(mailbox|inbox).{0,20}full' then 'full'
            when reply ~* 'spam|virus|malware|phish|content' then 'content'
            when reply ~* 'block|blacklist|reputation|spf|dkim|dmarc|reverse dns|ptr' then 'sender'
            when reply ~* 'rate|too many|too fast|throttl' then 'busy'
            else '' end as hint,
       count(*)::bigint as count
from delivery
where campaign_id = :campaign_id and week = :week and state in ('deferred', 'failed', 'uncertain', 'skipped')
group by 1, 2, 3, 4, 5;

-- name: drop_reasons
delete from campaign_reason where campaign_id = :campaign_id;

-- name: put_reason
insert into campaign_reason as r (campaign_id, state, reason, count) values (:campaign_id, :state, :reason, :count)
on conflict (campaign_id, state, reason) do update set count = r.count + excluded.count;

-- name: drop_domains
delete from campaign_domain where campaign_id = :campaign_id;

-- name: count_domains
-- What became of the mails to each domain that was tried. Where few readers are, they are put together.
with each as (
  select p.domain, count(*) as tried, count(*) filter (where d.state = 'accepted') as accepted,
         count(*) filter (where d.state = 'deferred') as deferred, count(*) filter (where d.state = 'failed') as failed,
         count(*) filter (where d.state = 'uncertain') as uncertain
  from delivery d join subscriber p using (subscriber_id)
  where d.campaign_id = :campaign_id and d.week = :week and d.state in ('accepted', 'deferred', 'failed', 'uncertain')
    and d.attempts > 0
  group by p.domain
)
insert into campaign_domain (campaign_id, domain, domains, tried, accepted, deferred, failed, uncertain)
select :campaign_id, case when tried >= :fewest then domain else '' end, count(*), sum(tried), sum(accepted), sum(deferred),
       sum(failed), sum(uncertain)
from each group by 2;

-- name: report_made
-- When the sums were made.
select as_of from campaign_report where campaign_id = :campaign_id;

-- name: reasons
-- The most frequent first.
select state, reason, count from campaign_reason where campaign_id = :campaign_id order by count desc, state, reason;

-- name: domains
-- Most readers first; the others together come last.
select domain, domains, tried, accepted, deferred, failed, uncertain from campaign_domain
where campaign_id = :campaign_id order by domain = '', tried desc, domain;
