"""`newsletter dkim`, on the real database: what it prints and refuses, and that a change of the secret takes the keys along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newsletter.app import House
from newsletter.delivery import signing
from newsletter.delivery.dkim import DkimKey, dns_record, generate_key, load_private_key
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from tests.integration.cli.conftest import Run

RECORD = "news1._domainkey.society.example"


@pytest.fixture
async def run(run: Run, house: House) -> Run:
    """There is a list "letter"."""
    sender = NewSender("Society", "letter@society.example", "Harbour Street 4", "privacy@society.example")
    new = NewList("letter", {"en": ListText("Letter", "")})
    await create_list(house.db, new, sender, base_host=house.host, now=house.clock.now())
    return run


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What DNS has."""
    records: dict[str, list[str]] = {}
    monkeypatch.setattr(signing, "_txt_records", lambda name: records.get(name, []))
    return records


async def test_a_key_is_made_published_activated_and_removed(run: Run, zone: dict[str, list[str]]) -> None:
    nothing = await run("dkim", "show", "letter")
    assert nothing.output == "There are no keys: mails go out as they are, and the relay may sign them.\n"
    added = (await run("dkim", "add", "letter", "--selector", "news1")).output
    (name,) = (line.removeprefix("Name:  ") for line in added.splitlines() if line.startswith("Name:"))
    (record,) = (line.removeprefix("Value: ") for line in added.splitlines() if line.startswith("Value:"))
    assert name == RECORD
    assert record.startswith("v=DKIM1; k=rsa; p=MII")
    assert added.endswith("newsletter dkim activate letter news1\n")
    refused = await run("dkim", "activate", "letter", "news1")
    assert refused.exit_code == 1
    assert "yet: publish it" in refused.output
    assert "not active" in (await run("dkim", "show", "letter")).output
    zone[RECORD] = [record]
    activated = await run("dkim", "activate", "letter", "news1")
    assert activated.output == "Mails are signed with it in a minute, when every process has learnt of it.\n"
    (shown,) = json.loads((await run("dkim", "show", "letter", "--json")).output)
    assert (shown["selector"], shown["kind"], shown["domain"]) == ("news1", "rsa", "society.example")
    assert shown["active_at"]
    assert (shown["record_name"], shown["record"]) == (RECORD, record)
    assert "private" not in json.dumps(shown)
    second = await run("dkim", "add", "letter", "--selector", "news2")
    assert second.exit_code == 0
    replaced = await run("dkim", "activate", "letter", "news2", "--force")
    assert replaced.output.endswith("news1 signs no longer: leave its record in DNS for a week.\n")
    assert "The key news1 is deleted" in (await run("dkim", "remove", "letter", "news1")).output
    gone = await run("dkim", "remove", "letter", "news1")
    assert (gone.exit_code, gone.output) == (1, 'Error: This sender has no key with the selector "news1".\n')


async def test_a_key_of_ones_own_for_a_domain_of_ones_own(run: Run, tmp_path: Path) -> None:
    pem = generate_key("ed25519")
    (tmp_path / "key.pem").write_bytes(pem)
    added = await run("dkim", "add", "letter", "--selector", "e1", "--domain", "relay.example", "--key", "key.pem")
    assert dns_record(DkimKey("relay.example", "e1", load_private_key(pem))) in added.output
    assert "The From address is at society.example: for DMARC a signature counts only" in added.output
    below = await run("dkim", "add", "letter", "--selector", "e2", "--domain", "m.society.example", "--key", "key.pem")
    assert below.exit_code == 0
    assert "DMARC" not in below.output
    (tmp_path / "key.pem").write_text("hello")
    refused = await run("dkim", "add", "letter", "--selector", "e4", "--key", "key.pem")
    assert refused.exit_code == 1
    assert "not a private key in PEM" in refused.output


async def test_a_list_that_does_not_exist_is_said(run: Run) -> None:
    for command in (
        ["add", "other", "--selector", "a"],
        ["show", "other"],
        ["activate", "other", "a"],
        ["remove", "other", "a"],
    ):
        result = await run("dkim", *command)
        assert (result.exit_code, result.output) == (1, 'Error: There is no list "other".\n')


async def test_a_new_secret_opens_the_same_signing_keys(run: Run, tmp_path: Path) -> None:
    new = "a new secret for tests, 32 characters or more"
    (tmp_path / "new").write_text(new)
    await run("dkim", "add", "letter", "--selector", "news1", "--kind", "ed25519")
    before = (await run("dkim", "show", "letter")).output
    rewrapped = await run("key", "rewrap", "--new-secret-file", str(tmp_path / "new"))
    assert rewrapped.output.startswith("3 keys are wrapped with the new secret.")
    assert (await run("dkim", "show", "letter")).exit_code == 78
    assert (await run("dkim", "show", "letter", NEWSLETTER_SECRET=new)).output == before


async def test_a_signing_key_that_cannot_be_opened_keeps_the_secret_as_it_is(run: Run, house: House, tmp_path: Path) -> None:
    """One that was moved from another database: half a change would leave keys that open with neither secret."""
    (tmp_path / "new").write_text("a new secret for tests, 32 characters or more")
    await run("dkim", "add", "letter", "--selector", "news1", "--kind", "ed25519")
    await house.db.execute("update dkim_key set selector = 'moved'")
    assert (await run("key", "rewrap", "--new-secret-file", str(tmp_path / "new"))).exit_code == 78
    assert (await run("list", "show")).exit_code == 0


@pytest.mark.parametrize("command", [[], ["add"], ["show"], ["activate"], ["remove"]])
async def test_help_fits_eighty_columns(run: Run, command: list[str]) -> None:
    result = await run("dkim", *command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80


async def test_answers_fit_eighty_columns_but_for_what_is_copied(run: Run) -> None:
    more = ("--domain", "relay.example", "--kind", "ed25519")
    lines = (await run("dkim", "add", "letter", "--selector", "news1", *more)).output.splitlines()
    for command in (["show", "letter"], ["activate", "letter", "news1", "--force"], ["remove", "letter", "news1"]):
        result = await run("dkim", *command)
        assert result.exit_code == 0
        lines += result.output.splitlines()
    assert max(len(line) for line in lines if not line.startswith("Value:")) <= 80
