"""Every promise tells when it is not kept: while its job is stopped it is due, then overdue, and named; run, it is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from newsletter.app import House
from newsletter.consent.rules import LEFT_FOR
from newsletter.delivery.promises import PACES_KEPT
from newsletter.jobs.schedule import Schedule, retention_jobs
from newsletter.privacy.outlook import Forecast, Standing
from tests.conftest import START, ManualClock


def row(table: str, **columns: str) -> str:
    """A statement; values are SQL, with the moment that it is about as $1."""
    return f"insert into {table} ({', '.join(columns)}) values ({', '.join(columns.values())})"


def later(by: str) -> str:
    return f"$1::timestamptz + interval '{by}'"


ADA, NOW, EN, HASH = "'00000000-0000-0000-0000-000000000001'", "$1::timestamptz", "'en'", "decode(repeat('00', 32), 'hex')"
WEEK = "date_trunc('week', $1::timestamptz, 'UTC')::date"
SENDER = row("sender", name="'S'", from_address="'s@society.example'", postal_address="'x'", contact="'x'", created_at=NOW)
LIST = row(
    "list", slug="'letter'", sender_id="1", languages="'{en}'", time_zone="'UTC'", list_id_header="'l.example'", created_at=NOW
)


def somebody(left_at: str = "null") -> str:
    columns = {"address": "'ada@example.org'", "domain": "'example.org'", "language": EN, "created_at": NOW}
    return row("subscriber", subscriber_id=ADA, left_at=left_at, **columns)


WORDING = row("wording", wording_hash=HASH, kind="'form'", language=EN, content="'Yes.'", first_used=NOW)
PENDING = row(
    "subscription",
    subscriber_id=ADA,
    list_id="1",
    state="'pending'",
    language=EN,
    requested_at=NOW,
    expires_at=later("24 hours"),
)
READING = row(
    "subscription", subscriber_id=ADA, list_id="1", state="'confirmed'", language=EN, requested_at=NOW, confirmed_at=NOW
)
REQUEST = row(
    "signup_request",
    subscriber_id=ADA,
    address="'ada@example.org'",
    language=EN,
    list_ids="'{1}'",
    form="'api'",
    wording_hash=HASH,
    agent="''",
    received_at=NOW,
    expires_at=later("24 hours"),
    not_before=NOW,
)
LINK = row(
    "confirmation",
    subscriber_id=ADA,
    confirmation_id=ADA,
    list_id="1",
    requested_at=NOW,
    expires_at=later("24 hours"),
)
MAIL = row(
    "outbox",
    kind="'confirm'",
    subscriber_id=ADA,
    list_ids="'{1}'",
    language=EN,
    message_id=ADA,
    created_at=NOW,
    expires_at=later("24 hours"),
    not_before=NOW,
)
HIT = row("limit_hit", code="decode(repeat('00', 16), 'hex')", kind="'mail'", occurred_at=NOW, expires_at=later("30 days"))
CAMPAIGN = row("campaign", list_id="1", name="'November'", created_at=NOW)
DELIVERY = row(
    "delivery",
    subscriber_id=ADA,
    campaign_id="1",
    week=WEEK,
    state="'accepted'",
    epoch="1",
    attempts="1",
    first_at=NOW,
    attempted_at=NOW,
)
ORIGIN = row("consent_origin", subscriber_id=ADA, event_id="1", network="'192.0.2.7'", agent="''", expires_at=later("180 days"))
EVIDENCE = row(
    "evidence",
    subscriber_id=ADA,
    kind="'confirmed'",
    occurred_at=NOW,
    language=EN,
    form="''",
    erased_at=NOW,
    expires_at=later("180 days"),
)
SUPPRESSION = row("suppression", subscriber_id=ADA, reason="'left'", since=NOW, until=later("1095 days"))
WITHDRAWAL = row("withdrawal", kind="'erased'", subscriber_id=ADA, occurred_at=NOW)
ASKED = row(
    "data_request",
    subscriber_id=ADA,
    address="'ada@example.org'",
    language=EN,
    received_at=NOW,
    expires_at=later("24 hours"),
    not_before=NOW,
)
WRITTEN = row(
    "contact_message",
    subscriber_id=ADA,
    address="'ada@example.org'",
    content="'Hello.'",
    language=EN,
    received_at=NOW,
    expires_at=later("7 days"),
)
REGISTERED = row("rights_request", kind="'access'", channel="'letter'", received_at=NOW, due_at=later("30 days"))
ACTION = row("audit_log", occurred_at=NOW, operator="'ops'", action="'list.create'", target="'list 1'")
OPERATOR = row("operator", name="'ada'", role="'editor'", created_at=NOW)
SESSION = row(
    "operator_session",
    operator_id="1",
    digest=HASH,
    is_whole="true",
    created_at=NOW,
    seen_at=NOW,
    idle_at=later("12 hours"),
    ends_at=later("12 hours"),
    network="'192.0.2.0/24'",
    agent="''",
)
INVITATION = row("operator_link", operator_id="1", created_at=NOW, expires_at=later("3 days"))
RUN = row("retention_run", promise="'left'", started_at=NOW, finished_at=NOW, removed="1")

MADE: dict[str, tuple[timedelta, list[str]]] = {
    # Of each promise, how long after $1 it falls due, and what it is about. Deliveries go by the week's end.
    "unconfirmed": (timedelta(hours=24), [somebody(), PENDING]),
    "left": (timedelta(days=14), [somebody(left_at=NOW)]),
    "closed": (timedelta(hours=1), [somebody(), READING, "update list set closed_at = $1::timestamptz"]),
    "signup-request": (timedelta(hours=24), [WORDING, REQUEST]),
    "confirmation": (timedelta(hours=24), [somebody(), LINK]),
    "outbox": (timedelta(hours=24), [MAIL]),
    "limits": (timedelta(days=30), [HIT]),
    "deliveries": (timedelta(days=97), [CAMPAIGN, f"select ensure_delivery_week({WEEK})", DELIVERY]),
    "paces": (PACES_KEPT, [row("pace", name="'list:1'", free_at="$1::timestamptz - interval '1 microsecond'")]),
    "consent-origin": (timedelta(days=180), [somebody(), ORIGIN]),
    "evidence": (timedelta(days=180), [EVIDENCE]),
    "suppression": (LEFT_FOR, [SUPPRESSION]),
    "withdrawal": (LEFT_FOR, [WITHDRAWAL]),
    "data-request": (timedelta(hours=24), [ASKED]),
    "contact-message": (timedelta(days=7), [WRITTEN]),
    "rights-request": (timedelta(days=365), [REGISTERED]),
    "console-session": (timedelta(hours=12), [OPERATOR, SESSION]),
    "operator-link": (timedelta(days=3), [OPERATOR, INVITATION]),
    "former-operator": (timedelta(days=365), [OPERATOR, "update operator set disabled_at = $1::timestamptz"]),
    "audit-log": (timedelta(days=365), [ACTION]),
    "retention-runs": (timedelta(days=365), [RUN]),
}
SECOND = timedelta(seconds=1)


@pytest.fixture
def names(house: House) -> list[str]:
    return [promise.name for promise in house.retention.promises]


async def make(house: House, *statements: str, at: datetime) -> None:
    for statement in (SENDER, LIST, *statements):
        await house.db.execute(statement, at)


async def standing(house: House, name: str, now: datetime) -> Standing:
    return next(each for each in await house.outlook.standings(now=now) if each.promise == name)


def test_every_promise_is_tried_here(names: list[str]) -> None:
    """One declaration adds a promise, its job, sentence, row, metric and alert; its test is one more line above."""
    assert sorted(MADE) == sorted(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", MADE)
async def test_a_promise_is_overdue_while_its_job_is_stopped_and_kept_once_it_runs(
    house: House, clock: ManualClock, name: str
) -> None:
    lives, statements = MADE[name]
    began = datetime(2026, 11, 16, tzinfo=UTC)  # A Monday.
    await make(house, *statements, at=began)
    promise = next(each for each in house.retention.promises if each.name == name)
    fell_due = began + lives
    assert (await standing(house, name, fell_due - SECOND)).due == 0

    late = fell_due + promise.grace
    before, after = await standing(house, name, late - SECOND), await standing(house, name, late + SECOND)
    assert (before.overdue, after.overdue, after.due) == (0, 1, 1)
    assert after.oldest_overdue_s == pytest.approx((promise.grace + SECOND).total_seconds(), abs=1)

    clock.at = late
    assert (await house.retention.keep(promise, now=late)).removed == 1
    kept = await standing(house, name, late + SECOND)
    assert (kept.due, kept.overdue, kept.oldest_overdue_s) == (0, 0, 0)


async def test_the_forecast_says_what_goes_on_which_day(house: House) -> None:
    await make(house, *MADE["left"][1], *MADE["limits"][1], at=START)
    await house.db.execute(
        "insert into subscriber (subscriber_id, address, domain, language, created_at, left_at) select gen_random_uuid(), "
        "'reader' || n || '@example.org', 'example.org', 'en', $1, $1::timestamptz + interval '1 day' "
        "from generate_series(1, 3) n",
        START,
    )
    day = START.date()
    assert await house.outlook.forecast(days=31, now=START) == [
        Forecast(day + timedelta(days=14), "left", 1),
        Forecast(day + timedelta(days=15), "left", 3),
        Forecast(day + timedelta(days=30), "limits", 1),
    ]
    assert await house.outlook.forecast(days=14, now=START) == []


async def test_what_is_due_already_goes_today(house: House) -> None:
    await make(house, *MADE["left"][1], at=START - timedelta(days=20))
    assert await house.outlook.forecast(days=3, now=START) == [Forecast(START.date(), "left", 1)]


async def test_the_last_run_is_told_with_what_it_removed(house: House, clock: ManualClock) -> None:
    never = await standing(house, "left", clock.at)
    assert (never.last_run, never.removed, never.next_run) == (None, 0, None)
    await make(house, *MADE["left"][1], at=START)
    clock.at = START + timedelta(days=14)
    schedule = Schedule(house.db, clock, retention_jobs(house.retention), worker="w")
    await schedule.run_due()
    ran = await standing(house, "left", clock.at)
    assert (ran.last_run, ran.removed, ran.next_run) == (clock.at, 1, clock.at + timedelta(minutes=5))
    first = clock.at
    clock.move(minutes=5)
    await schedule.run_due()
    again = await standing(house, "left", clock.at)
    assert (again.last_run, again.removed) == (first + timedelta(minutes=5), 0)
