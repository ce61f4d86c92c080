-- A token is made once for a form, however often that is sent: reloading the page that shows the token sends it again. A short
-- table, and older programs go on with it.

alter table api_token add column form uuid unique;
comment on column api_token.form is 'the number of the form that it was made with; null: with none';
