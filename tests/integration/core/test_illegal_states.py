"""The database refuses what must never be, whatever the program does: one row for each, a hair away from a legal one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.conftest import Server

ID = "'5bf4965a-0afd-877d-9d08-861a97f7c8af'::uuid"
NOW, LATER, SOONER = (
    "'2026-11-21 14:05Z'::timestamptz",
    "'2026-11-22 14:05Z'::timestamptz",
    "'2026-11-20 14:05Z'::timestamptz",
)
SHA = "sha256('wording')"
IMAGE = "0123456789abcdef" * 2
MONDAY = "'2026-11-16'::date"

GROUND = f"""
    insert into sender (name, from_address, postal_address, contact, created_at)
    values ('Society', 'letter@example.org', 'Harbour Street 4', 'privacy@example.org', {NOW});
    insert into list (slug, sender_id, languages, time_zone, list_id_header, created_at)
    values ('letter', 1, '{{en}}', 'UTC', 'letter.example.org', {NOW});
    insert into wording values ({SHA}, 'form', 'en', 'wording', {NOW});
    insert into subscriber (subscriber_id, address, domain, language, created_at)
    values ({ID}, 'ada@example.org', 'example.org', 'en', {NOW});
    insert into campaign (list_id, name, created_at) values (1, 'November', {NOW});
    insert into operator (name, role, created_at) values ('owner', 'owner', {NOW});
    insert into policy_version (version, published_at, notice) values (1, {NOW}, 'none');
    select ensure_delivery_week({MONDAY});
    insert into campaign (list_id, name, created_at) values (1, 'Written', {NOW});
    insert into image (hash, kind, width, height, name, alt, content, added_at, added_by)
    values ('{IMAGE}', 'png', 1, 1, '', '', '\\x00', {NOW}, 1);
    insert into campaign_content (campaign_id, language, subject, format, body) values (2, 'en', 'Tide', 'html', 'Hello');
    insert into layout (name, format, body, saved_at, saved_by) values ('Monthly', 'html', 'Hello', {NOW}, 1);
