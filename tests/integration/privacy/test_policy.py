"""The policy's versions, who is told of them, who is named in it, and the record of processing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from newsletter.app import House
from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.core.i18n import languages
from newsletter.dev.mailbox import Mailbox
from newsletter.privacy.policy import Subprocessor
from newsletter.privacy.publishing import Publication
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock
from tests.people import WEB, People, links_in, token_in

ADA, BEN = "ada@example.org", "ben@example.org"
POST = Subprocessor("Post Ltd", "Delivers our letters", "Norway", "Contract under Art. 28", ["mail.post.example"])


@pytest.fixture
async def people(house: House, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[People]:
    async with People(house, clock, mailbox) as made:
        yield made


def set_to(house: House, **settings: Any) -> House:
    """The same installation, started again with other settings."""
    return House(house.settings.model_copy(update=settings), house.db, house.keyring, house.clock)


async def publish(house: House, *, notify: bool = False, no_notice: str | None = None) -> Publication:
    return await house.policy.publish(notify=notify, no_notice=no_notice, by="ops", now=house.clock.now())


async def send_all(house: House) -> None:
    worker = house.worker()
    while await worker.run_campaigns_once():
        pass


async def audited(house: House) -> list[str]:
    rows = await house.db.fetch("select concat_ws(' ', operator, action, target) as line from audit_log order by audit_id")
    return [row["line"] for row in rows]


# Versions.


async def test_a_version_keeps_every_language_as_it_was_shown_whatever_is_set_later(house: House, clock: ManualClock) -> None:
    was = {language: await house.policy.text(language) for language in languages()}
    assert await publish(house) == Publication(1, "none", [])
    later = set_to(house, confirm_hours=6)
    found, texts = await later.policy.version(1)
    assert (found.version, found.published_at, found.notice, found.reason) == (1, clock.at, "none", None)
    assert texts == was
    assert "within 24 hours" in texts["en"]
    assert "within 6 hours" in await later.policy.text("en")
    assert await audited(house) == ["ops policy.publish policy version 1"]


async def test_publishing_is_refused_where_nothing_has_changed(house: House) -> None:
    await publish(house)
    with pytest.raises(Conflict, match="Nothing has changed since version 1"):
        await publish(house, no_notice="because")
    assert len(await house.policy.versions()) == 1


async def test_a_later_version_needs_a_notice_or_a_recorded_reason(house: House) -> None:
    await publish(house)
    later = set_to(house, backup_days=10)
    with pytest.raises(InvalidInput, match="--notify, or --no-notice"):
        await publish(later)
    with pytest.raises(InvalidInput, match="--notify, or --no-notice"):
        await publish(later, no_notice="  ")
    with pytest.raises(InvalidInput, match="not both"):
        await publish(later, notify=True, no_notice="because")
    assert await publish(later, no_notice="Backups are kept for a shorter time.") == Publication(2, "skipped", [])
    newest = (await later.policy.versions())[0]
    assert (newest.version, newest.notice, newest.reason) == (2, "skipped", "Backups are kept for a shorter time.")


async def test_the_first_version_replaces_nothing_and_tells_nobody(house: House) -> None:
    for refused in ({"notify": True}, {"no_notice": "because"}):
        with pytest.raises(InvalidInput, match="replaces nothing"):
            await publish(house, **refused)
    await publish(house)
    with pytest.raises(Conflict, match="replaces nothing"):
        await house.policy.notify(by="ops", now=house.clock.now())


async def test_a_policy_that_is_not_whole_is_not_published(house: House) -> None:
    with pytest.raises(Conflict, match=r"set NEWSLETTER_CONTROLLER, NEWSLETTER_BACKUP_DAYS first"):
        await publish(set_to(house, development=True, controller=None, backup_days=None))
    assert await house.policy.versions() == []


async def test_of_two_who_publish_at_once_one_is_told_to_look_again(house: House) -> None:
    done = await asyncio.gather(publish(house), publish(house), return_exceptions=True)
    assert len(await house.policy.versions()) == 1
    assert sorted(type(each).__name__ for each in done) == ["Conflict", "Publication"]


async def test_the_comparison_shows_in_each_language_what_changed_and_nothing_else(house: House) -> None:
    since, changed = await house.policy.diff()
    assert (since, set(changed)) == (None, set(languages()))
    await publish(house)
    assert await house.policy.diff() == (1, {})
    since, changed = await set_to(house, erase_left_days=7).policy.diff()
    assert since == 1
    for language in languages():
        assert changed[language][:2] == ["--- version 1", "+++ now"]
        minus, plus = (
            " ".join(" ".join(line[1:] for line in changed[language][2:] if line.startswith(sign)).split()) for sign in "-+"
        )
        assert ("14" in minus, "7" in minus) == (True, False)
        assert ("14" in plus, "7" in plus) == (False, True)
        assert len(changed[language]) < 20
        assert max(map(len, changed[language])) <= 80


async def test_a_version_that_there_is_not_is_not_found(house: House) -> None:
    with pytest.raises(NotFound):
        await house.policy.version(1)


# The notice.


async def test_a_new_version_is_told_to_confirmed_readers_in_their_language_with_the_way_out(
    people: People, mailbox: Mailbox
) -> None:
    await people.reader(ADA, "letter")
    await people.reader(BEN, "letter", language="de")
    await people.sign_up("waiting@example.org", "letter")
    await people.reader("gone@example.org", "letter")
    await people.unsubscribe("gone@example.org")
    await publish(people.house)
    people.clock.move(days=3)
    later = set_to(people.house, backup_days=10)
    done = await publish(later, notify=True)
    assert (done.version, done.notice, len(done.campaigns)) == (2, "mailed", 1)
    assert await people.count("campaign", "is_notice") == 1
    await send_all(later)
    caught = {
        mail.recipients[0]: mail for mail in await mailbox.messages() if "changed" in mail.subject or "geändert" in mail.subject
    }
    assert set(caught) == {ADA, BEN}
    english, german = caught[ADA].text or "", caught[BEN].text or ""
    assert "since 21 November 2026" in english
    assert "What we delete, and when" in english
    assert "Who is responsible" not in english
    assert "seit dem 21. November 2026" in german
    assert "Was wir wann löschen" in german
    links = links_in(english)
    assert "https://news.example.org/privacy?lang=en" in [link.strip("()") for link in links]
    assert "https://news.example.org/privacy/versions/1?lang=de" in [link.strip("()") for link in links_in(german)]
    way_out = next(link for link in links if "/unsubscribe/" in link)
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in caught[ADA].source
    await people.house.leaving.unsubscribe(token_in(way_out), Via.LINK, WEB, now=people.clock.at)
    assert await people.states(ADA) == {"letter": "unsubscribed"}


async def test_each_list_with_confirmed_readers_gets_one_notice_and_no_other(people: People) -> None:
    await people.reader(ADA, "digest")
    await people.sign_up(BEN, "letter")
    await publish(people.house)
    audience = await people.house.policy.audience()
    assert ([each.slug for each in audience.lists], audience.readers) == (["digest"], 1)
    done = await publish(set_to(people.house, backup_days=10), notify=True)
    (number,) = done.campaigns
    status = await people.house.campaigns.status(number)
    assert (status.list, status.state, status.planned) == ("digest", "sending", 1)


async def test_readers_are_told_of_a_version_once_and_afterwards_only_if_they_were_not(people: People) -> None:
    await people.reader(ADA, "letter")
    with pytest.raises(Conflict, match="No version was published yet"):
        await people.house.policy.notify(by="ops", now=people.clock.at)
    await publish(people.house)
    later = set_to(people.house, backup_days=10)
    await publish(later, no_notice="An error of ours")
    told = await asyncio.gather(*(later.policy.notify(by="ops", now=people.clock.at) for _ in range(2)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in told) == ["Conflict", "Publication"]
    assert await people.count("campaign", "is_notice") == 1
    newest = (await later.policy.versions())[0]
    assert (newest.notice, newest.reason) == ("mailed", None)
    with pytest.raises(Conflict, match="told of version 2 already"):
        await later.policy.notify(by="ops", now=people.clock.at)
    assert "ops policy.notify policy version 2" in await audited(people.house)


async def test_a_version_whose_notice_cannot_be_made_is_not_published_either(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people.reader(ADA, "letter")
    await publish(people.house)
    later = set_to(people.house, backup_days=10)
    await people.house.db.execute("alter table campaign add constraint broken check (not is_notice)")
    try:
        with pytest.raises(Exception, match="refused a statement"):
            await publish(later, notify=True)
    finally:
        await people.house.db.execute("alter table campaign drop constraint broken")
    assert len(await later.policy.versions()) == 1


# Who helps.


async def test_who_helps_is_named_in_the_policy_and_every_change_is_audited(house: House) -> None:
    assert "Nobody helps us with it" in await house.policy.text("en")
    now = house.clock.now()
    await house.subprocessors.add(POST, by="ops", now=now)
    text = await house.policy.text("en")
    assert "**Post Ltd**: For what: Delivers our letters; Country: Norway; Safeguard: Contract under Art. 28" in text
    assert "Nobody helps us with it" not in text
    await house.subprocessors.edit("Post Ltd", country="Iceland", by="ops", now=now)
    assert await house.subprocessors.all() == [replace(POST, country="Iceland")]
    assert "Country: Iceland" in await house.policy.text("en")
    await house.subprocessors.remove("Post Ltd", by="ops", now=now)
    assert await house.subprocessors.all() == []
    assert [line.partition(" subprocessor ")[0] for line in await audited(house)] == [
        "ops subprocessor.add",
        "ops subprocessor.edit",
        "ops subprocessor.remove",
    ]


async def test_a_subprocessor_is_refused_that_is_taken_unknown_or_cannot_be_shown(house: House) -> None:
    now = house.clock.now()
    await house.subprocessors.add(POST, by="ops", now=now)
    with pytest.raises(Conflict, match="already"):
        await house.subprocessors.add(POST, by="ops", now=now)
    for wrong in (
        replace(POST, name="  "),
        replace(POST, name="x" * 101),
        replace(POST, name="A\x1b[2J"),
        replace(POST, name="B", hosts=["https://x"]),
    ):
        with pytest.raises(InvalidInput):
            await house.subprocessors.add(wrong, by="ops", now=now)
    with pytest.raises(NotFound):
        await house.subprocessors.edit("Nobody", country="X", by="ops", now=now)
    with pytest.raises(NotFound):
        await house.subprocessors.remove("Nobody", by="ops", now=now)
    assert await house.subprocessors.all() == [POST]


async def test_a_relay_that_belongs_to_no_subprocessor_is_told_of_unless_it_is_on_this_machine(house: House) -> None:
    relays = (
        "smtp://127.0.0.1:25?starttls=never&name=own,smtp://localhost:587,"
        "smtps://eu.mail.post.example,smtps://u:p@Mail.Post.example,smtps://notmail.post.example,smtp://bulk.example:587"
    )
    house = set_to(house, smtp_url=SecretStr(relays))
    everywhere = ["eu.mail.post.example", "mail.post.example", "notmail.post.example", "bulk.example"]
    assert await house.policy.unnamed_relays() == everywhere
    assert f"mail servers at: {', '.join(everywhere)}." in await house.policy.text("en")
    await house.subprocessors.add(POST, by="ops", now=house.clock.now())
    assert await house.policy.unnamed_relays() == ["notmail.post.example", "bulk.example"]


async def test_nobody_is_said_to_help_only_where_that_is_so(house: House) -> None:
    for language, said in (("en", "Nobody helps us"), ("de", "Niemand hilft uns")):
        assert said in await house.policy.text(language)
        away = set_to(house, smtp_url=SecretStr("smtp://bulk.example:587"))
        assert said not in await away.policy.text(language)
        assert "bulk.example" in await away.policy.text(language)
    assert (await away.policy.record("en")).relays == ["bulk.example"]


# What is said follows what is set.


@pytest.mark.parametrize(
    ("given", "said", "unsaid"),
    [
        ({"evidence": "none"}, "keep no proof of your consent", "What proves that you once subscribed"),
        ({"evidence": "sealed"}, "neither your address nor where you asked from", "keep no proof"),
        ({"evidence": "full"}, "we keep for a while: your address", "neither your address"),
        ({"evidence_days": 33}, "deleted 33 days after your address", "180 days after your address"),
        ({"backup_days": 0}, "We keep no backups", "In backups"),
        ({"backup_days": 1}, "for 1 day at most", "We keep no backups"),
        ({"authority": "Data Office, Street 1"}, "Ours is: Data Office, Street 1", "where you live or work"),
        ({"authority": None}, "where you live or work", "Ours is"),
        ({"storage_country": "Iceland"}, "in this country: Iceland", "Germany"),
        ({"withdrawal_log": "/var/w.log"}, "file outside the database", "We keep no backups"),
        ({"withdrawal_log": None}, "Who is responsible", "file outside the database"),
    ],
)
async def test_the_policy_says_what_is_set(house: House, given: dict[str, Any], said: str, unsaid: str) -> None:
    text = await set_to(house, **given).policy.text("en")
    assert said in text
    assert unsaid not in text


async def test_every_language_has_the_same_sections_with_as_much_in_each(house: House) -> None:
    await house.subprocessors.add(POST, by="ops", now=house.clock.now())
    shapes = []
    for language in languages():
        shown = await house.policy.show(language)
        shapes.append([(each.key, [block.kind for block in each.blocks]) for each in shown.sections])
    assert shapes[0] == shapes[1]


async def test_the_record_of_processing_has_what_art_30_asks_for_and_every_promise(people: People) -> None:
    house = people.house
    await house.subprocessors.add(POST, by="ops", now=house.clock.now())
    record = await house.policy.record("en")
    assert record.controller == house.settings.controller
    assert record.contact == house.settings.privacy_contact
    assert record.senders == ["Northwind Society, Harbour Street 4, 24937 Flensburg"]
    assert [each.name for each in record.recipients] == ["Post Ltd"]
    assert [each.promise for each in record.erasure] == [each.name for each in house.retention.promises]
    assert next(each.days for each in record.erasure if each.promise == "left") == house.settings.erase_left_days
    assert next(each.days for each in record.erasure if each.promise == "unconfirmed") == pytest.approx(
        timedelta(hours=house.settings.confirm_hours) / timedelta(days=1)
    )
    assert "after 7 days" in record.server_logs
    for part in (record.purposes, record.data_subjects, record.data, record.security):
        assert part
    assert (await house.policy.record("de")).data != record.data
