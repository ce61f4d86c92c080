"""Keys of senders: added, shown in DNS, active, replaced, removed, and under another secret; mails are signed accordingly."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import dkim
import dns.resolver
import pytest

from newsletter.core.database import Database
from newsletter.core.errors import Conflict, DatabaseError, InvalidInput, NotFound, WrongSecret
from newsletter.core.keys import change_secret
from newsletter.delivery.dkim import DkimKey, Signers, generate_key, load_private_key
from newsletter.delivery.signing import KNOWN_AFTER, DkimKeys, KeyShown, Signing, rewrap_keys, txt_records
from newsletter.operators.service import audit
from tests.conftest import SECRET, START

OTHER = "another secret for tests, 32 characters or more"
HEAD = b"From: letter@society.example\r\nSubject: The long tide\r\n"
BODY = b"The tide comes in.\r\n"
MAIL = (HEAD, sha256(BODY).digest())
LATER = START + KNOWN_AFTER


class Dns:
    """What was published."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}

    async def look_up(self, name: str) -> list[str]:
        return self.records.get(name, [])

    def publish(self, *keys: KeyShown) -> None:
        for key in keys:
            self.records[key.record_name] = [key.record]

    def verifies(self, message: bytes) -> list[bool]:
        """Each signature of a message."""

        def answer(name: bytes, timeout: int = 5) -> bytes | None:
            found = self.records.get(name.decode().removesuffix("."))
            return found[0].encode() if found else None

        count = message.count(b"DKIM-Signature:")
        return [dkim.DKIM(message).verify(idx=index, dnsfunc=answer) for index in range(count)]


@pytest.fixture
def zone() -> Dns:
    return Dns()


@pytest.fixture
async def keys(db: Database, zone: Dns) -> DkimKeys:
    """With two senders, 1 and 2."""
    for name in ("Society", "Choir"):
        await db.execute(
            "insert into sender (name, from_address, postal_address, contact, created_at)"
            " values ($1, 'letter@society.example', 'Harbour Street 4', 'privacy@society.example', $2)",
            name,
            START,
        )
    return DkimKeys(db, SECRET, audit, zone.look_up)


@pytest.fixture
async def signers() -> AsyncIterator[Signers]:
    made = Signers(1)
    yield made
    await made.close()


@pytest.fixture
def signing(db: Database, signers: Signers) -> Signing:
    return Signing(db, SECRET, signers)


async def add(keys: DkimKeys, selector: str = "news1", **changed: Any) -> KeyShown:
    given: dict[str, Any] = {"domain": "society.example", "kind": "ed25519", "pem": None, "by": "ada", "now": START}
    return await keys.add(1, selector=selector, **(given | changed))


async def activate(keys: DkimKeys, selector: str = "news1", **changed: Any) -> KeyShown | None:
    given: dict[str, Any] = {"by": "ada", "now": START}
    return await keys.activate(1, selector, **(given | changed))


async def test_nothing_is_signed_unless_somebody_asked_for_it(signing: Signing, keys: DkimKeys) -> None:
    await add(keys)
    assert await signing.sign(1, [MAIL, MAIL], START) == [b"", b""]
    assert await signing.sign(1, [], START) == []
    assert not await signing.signs(1, at=START)
    assert await signing.sign(99, [MAIL], START) == [b""]


async def test_an_active_key_of_each_kind_signs_every_mail_of_its_sender(signing: Signing, keys: DkimKeys, zone: Dns) -> None:
    zone.publish(await add(keys, "e1"), await add(keys, "r1", kind="rsa"))
    for selector in ("e1", "r1"):
        await activate(keys, selector)
    heads = [b"From: a@society.example\r\nSubject: %d\r\n" % number for number in range(3)]
    fields = await signing.sign(1, [(head, MAIL[1]) for head in heads], START)
    for head, field in zip(heads, fields, strict=True):
        assert zone.verifies(field + head + b"\r\n" + BODY) == [True, True]
        assert field.index(b"a=rsa-sha256") < field.index(b"a=ed25519-sha256")
    assert await signing.signs(1, at=START)
    assert await signing.sign(2, [MAIL], START) == [b""]


async def test_processes_learn_of_changes_within_a_minute(signing: Signing, keys: DkimKeys, zone: Dns) -> None:
    zone.publish(await add(keys))
    assert not await signing.signs(1, at=START)
    await activate(keys)
    assert not await signing.signs(1, at=LATER - timedelta(seconds=1))
    assert await signing.signs(1, at=LATER)
    await keys.remove(1, "news1", by="ada", now=LATER)
    assert await signing.signs(1, at=LATER + KNOWN_AFTER / 2)
    assert not await signing.signs(1, at=LATER + KNOWN_AFTER)


async def test_keys_that_are_known_go_on_signing_while_they_cannot_be_read(
    signing: Signing, keys: DkimKeys, zone: Dns, db: Database
) -> None:
    zone.publish(await add(keys))
    await activate(keys)
    assert await signing.signs(1, at=START)
    await _change_secret(db)
    (field,) = await signing.sign(1, [MAIL], LATER)
    assert zone.verifies(field + HEAD + b"\r\n" + BODY) == [True]
    with pytest.raises(WrongSecret):
        await Signing(db, SECRET, Signers(1)).sign(1, [MAIL], LATER)


