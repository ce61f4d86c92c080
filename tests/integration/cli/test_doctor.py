"""`newsletter doctor`: what is looked at, what it says where something is missing, and that it never makes anything up."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from newsletter.app import House, make_doctor
from newsletter.core.findings import Finding, Result
from newsletter.delivery.signing import DkimKeys
from newsletter.operators.doctor import Doctor, Rooms
from newsletter.operators.reach import Reached
from newsletter.operators.service import audit
from newsletter.settings import Settings
from tests.conftest import SECRET, ManualClock
from tests.integration.cli.conftest import Run
from tests.integration.cli.test_commands import make_list
from tests.names import Names

SAYS = {"good": "ok", "warn": "LOOK", "bad": "BAD", "unknown": "?"}


@pytest.fixture(autouse=True)
def nobody_asks_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's own resolver has nobody to ask, and its address is not fetched, wherever these tests run."""

    async def reached(url: str, *, within: float) -> Reached:
        return Reached(None, reason="DNS could not be asked", could_ask=False)

    monkeypatch.setattr("newsletter.app.SystemResolver", lambda: Names(silent=True))
    monkeypatch.setattr("newsletter.app.reach", reached)


async def findings(run: Run, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    result = await run("doctor", "--json", **environment)
    told = json.loads(result.stdout)
    return result.exit_code, {each["looked_at"]: each for each in told["findings"]}


def result_of(found: dict[str, dict[str, Any]], begins: str) -> str:
    (one,) = (each["result"] for name, each in found.items() if name.startswith(begins))
    return str(one)


async def test_each_line_says_what_was_looked_at_what_was_found_and_what_to_do_at_80_columns(run: Run) -> None:
    await make_list(run)
    result = await run("doctor")
    lines = result.output.splitlines()
    assert max(len(line) for line in lines) <= 80
    for begins in ("Settings", "Secret", "Database", "Database role", "Schema", "Clock", "Worker", "Relay", "Promises",
                   "Withdrawal file", "Subprocessors", "SPF of society.example", "DKIM of society.example",
                   "DMARC of society.example", "One-click unsubscribing"):  # fmt: skip
        assert any(line[6:].startswith(begins) for line in lines), begins
    assert "      -> Start `newsletter work`." in lines
    assert " good, " in lines[-1]


async def test_where_there_is_no_dns_nothing_is_good_or_bad_of_it(run: Run) -> None:
    await make_list(run)
    _, found = await findings(run)
    for begins in ("SPF", "DMARC", "Reverse DNS", "Base address"):
        assert result_of(found, begins) == "unknown", begins
    for begins in ("Settings", "Secret", "Schema", "Database role", "Clock", "Subprocessors"):
        assert result_of(found, begins) == "good", begins


async def test_it_fails_when_something_is_bad_and_not_for_less(run: Run, settings: Settings, house: House) -> None:
    code, found = await findings(run)
    bad = [name for name, each in found.items() if each["result"] == "bad"]
    # A server that is made for tests gives up durability for speed.
    assert (code, bad) == ((1, ["Database durability"]) if bad else (0, []))
    code, found = await findings(run, NEWSLETTER_SMTP_URL="smtp://user:geheim@127.0.0.1:1?starttls=never")
    assert (code, result_of(found, "Relay 127.0.0.1:1")) == (1, "bad")
    assert "geheim" not in json.dumps(found)


async def test_settings_that_cannot_be_read_are_a_finding(run: Run) -> None:
    code, found = await findings(run, NEWSLETTER_SMPT_URL="smtp://x")
    assert (code, list(found)) == (1, ["Settings"])
    assert "did you mean NEWSLETTER_SMTP_URL?" in found["Settings"]["found"]


@pytest.mark.parametrize(
    ("environment", "database", "schema"),
    [
        ({"NEWSLETTER_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}, "bad", "unknown"),
        ({"NEWSLETTER_SECRET": "another secret for tests, 32 characters"}, "good", "good"),
    ],
)
async def test_without_the_database_or_its_keys_the_rest_is_looked_at(
    run: Run, environment: dict[str, str], database: str, schema: str
) -> None:
    _, found = await findings(run, **environment)
    assert (result_of(found, "Schema"), found["Database"]["result"]) == (schema, database)
    for begins in ("Promises", "Withdrawal file", "Subprocessors", "Senders"):
        assert result_of(found, begins) == "unknown"
    assert result_of(found, "Relay") in ("good", "warn")


async def test_a_database_that_was_never_migrated_is_bad_with_the_remedy(run: Run, empty_database_url: str) -> None:
    code, found = await findings(run, NEWSLETTER_DATABASE_URL=empty_database_url)
    assert (code, result_of(found, "Schema")) == (1, "bad")
    assert "newsletter migrate" in found["Schema"]["found"] + found["Schema"]["advice"]


async def test_the_secret_of_the_development_set_up_beside_it_is_bad(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / ".newsletter"
    folder.mkdir()
    (folder / "config.toml").write_text(f'secret = "{SECRET}"\n')
    _, found = await findings(run)
    assert result_of(found, "Secret") == "bad"
    (folder / "config.toml").write_text('secret = "another one"\n')
    assert result_of((await findings(run))[1], "Secret") == "good"


# With a DNS that a test has written.

DOMAIN = "society.example"


def doctor_of(house: House, names: Names, **options: Any) -> Doctor:
    rooms = Rooms(house.outlook, house.policy, house.dkim_keys, house.withdrawal_log)
    made = make_doctor(house.settings, house.db, rooms, names)
    for name, value in options.items():
        setattr(made, f"_{name}", value)
    return made


async def looked(doctor: Doctor, clock: ManualClock) -> dict[str, Finding]:
    return {each.looked_at: each for each in (await doctor.examine(now=clock.at)).findings}


async def test_a_sender_is_looked_up_by_its_domain_and_its_key(run: Run, house: House, clock: ManualClock) -> None:
    await make_list(run)
    keys = DkimKeys(house.db, SECRET, audit, _there)
    key = await keys.add(1, selector="k1", domain=DOMAIN, kind="ed25519", pem=None, by="x", now=clock.at)
    names = Names(
        txt={
            DOMAIN: ["v=spf1 ip4:192.0.2.0/24 -all"],
            f"_dmarc.{DOMAIN}": ["v=DMARC1; p=quarantine; rua=mailto:d@society.example"],
        }
    )
    found = await looked(doctor_of(house, names), clock)
    assert found[f"SPF of {DOMAIN}"].result is Result.GOOD
    assert found[f"DMARC of {DOMAIN}"].result is Result.GOOD
    assert found[f"DKIM of {DOMAIN}"].result is Result.WARN, "there is a key, and it signs nothing"
    await keys.activate(1, "k1", force=True, by="x", now=clock.at)
    missing = await looked(doctor_of(house, names), clock)
    assert missing[f"DKIM key {key.record_name}"].result is Result.BAD
    there = Names(txt={**names.txt, key.record_name: [key.record]})
    found = await looked(doctor_of(house, there), clock)
    assert found[f"DKIM key {key.record_name}"].result is Result.GOOD
    assert found[f"One-click unsubscribing, {DOMAIN}"].result is Result.GOOD


async def _there(_: str) -> list[str]:
    return []


async def test_the_sending_machine_has_a_name_that_leads_back(house: House, clock: ManualClock) -> None:
    doctor = doctor_of(house, Names(hosts={"out.example": ["93.184.215.14"]}, ptr={"93.184.215.14": ["out.example"]}))
    doctor._setup = doctor._setup.__class__(**{**vars(doctor._setup), "machine": "out.example"})
    assert (await looked(doctor, clock))["Reverse DNS of out.example"].result is Result.GOOD
    private = doctor_of(house, Names(hosts={"out.example": ["10.0.0.7"]}))
    private._setup = doctor._setup
    assert (await looked(private, clock))["Reverse DNS of out.example"].result is Result.UNKNOWN


async def test_a_clock_that_is_off_is_found(house: House, clock: ManualClock) -> None:
    late = doctor_of(house, Names(), machine_time=lambda: datetime.now(UTC) - timedelta(minutes=5))
    found = await looked(late, clock)
    assert (found["Clock"].result, "ahead of" in found["Clock"].found) == (Result.BAD, True)


async def test_a_restored_backup_is_bad(house: House, clock: ManualClock) -> None:
    await house.db.execute("insert into standstill (reason, since) values ('restored', $1)", clock.at)
    found = await looked(doctor_of(house, Names()), clock)
    assert found["Withdrawal file"].result is Result.BAD
    assert "newsletter privacy replay" in found["Withdrawal file"].advice


async def test_one_thing_that_hangs_holds_up_nothing_else(house: House, clock: ManualClock) -> None:
    async def hangs(url: str, *, within: float) -> Reached:
        await asyncio.Event().wait()
        return Reached(200)

    doctor = doctor_of(house, Names(), reach=hangs)
    examination = await doctor.examine(now=clock.at, each_within=5, within=0.5)
    found = {each.looked_at: each for each in examination.findings}
    base = next(each for name, each in found.items() if name.startswith("Base address"))
    assert (base.result, "took longer than" in base.found) == (Result.UNKNOWN, True)
    assert found["Schema"].result is Result.GOOD
