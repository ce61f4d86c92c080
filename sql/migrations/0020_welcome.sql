-- A list may greet whoever confirms it, with one mail in the operator's words: off unless somebody writes it.
-- Older workers would take it for another kind of mail.
-- oldest-program: 20

alter table list_text
  add column welcome_subject text not null default '',
  add column welcome_text    text not null default '',
  add constraint list_text_welcome check ((welcome_subject = '') = (welcome_text = '')),
  add constraint list_text_welcome_subject check (length(welcome_subject) <= 200 and welcome_subject !~ '[[:cntrl:]]'),
  add constraint list_text_welcome_text
    check (length(welcome_text) <= 5000 and welcome_text !~ '[\u0001-\u0009\u000b-\u001f\u007f-\u009f]');
comment on column list_text.welcome_subject is 'of the mail that is sent once when somebody confirms; empty: none is sent';
comment on column list_text.welcome_text is 'its words, plain, with blank lines between paragraphs';

alter table outbox drop constraint outbox_kind;
alter table outbox
  add constraint outbox_kind check (kind in ('confirm', 'already', 'welcome', 'data', 'contact', 'notice', 'operator'));