"""


def row(**columns: str) -> dict[str, str]:
    """Columns and the SQL of their values."""
    return columns


PENDING = row(
    subscriber_id=ID,
    list_id="1",
    state="'pending'",
    language="'en'",
    requested_at=NOW,
    expires_at=LATER,
)
CONFIRMED = PENDING | row(state="'confirmed'", expires_at="null", confirmed_at=NOW)
UNSUBSCRIBED = CONFIRMED | row(state="'unsubscribed'", unsubscribed_at=NOW, unsubscribed_via="'link'")
CONFIRMATION = row(subscriber_id=ID, confirmation_id=ID, list_id="1", requested_at=NOW, expires_at=LATER)
SUPPRESSION = row(subscriber_id=ID, reason="'left'", since=NOW, until=LATER)
SUBSCRIBER = row(
    subscriber_id="gen_random_uuid()", address="'ben@example.org'", domain="'example.org'", language="'en'", created_at=NOW
)
REQUEST = row(
    subscriber_id=ID,
    address="'ada@example.org'",
    language="'en'",
    list_ids="'{1}'",
    form="''",
    wording_hash=SHA,
    agent="''",
    received_at=NOW,
    expires_at=LATER,
    not_before=NOW,
)
OUTBOX = row(
    kind="'confirm'",
    subscriber_id=ID,
    list_ids="'{1}'",
    language="'en'",
    message_id=ID,
    created_at=NOW,
    expires_at=LATER,
    not_before=NOW,
)
DELIVERY = row(
    subscriber_id=ID, campaign_id="1", week=MONDAY, state="'accepted'", epoch="1", attempts="1", first_at=NOW, attempted_at=NOW
)
DEFERRED = DELIVERY | row(state="'deferred'", retry_at=LATER)
DRAFT = row(list_id="1", name="'December'", created_at=NOW)
SENDING = DRAFT | row(
    state="'sending'", started_at=NOW, week=MONDAY, message_key=SHA, message_domain="'example.org'", planned="1"
)
SENT = SENDING | row(state="'sent'", finished_at=LATER)
CONTENT = row(campaign_id="1", language="'en'", subject="'Tide'", format="'markdown'", body="'Hello'")
CONTENT_VERSION = CONTENT | row(version="1", saved_at=NOW, saved_by="1", preheader="''")
OPEN = row(campaign_id="1", operator_id="1", seen_at=NOW)
LAYOUT = row(name="'Weekly'", format="'html'", body="'Hello'", saved_at=NOW, saved_by="1")
PICTURE = row(
    hash="repeat('a', 32)",
    kind="'png'",
    width="3",
    height="2",
    name="'tide.png'",
    alt="''",
    content="'\\x00'",
    added_at=NOW,
    added_by="1",
)
SHOWS = row(campaign_id="2", language="'en'", hash=f"'{IMAGE}'")
LAYS = row(layout_id="1", hash=f"'{IMAGE}'")
BATCH = row(campaign_id="1", batch_no="1", id_from=ID, id_to=ID, not_before=NOW)
LEASED = BATCH | row(state="'leased'", lease_until=LATER, leased_by="'worker'")
KEY = row(purpose="'token'", wrapped="decode(repeat('00', 60), 'hex')", created_at=NOW, retired_at=NOW)
TOKEN = row(
    operator_id="1",
    name="'token'",
    digest=SHA,
    scopes="'{campaigns:read}'",
    created_at=NOW,
    expires_at=LATER,
)
HIT = row(code="decode(repeat('00', 16), 'hex')", kind="'mail'", occurred_at=NOW, expires_at=LATER)
LIST = row(
    slug="'digest'", sender_id="1", languages="'{en}'", time_zone="'UTC'", list_id_header="'digest.example.org'", created_at=NOW
)
EVENT = row(subscriber_id=ID, list_id="1", kind="'asked'", occurred_at=NOW, language="'en'")
LIST_TEXT = row(list_id="1", language="'nl'", name="'Brief'", description="''")
WELCOMING = LIST_TEXT | row(welcome_subject="'Hello'", welcome_text="E'Hello\\n\\nBen'")
LIST_SIZE = row(list_id="1", confirmed="0", pending="0", unsubscribed="0", counted_at=NOW)
LIST_WORDING = row(list_id="1", wording_hash=SHA, since=NOW)
RUN = row(promise="'left'", started_at=NOW, finished_at=NOW, removed="0")

VERSION = row(version="2", published_at=NOW, notice="'mailed'")
TEXT = row(version="1", language="'en'", content="'words'")
HELPER = row(
    name="'Post Ltd'", purpose="'Mail'", country="'Norway'", safeguard="'Contract'", hosts="'{post.example}'", added_at=NOW
)

PROGRESS = row(
    campaign_id="1", taken_at=NOW, attempting="0", accepted="0", deferred="0", failed="0", uncertain="0", skipped="0"
)
REPORT = row(campaign_id="1", as_of=NOW, took="1", next_at=LATER)
WHY = row(campaign_id="1", state="'failed'", reason="'no-such-mailbox'", count="1")
DOMAIN = row(
    campaign_id="1",
    domain="'example.org'",
    domains="1",
    tried="20",
    accepted="20",
    deferred="0",
    failed="0",
    uncertain="0",
)
FOLDED_DOMAIN = row(campaign_id="1", domain="''", state="'accepted'", count="1")
FOLDED_REPLY = row(campaign_id="1", state="'failed'", code="550", status="'5.1.1'", hint="''", count="1")

ILLEGAL: dict[str, list[tuple[dict[str, str], dict[str, str]]]] = {
    "subscriber": [
        (SUBSCRIBER, {"subscriber_id": ID}),
        (SUBSCRIBER, {"address": "'ben@example.org\n'"}),
        (SUBSCRIBER, {"address": "'ben @example.org'"}),
        (SUBSCRIBER, {"address": "repeat('a', 255)"}),
        (SUBSCRIBER, {"domain": "'Example.org'"}),
        (SUBSCRIBER, {"name": "E'Ben\\r\\nBcc: x'"}),
        (SUBSCRIBER, {"name": "repeat('a', 101)"}),
    ],
    "subscription": [
        (PENDING, {"state": "'lapsed'"}),
        (PENDING, {"expires_at": "null"}),
        (PENDING, {"list_id": "2"}),
        (PENDING, {"subscriber_id": "gen_random_uuid()"}),
        (PENDING, {"undo_id": ID, "undo_until": LATER}),
        (CONFIRMED, {"expires_at": LATER}),
        (CONFIRMED, {"confirmed_at": "null"}),
        (CONFIRMED, {"unsubscribed_at": NOW, "unsubscribed_via": "'link'"}),
        (CONFIRMED, {"undo_id": ID, "undo_until": LATER}),
        (UNSUBSCRIBED, {"unsubscribed_at": "null", "unsubscribed_via": "null"}),
        (UNSUBSCRIBED, {"unsubscribed_via": "null"}),
        (UNSUBSCRIBED, {"unsubscribed_via": "'magic'"}),
        (UNSUBSCRIBED, {"undo_id": ID}),
        (UNSUBSCRIBED, {"undo_until": LATER}),
    ],
    "confirmation": [
        (CONFIRMATION, {"expires_at": NOW}),
        (CONFIRMATION, {"expires_at": "null"}),
        (CONFIRMATION, {"subscriber_id": "gen_random_uuid()"}),
    ],
    "consent_event": [
        (EVENT, {"kind": "'guessed'"}),
        (EVENT, {"wording_hash": "sha256('other')"}),
        (EVENT, {"subscriber_id": "gen_random_uuid()"}),
    ],
    "suppression": [
        (SUPPRESSION, {"reason": "'whim'"}),
        (SUPPRESSION, {"until": NOW}),
        (SUPPRESSION, {"until": "null"}),
        (SUPPRESSION | {"reason": "'objected'", "until": "null"}, {"until": LATER}),
    ],
    "signup_request": [
        (REQUEST, {"expires_at": NOW}),
        (REQUEST, {"expires_at": "null"}),
        (REQUEST, {"list_ids": "'{}'"}),
        (REQUEST, {"address": "repeat('a', 255)"}),
        (REQUEST, {"subscriber_id": "null"}),
        (REQUEST, {"wording_hash": "sha256('other')"}),
        (REQUEST, {"agent": "repeat('a', 301)"}),
    ],
    "outbox": [
        (OUTBOX, {"subscriber_id": "null"}),
        (OUTBOX, {"request_id": "1"}),
        (OUTBOX, {"kind": "'advert'"}),
        (OUTBOX, {"expires_at": NOW}),
        (OUTBOX, {"expires_at": "null"}),
        (OUTBOX, {"reply": "repeat('a', 301)"}),
    ],
    "limit_hit": [(HIT, {"code": "'\\x00'"}), (HIT, {"kind": "'address'"}), (HIT, {"expires_at": "null"})],
    "delivery": [
        (DELIVERY, {"state": "'sent'"}),
        (DELIVERY, {"attempts": "-1"}),
        (DELIVERY, {"retry_at": LATER}),
        (DELIVERY, {"reply_status": "'fine'"}),
        (DELIVERY, {"week": "'2026-11-30'::date"}),
        (DEFERRED, {"retry_at": "null"}),
    ],
    "campaign": [
        (DRAFT, {"name": "''"}),
        (DRAFT, {"state": "'scheduled'"}),
        (DRAFT, {"state": "'cancelled'"}),
        (DRAFT, {"finished_at": LATER}),
        (DRAFT, {"uncertain_policy": "'hope'"}),
        (SENDING, {"message_key": "null"}),
        (SENDING, {"message_key": "'\\x00'"}),
        (SENDING, {"message_domain": "null"}),
        (SENDING, {"started_at": "null"}),
        (SENDING, {"planned": "null"}),
        (SENDING, {"planned": "-1"}),
        (SENDING, {"week": "'2026-11-17'::date"}),
        (SENDING | {"state": "'paused'"}, {"week": "null"}),
        (SENT, {"finished_at": "null"}),
        (SENT, {"message_key": "null"}),
        (SENDING, {"returned_reason": "'closed'"}),
        (DRAFT | {"returned_reason": "'closed'"}, {"returned_reason": "''"}),
    ],
    "campaign_progress": [(PROGRESS, {"accepted": "-1"}), (PROGRESS, {"campaign_id": "99"})],
    "campaign_report": [
        (REPORT, {"as_of": "null"}),
        (REPORT, {"took": "-1"}),
        (REPORT, {"next_at": "null", "as_of": "null", "took": "null"}),
    ],
    "campaign_reason": [
        (WHY, {"state": "'accepted'"}),
        (WHY, {"reason": "'ada@example.org'"}),
        (WHY, {"count": "0"}),
    ],
    "campaign_domain": [
        (DOMAIN, {"tried": "19", "accepted": "19"}),
        (DOMAIN, {"domains": "2"}),
        (DOMAIN, {"failed": "1"}),
        (DOMAIN | {"domain": "''", "domains": "3"}, {"domains": "0"}),
    ],
    "delivery_folded_domain": [
        (FOLDED_DOMAIN, {"state": "'skipped'"}),
        (FOLDED_DOMAIN, {"count": "0"}),
        (FOLDED_DOMAIN, {"campaign_id": "99"}),
    ],
    "delivery_folded_reply": [
        (FOLDED_REPLY, {"state": "'deferred'"}),
        (FOLDED_REPLY, {"hint": "'ada@example.org'"}),
        (FOLDED_REPLY, {"count": "0"}),
        (FOLDED_REPLY, {"campaign_id": "99"}),
    ],
    "campaign_left": [(row(campaign_id="1", count="1"), {"count": "0"})],
    "campaign_content": [
        (CONTENT, {"body": "E' \\n'"}),
        (CONTENT, {"subject": "''"}),
        (CONTENT, {"language": "'English'"}),
        (CONTENT, {"format": "'word'"}),
        (CONTENT, {"version": "0"}),
        (CONTENT, {"fault": "''"}),
        (CONTENT | {"body": "''", "fault": "'no body'"}, {"fault": "null"}),
        (CONTENT | {"subject": "''", "fault": "'no subject'"}, {"fault": "null"}),
        (CONTENT, {"subject": "repeat('a', 301)"}),
    ],
    "campaign_version": [
        (CONTENT_VERSION, {"campaign_id": "3"}),
        (CONTENT_VERSION, {"version": "0"}),
        (CONTENT_VERSION, {"format": "'word'"}),
    ],
    "campaign_open": [(OPEN, {"campaign_id": "3"}), (OPEN, {"operator_id": "2"})],
    "layout": [
        (LAYOUT, {"name": "'Monthly'"}),
        (LAYOUT, {"name": "''"}),
        (LAYOUT, {"body": "E' \\n'"}),
        (LAYOUT, {"format": "'word'"}),
        (LAYOUT, {"version": "0"}),
    ],
    "image": [
        (PICTURE, {"hash": f"'{IMAGE}'"}),
        (PICTURE, {"hash": "'../../etc/passwd'"}),
        (PICTURE, {"kind": "'svg'"}),
        (PICTURE, {"width": "1201"}),
        (PICTURE, {"height": "0"}),
        (PICTURE, {"content": "'\\x'"}),
    ],
    "campaign_image": [(SHOWS, {"hash": "repeat('b', 32)"}), (SHOWS, {"language": "'de'"})],
    "layout_image": [(LAYS, {"hash": "repeat('b', 32)"}), (LAYS, {"layout_id": "2"})],
    "batch": [
        (BATCH, {"id_to": "'00000000-0000-0000-0000-000000000000'"}),
        (BATCH, {"lease_until": LATER, "leased_by": "'worker'"}),
        (LEASED, {"lease_until": "null"}),
        (LEASED, {"leased_by": "null"}),
    ],
    "key": [
        (KEY, {"purpose": "'address'", "retired_at": "null"}),
        (KEY, {"purpose": "'address'"}),
        (KEY, {"retired_at": "null"}),
        (KEY, {"wrapped": "'\\x00'"}),
    ],
    "api_token": [
        (TOKEN, {"scopes": "'{}'"}),
        (TOKEN, {"scopes": "'{everything}'"}),
        (TOKEN, {"expires_at": NOW}),
        (TOKEN, {"digest": "'\\x00'"}),
    ],
    "list_text": [
        (LIST_TEXT, {"wording": "repeat('a', 401)"}),
        (LIST_TEXT, {"wording": "E'Yes\\x1b[31m'"}),
        (LIST_TEXT, {"welcome_subject": "'Hello'"}),
        (LIST_TEXT, {"welcome_text": "'Hello'"}),
        (WELCOMING, {"welcome_subject": "repeat('a', 201)"}),
        (WELCOMING, {"welcome_subject": "E'Hello\\nBcc: ada@example.org'"}),
        (WELCOMING, {"welcome_text": "repeat('a', 5001)"}),
        (WELCOMING, {"welcome_text": "E'Hello\\x1b[31m'"}),
        (WELCOMING, {"welcome_text": "E'Hello\\u0085'"}),
    ],
    "list_size": [
        (LIST_SIZE, {"list_id": "2"}),
        (LIST_SIZE, {"confirmed": "-1"}),
        (LIST_SIZE, {"pending": "-1"}),
        (LIST_SIZE, {"unsubscribed": "-1"}),
    ],
    "list_wording": [
        (LIST_WORDING, {"list_id": "2"}),
        (LIST_WORDING, {"wording_hash": "sha256('unknown')"}),
    ],
    "list": [
        (LIST, {"slug": "'letter'"}),
        (LIST, {"slug": "'-digest'"}),
        (LIST, {"slug": "'Digest'"}),
        (LIST, {"list_id_header": "'letter.example.org'"}),
        (LIST, {"list_id_header": "'digest>example.org'"}),
        (LIST, {"languages": "'{}'"}),
        (LIST, {"sender_id": "2"}),
    ],
    "rights_request": [
        (row(kind="'question'", channel="'page'", received_at=NOW, due_at=LATER, writer_erased="true"), row(message_id="1")),
    ],
    "policy_version": [
        (VERSION, {"version": "0"}),
        (VERSION, {"notice": "'told'"}),
        (VERSION, {"notice": "'none'"}),
        (VERSION, {"notice": "'skipped'"}),
        (VERSION, {"reason": "'because'"}),
    ],
    "policy_text": [(TEXT, {"version": "2"}), (TEXT, {"language": "'English'"})],
    "subprocessor": [
        (HELPER, {"name": "''"}),
        (HELPER, {"safeguard": "''"}),
        (HELPER, {"country": "null"}),
        (HELPER, {"hosts": "array[null]::text[]"}),
    ],
    "retention_run": [(RUN, {"finished_at": SOONER}), (RUN, {"removed": "-1"})],
}  # fmt: skip


@pytest.fixture(scope="module")
async def connection(server: Server, template: str) -> AsyncIterator[Any]:
    """One database for all: nothing is ever committed but the ground."""
    name = f"{template}_illegal"
    await server.run(f"create database {name} owner {server.owner} template {template}")
    connection = await asyncpg.connect(server.url(name))
    await connection.execute(GROUND)
    yield connection
    await connection.close()
    await server.run(f"drop database {name} with (force)")


async def _insert(connection: Any, table: str, row: dict[str, str]) -> None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"insert into {table} ({', '.join(row)}) values ({', '.join(row.values())})")
    finally:
        await transaction.rollback()


@pytest.mark.parametrize(
    ("table", "legal", "change"),
    [(table, *case) for table, cases in ILLEGAL.items() for case in cases],
    ids=[f"{table}-{'-'.join(change)}-{number}" for number, (table, change) in enumerate(
        (table, change) for table, cases in ILLEGAL.items() for _, change in cases)],
)  # fmt: skip
async def test_the_database_refuses_an_illegal_row(
    connection: Any, table: str, legal: dict[str, str], change: dict[str, str]
) -> None:
    await _insert(connection, table, legal)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await _insert(connection, table, legal | change)


@pytest.mark.parametrize("purpose", ["address", "token"])
async def test_there_is_one_address_key_and_one_current_token_key(connection: Any, purpose: str) -> None:
    assert await connection.fetchval("select count(*) from key where purpose = $1 and retired_at is null", purpose) == 1
    with pytest.raises(asyncpg.UniqueViolationError):
        await _insert(connection, "key", KEY | {"purpose": f"'{purpose}'", "retired_at": "null"})


@pytest.mark.parametrize("table", ["consent_event", "withdrawal", "retention_run", "audit_log"])
async def test_evidence_is_append_only_even_for_the_owner(connection: Any, table: str) -> None:
    owner = await connection.fetchval("select tableowner = current_user from pg_tables where tablename = $1", table)
    column = await connection.fetchval("select attname from pg_attribute where attrelid = $1::regclass and attnum = 3", table)
    assert owner
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(f"update {table} set {column} = {column}")


@pytest.mark.parametrize(
    "statement",
    [
        "delete from consent_event",
        "delete from consent_event where false",
        "truncate consent_event",
        "truncate subscriber cascade",
    ],
)
async def test_evidence_is_deleted_in_no_other_way_than_with_its_person(connection: Any, statement: str) -> None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"insert into consent_event ({', '.join(EVENT)}) values ({', '.join(EVENT.values())})")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="goes with the person"):
            async with connection.transaction():
                await connection.execute(statement)
        await connection.execute(f"delete from subscriber where subscriber_id = {ID}")
        assert await connection.fetchval("select count(*) from consent_event") == 0
    finally:
        await transaction.rollback()
