#!/bin/sh
# Run once by the postgres image, on an empty volume: a role for newsletter that is no superuser (the image's own is one, and rows
# of evidence are protected from change by revoked rights, which do not bind a superuser), its database, and the log's settings.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set "password=$(cat /run/secrets/newsletter_password)" <<'SQL'
create role newsletter login password :'password';
create database newsletter owner newsletter encoding 'UTF8' template template0;
revoke all on database newsletter from public;
SQL
echo "include '/etc/newsletter-postgresql.conf'" >> "$PGDATA/postgresql.conf"
