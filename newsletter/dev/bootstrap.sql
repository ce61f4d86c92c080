-- Run by psql at every start of the embedded PostgreSQL, as its superuser: makes what the program needs and is not there yet.
-- The password of the role comes in by the environment, so that no process list shows them.
\getenv password NEWSLETTER_ROLE_PASSWORD

-- The program's own role is not a superuser, so that development meets the same permissions as production.
SELECT format('CREATE ROLE newsletter LOGIN PASSWORD %L', :'password')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'newsletter') \gexec

SELECT 'CREATE DATABASE newsletter OWNER newsletter'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'newsletter') \gexec
