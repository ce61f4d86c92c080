"""What the doctor makes of what it saw."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.consent.withdrawal_log import FileShown
from newsletter.core.findings import Finding, good
from newsletter.delivery.probe import Announced
from newsletter.delivery.relays import Relay
from newsletter.operators import doctor_rules as rules
from newsletter.operators.doctor import Examination, _timed, tally
from newsletter.operators.reach import Reached, reach
from newsletter.privacy.outlook import Standing

AT = datetime(2026, 11, 21, tzinfo=UTC)
RIGHT = {name: values[0] for name, values in (rules.QUIET_LOG | rules.DURABLE).items()}
RELAY = Relay("mail.example", 587)
FILE = Path("/var/lib/withdrawals")


def results(findings: list[Finding]) -> list[str]:
    return [str(each.result) for each in findings]


@pytest.mark.parametrize(
    ("seconds", "result"), [(0, "good"), (2, "good"), (-2, "good"), (3, "warn"), (-3, "warn"), (31, "bad"), (-31, "bad")]
)
def test_clocks_may_differ_by_two_seconds(seconds: int, result: str) -> None:
    assert rules.clock_finding(timedelta(seconds=seconds)).result == result


@pytest.mark.parametrize(
    ("changed", "superuser", "expected"),
    [
        ({}, False, ["good", "good", "good", "good"]),
        ({}, True, ["good", "warn", "good", "good"]),
        ({"fsync": "off"}, False, ["good", "good", "bad", "good"]),
        ({"synchronous_commit": "remote_apply"}, False, ["good", "good", "good", "good"]),
        ({"synchronous_commit": "off"}, False, ["good", "good", "bad", "good"]),
        ({"log_statement": "all"}, False, ["good", "good", "good", "warn"]),
        ({"log_parameter_max_length": "-1"}, False, ["good", "good", "good", "warn"]),
    ],
)
def test_the_servers_settings_are_those_that_we_recommend(
    changed: dict[str, str], superuser: bool, expected: list[str]
) -> None:
    assert results(rules.server_findings(rules.Server("18.1", superuser, RIGHT | changed))) == expected


def test_a_setting_that_cannot_be_seen_is_neither_good_nor_bad() -> None:
    seen = {name: value for name, value in RIGHT.items() if name != "fsync"}
    assert results(rules.server_findings(rules.Server("18.1", False, seen)))[2] == "unknown"


@pytest.mark.parametrize(
    ("missing", "development", "same", "expected"),
    [
        ([], False, False, ["good", "good"]),
        (["controller"], True, False, ["warn", "good"]),
        ([], False, True, ["good", "bad"]),
    ],
)
def test_settings(missing: list[str], development: bool, same: bool, expected: list[str]) -> None:
    found = rules.settings_findings(missing=missing, development=development, secret_is_development=same)
    assert results(found) == expected


@pytest.mark.parametrize(
    ("tls", "extensions", "size", "result"),
    [
        ("TLSv1.3", ("PIPELINING",), None, "good"),
        ("", ("PIPELINING",), 10_000_000, "good"),
        ("TLSv1.1", ("PIPELINING",), None, "warn"),
        ("TLSv1.3", (), None, "warn"),
        ("TLSv1.3", ("PIPELINING",), 100_000, "warn"),
    ],
)
def test_relays(tls: str, extensions: tuple[str, ...], size: int | None, result: str) -> None:
    assert rules.relay_finding(RELAY, Announced(tls, True, (), extensions, size)).result == result


@pytest.mark.parametrize(
    ("reached", "result"),
    [
        (Reached(200, "ok\n"), "good"),
        (Reached(200, "<html>"), "bad"),
        (Reached(301), "bad"),
        (Reached(502), "bad"),
        (Reached(None, reason="Connection refused"), "bad"),
        (Reached(None, reason="DNS could not be asked", could_ask=False), "unknown"),
    ],
)
def test_the_base_address(reached: Reached, result: str) -> None:
    assert rules.reached_finding("https://news.example", reached).result == result


async def test_an_address_that_nobody_listens_at_is_not_reached(unused_port: int) -> None:
    refused = await reach(f"http://127.0.0.1:{unused_port}/healthz", within=2)
    assert (refused.status, refused.could_ask) == (None, True)


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


@pytest.mark.parametrize(
    ("overdue", "next_run", "result"), [(0, AT, "good"), (3, AT, "bad"), (0, None, "warn"), (3, None, "bad")]
)
def test_promises(overdue: int, next_run: datetime | None, result: str) -> None:
    standing = Standing("left", 1, overdue, overdue, 0, None, 0, next_run)
    assert rules.promises_finding([standing]).result == result


@pytest.mark.parametrize(
    ("shown", "stands_still", "result"),
    [
        (None, False, "warn"),
        (None, True, "bad"),
        (FileShown(FILE, 1, 90, AT), False, "good"),
        (FileShown(FILE, 0, 0, None), False, "good"),
        (FileShown(FILE, 1, 90, AT), True, "bad"),
    ],
)
def test_the_withdrawal_file(shown: FileShown | None, stands_still: bool, result: str) -> None:
    assert rules.withdrawals_finding(shown, stands_still=stands_still).result == result


def test_every_line_that_is_not_good_says_what_to_do() -> None:
    for each in (
        rules.workers_finding([]),
        rules.subprocessors_finding(["mail.example"]),
        rules.withdrawals_finding(None, stands_still=False),
        *rules.settings_findings(missing=["controller"], development=False, secret_is_development=True),
        *rules.server_findings(rules.Server("15.1", True, RIGHT | {"fsync": "off", "log_statement": "all"}))[1:],
    ):
        assert each.result in ("warn", "bad")
        assert each.advice


async def test_one_look_that_takes_too_long_or_goes_wrong_is_unknown_and_hides_no_other() -> None:
    async def hangs() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def breaks() -> list[Finding]:
        raise ZeroDivisionError

    (late,), (broken,) = await _timed("Clock", hangs(), 0.01), await _timed("Clock", breaks(), 1)
    assert (late.result, broken.result) == ("unknown", "unknown")
    assert tally(Examination([late, broken, good("x", "y")], AT)) == "1 good, 2 unknown"