async def test_a_key_of_ones_own_is_taken_with_its_kind(keys: DkimKeys) -> None:
    shown = await add(keys, kind=None, pem=generate_key("ed25519"))
    assert shown.kind == "ed25519"
    assert (await add(keys, "news2", kind=None)).kind == "rsa"
    with pytest.raises(InvalidInput, match="of the kind ed25519: leave --kind out"):
        await add(keys, "news3", kind="rsa", pem=generate_key("ed25519"))


async def test_keys_are_shown_with_their_records_and_without_what_is_secret(keys: DkimKeys, db: Database) -> None:
    added = await add(keys, "News1", domain="Bücher.example.")
    assert (added.selector, added.domain, added.active_at) == ("news1", "xn--bcher-kva.example", None)
    assert added.record_name == "news1._domainkey.xn--bcher-kva.example"
    assert await keys.shown(1) == [added]
    assert await keys.shown(2) == []
    await activate(keys, force=True, now=LATER)
    assert [key.active_at for key in await keys.shown(1)] == [LATER]


async def test_no_key_lies_open_in_the_database_and_none_passes_for_another(keys: DkimKeys, db: Database) -> None:
    pem = generate_key("ed25519")
    der = DkimKey("", "", load_private_key(pem)).der
    await add(keys, pem=pem)
    wrapped = await db.fetchval("select wrapped from dkim_key")
    assert der not in wrapped
    assert der[-32:] not in wrapped
    await db.execute("update dkim_key set domain = 'choir.example'")
    with pytest.raises(WrongSecret):
        await keys.shown(1)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"selector": "news_1"}, "A selector has letters, digits and hyphens"),
        ({"selector": ""}, "A selector has"),
        ({"selector": "x\r\ny"}, "A selector has"),
        ({"domain": "localhost"}, "The domain must be one such as example.org"),
        ({"domain": "a..example"}, "The domain must be"),
        ({"selector": ".".join(["a" * 60] * 4)}, "too long for a name in DNS"),
        ({"kind": "dsa"}, "one of these kinds: rsa, ed25519"),
    ],
)
async def test_what_cannot_be_a_key_is_refused(keys: DkimKeys, changed: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        await add(keys, **changed)
    assert await keys.shown(1) == []


async def test_a_selector_names_one_key_of_a_sender(keys: DkimKeys, db: Database) -> None:
    first = await add(keys)
    with pytest.raises(Conflict, match="news1 already: choose another"):
        await add(keys)
    assert await keys.shown(1) == [first]


async def test_a_key_is_not_active_before_dns_shows_it(keys: DkimKeys, zone: Dns) -> None:
    key, other = await add(keys), await add(keys, "news2")
    with pytest.raises(Conflict, match=r"no TXT record news1\._domainkey\.society\.example yet: publish it"):
        await activate(keys)
    zone.records[key.record_name] = [other.record]
    with pytest.raises(Conflict, match="has another key: publish the one"):
        await activate(keys)
    zone.records[key.record_name] = ["v=DKIM1; p="]
    with pytest.raises(Conflict, match="has another key"):
        await activate(keys)
    zone.records[key.record_name] = [key.record, key.record]
    with pytest.raises(Conflict, match="has 2 TXT records"):
        await activate(keys)
    assert all(each.active_at is None for each in await keys.shown(1))
    zone.records[key.record_name] = [key.record.replace("v=DKIM1; ", "").replace("p=", "p= ")]
    assert await activate(keys) is None
    assert [each.active_at for each in await keys.shown(1)] == [START, None]


async def test_a_key_replaces_the_one_of_its_kind_and_leaves_the_other(keys: DkimKeys, zone: Dns) -> None:
    first = await add(keys, "e1")
    zone.publish(first, await add(keys, "e2", now=LATER), await add(keys, "r1", kind="rsa"))
    await activate(keys, "r1")
    await activate(keys, "e1")
    assert await activate(keys, "e1", now=LATER) is None
    replaced = await activate(keys, "e2", now=LATER)
    assert replaced is not None
    assert (replaced.selector, replaced.active_at) == ("e1", START)
    assert {key.selector: key.active_at for key in await keys.shown(1)} == {"r1": START, "e1": None, "e2": LATER}


async def test_what_does_not_exist_is_said(keys: DkimKeys) -> None:
    with pytest.raises(NotFound, match='no key with the selector "news1"'):
        await activate(keys)
    with pytest.raises(NotFound, match='no key with the selector "news1"'):
        await keys.remove(1, "news1", by="ada", now=START)


async def test_each_change_is_in_the_audit_log(keys: DkimKeys, db: Database) -> None:
    await add(keys)
    with contextlib.suppress(Conflict):
        await activate(keys)
    await activate(keys, force=True)
    await keys.remove(1, "news1", by="ada", now=START)
    rows = await db.fetch("select operator, action, target from audit_log order by audit_id")
    assert [tuple(row) for row in rows] == [
        ("ada", f"dkim.{verb}", "sender 1, key news1") for verb in ("add", "activate", "remove")
    ]


async def _change_secret(db: Database) -> None:
    """And undo what it did to the keys that all tests share."""
    async with db.transaction() as transaction:
        await rewrap_keys(transaction, SECRET, OTHER)


async def test_another_secret_opens_the_same_keys_after_the_change(keys: DkimKeys, db: Database) -> None:
    before = [await add(keys, "e1"), await add(keys, "r1", kind="rsa")]
    async with db.transaction() as transaction:
        assert await rewrap_keys(transaction, SECRET, OTHER) == 2
    after = await DkimKeys(db, OTHER, audit).shown(1)
    assert sorted(after, key=lambda key: key.selector) == before
    with pytest.raises(WrongSecret):
        await keys.shown(1)


async def test_a_change_of_secret_changes_all_keys_or_none(keys: DkimKeys, db: Database) -> None:
    await add(keys)
    before = await db.fetch("select * from key order by key_id"), await db.fetch("select * from dkim_key")
    await db.execute("update dkim_key set domain = 'choir.example'")
    with pytest.raises(WrongSecret):
        async with db.transaction() as transaction:
            await change_secret(transaction, SECRET, OTHER)
            await rewrap_keys(transaction, SECRET, OTHER)
    await db.execute("update dkim_key set domain = 'society.example'")
    assert (await db.fetch("select * from key order by key_id"), await db.fetch("select * from dkim_key")) == before


async def test_no_key_is_added_under_a_secret_that_was_changed(keys: DkimKeys, db: Database) -> None:
    with pytest.raises(WrongSecret):
        await DkimKeys(db, OTHER, audit).add(
            1, selector="news1", domain="society.example", kind="ed25519", pem=None, by="ada", now=START
        )
    assert await keys.shown(1) == []


ROW = "(1, {selector}, {domain}, {kind}, {wrapped}, {created_at}, {active_at})"
LEGAL = {
    "selector": "'news1'",
    "domain": "'society.example'",
    "kind": "'rsa'",
    "wrapped": "decode(repeat('00', 100), 'hex')",
    "created_at": "'2026-11-21 14:05Z'",
    "active_at": "'2026-11-21 14:05Z'",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"selector": "'News1'"},
        {"selector": "'news1.'"},
        {"selector": "E'news1\\n'"},
        {"selector": "repeat('a', 64)"},
        {"domain": "'example'"},
        {"domain": "'Society.example'"},
        {"domain": "'society.example;'"},
        {"domain": "repeat('a.', 120) || 'example'"},
        {"kind": "'dsa'"},
        {"wrapped": "decode(repeat('00', 75), 'hex')"},
        {"active_at": "'2026-11-21 14:04Z'"},
        {"selector": "'news2'"},  # A second one of the kind that is active.
    ],
)
async def test_the_database_refuses_an_illegal_row(keys: DkimKeys, db: Database, changed: dict[str, str]) -> None:
    with contextlib.suppress(_Undo):
        async with db.transaction() as transaction:
            await transaction.execute(f"insert into dkim_key values {ROW.format(**LEGAL)}")
            raise _Undo
    if changed == {"selector": "'news2'"}:
        await db.execute(f"insert into dkim_key values {ROW.format(**LEGAL)}")
    with pytest.raises(DatabaseError) as refused:
        await db.execute(f"insert into dkim_key values {ROW.format(**LEGAL | changed)}")
    assert refused.value.sqlstate in ("23514", "23505")


