-- Which images a text shows, held until it is saved: one that is being deleted at that moment is waited for, and counts as gone then.
-- A text was refused with an error otherwise; so it is kept, and the checks before sending say that the image is missing.
-- A function alone, which older programs work with as well.

create or replace function images_in(body text) returns setof text language sql volatile as $$
  select hash from image
  where hash in (select found[1] from regexp_matches(body, '/images/([0-9a-f]{32})\.(?:jpg|png)', 'g') as found)
  order by hash for key share
$$;