class _Undo(Exception):
    pass


async def test_the_keys_of_a_sender_go_with_it(keys: DkimKeys, db: Database) -> None:
    await add(keys)
    await db.execute("delete from sender where sender_id = 1")
    assert await db.fetchval("select count(*) from dkim_key") == 0


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (dns.resolver.NXDOMAIN, []),
        (dns.resolver.NoAnswer, []),
        (dns.resolver.LifetimeTimeout, None),
        (dns.resolver.NoNameservers, None),
        (dns.resolver.NoResolverConfiguration, None),
    ],
)
async def test_a_dns_that_says_no_is_told_from_one_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], found: list[str] | None
) -> None:
    class Resolver:
        def resolve(self, *asked: object, **how: object) -> object:
            raise error.__new__(error)

    monkeypatch.setattr(dns.resolver, "Resolver", Resolver)
    if found is not None:
        assert await txt_records("news1._domainkey.society.example") == found
    else:
        with pytest.raises(Conflict, match=f"could not be asked for .*{error.__name__}.*--force"):
            await txt_records("news1._domainkey.society.example")


async def test_a_record_of_several_strings_is_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Record:
        strings = (b"v=DKIM1; ", b"p=AB", b"CD")

    class Resolver:
        def resolve(self, name: object, kind: str, **how: object) -> list[Record]:
            asked.append(f"{name} {kind}")
            return [Record()]

    monkeypatch.setattr(dns.resolver, "Resolver", Resolver)
    assert await txt_records("news1._domainkey.society.example") == ["v=DKIM1; p=ABCD"]
    assert asked == ["news1._domainkey.society.example. TXT"]
