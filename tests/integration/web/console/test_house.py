"""The house: relays, operators, tokens, the log, the doctor."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from newsletter.app import House, make_doctor
from newsletter.core.findings import Result
from newsletter.delivery.relays import relays_from_urls
from newsletter.delivery.standing import Relays
from newsletter.operators.doctor import Rooms
from newsletter.operators.rules import Scope
from newsletter.operators.sessions import WrongCredentials
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, Hire, Operator, location, words_of
from tests.integration.web.console.test_signing_in import code_at, second_secret
from tests.integration.web.site import Page, Site
from tests.names import Names
from tests.relay import ScriptedRelay


async def shown(who: Operator, path: str) -> str:
    answer = await who.get(path)
    assert answer.status == 200
    return words_of(await answer.text())


# Relays.


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    async with ScriptedRelay() as made:
        yield made


@pytest.fixture
async def house(house: House, relay: ScriptedRelay) -> House:
    """With two relays, of which the second is away, and a doctor who asks a DNS of ours."""
    urls = f"smtp://127.0.0.1:{relay.port}?starttls=never&name=first&rate=50&connections=4,"
    urls += "smtp://user:geheim@127.0.0.1:1?starttls=never&name=away&weight=0"
    house.__dict__["relays"] = Relays(house.db, relays_from_urls(urls), timeout=2)
    rooms = Rooms(house.outlook, house.policy, house.dkim_keys, None)
    house.__dict__["doctor"] = make_doctor(house.settings, house.db, rooms, Names(silent=True))
    return house


async def test_relays_stand_there_with_their_settings_and_never_with_a_password(owner: Operator) -> None:
    text = await shown(owner, "/console/relays")
    assert "first 127.0.0.1, port" in text
    assert "4 connections at most, all workers together" in text
    assert "50 a second at most" in text
    assert "only senders that name it" in text
    assert "geheim" not in text
    assert "user" not in text.replace("user@", "")


async def test_a_relay_that_asked_to_go_slower_is_shown_with_its_pace(owner: Operator, clock: ManualClock) -> None:
    await owner.house.db.execute(
        "insert into pace (name, free_at, slow_rate, slowed_at) values ('relay:first', $1, 5, $1)", clock.at
    )
    assert "slowed to 5 a second" in await shown(owner, "/console/relays")
    clock.move(minutes=1)
    assert "slowed to 10 a second" in await shown(owner, "/console/relays")
    clock.move(minutes=5)
    assert "slowed" not in await shown(owner, "/console/relays")


async def test_a_relay_is_tried_without_a_mail(owner: Operator, relay: ScriptedRelay) -> None:
    answer = await owner.post("/console/relays", {"relay": "first"})
    text = words_of(await answer.text())
    assert "first answers works" in text
    assert "PIPELINING announced" in text
    assert "Login none in the settings" in text
    assert not relay.taken
    away = await owner.post("/console/relays", {"relay": "away"})
    assert away.status == 200
    assert "away does not work failed" in words_of(await away.text())
    assert (await owner.post("/console/relays", {"relay": "third"})).status == 404


async def test_what_waits_what_was_given_up_and_who_works_is_counted(owner: Operator, clock: ManualClock) -> None:
    text = await shown(owner, "/console/relays")
    assert "No worker was heard of lately" in text
    assert "1 waits, 0 of them put off" in text, "the owner's own invitation"
    await owner.house.db.execute("update outbox set state = 'failed', reply = '550 <b>no</b>'")
    await owner.house.db.execute(
        "insert into worker (name, seen_until) values ('host:7', $1)", clock.at + timedelta(seconds=15)
    )
    raw = await (await owner.get("/console/relays")).text()
    assert "link for an operator 550 <b>no</b> 1" in words_of(raw)
    assert "550 &lt;b&gt;no" in raw
    assert "host:7" in raw


# Operators.


async def test_somebody_is_invited_by_mail_or_by_a_link_that_is_shown_once(owner: Operator, site: Site) -> None:
    form = {"name": "Ada", "role": "editor", "email": "ada@house.example", "current": PASSWORD}
    answer = await owner.post("/console/operators", form)
    assert location(answer).endswith("?done=invited")
    await site.work()
    assert "/console/welcome/" in ((await site.mail_to("ada@house.example")).text or "")
    by_hand = await owner.post("/console/operators", form | {"name": "Ben", "role": "viewer", "email": ""})
    text = await by_hand.text()
    assert (by_hand.status, "shown now and never again" in text) == (200, True)
    (link,) = re.findall(r"https://news\.example\.org(/console/welcome/\S+?)<", text)
    assert "Welcome, Ben" in await (await owner.client.get(link)).text()
    assert "/console/welcome/" not in await (await owner.get("/console/operators")).text()


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"name": " "}, 422, "needs a name"),
        ({"role": "king"}, 422, "needs a role"),
        ({"email": "x@"}, 422, "not a complete email address"),
        ({"name": "Owner"}, 409, "choose another"),
        ({"email": "owner@house.example"}, 409, "an operator with that address"),
        ({"name": "<script>x</script>", "role": ""}, 422, "needs a role"),
    ],
)
async def test_an_invitation_that_cannot_be_is_shown_again(
    change: dict[str, str], status: int, said: str, owner: Operator
) -> None:
    form = {"name": "Ada", "role": "editor", "email": "ada@house.example", "current": PASSWORD} | change
    answer = await owner.post("/console/operators", form)
    text = await answer.text()
    assert (answer.status, said in text) == (status, True)
    assert "<script>x" not in text
    page = Page(text)
    assert (page.field("name")["value"], page.field("email")["value"]) == (form["name"], form["email"])


async def test_an_owner_looks_after_somebody(owner: Operator, editor: Operator, clock: ManualClock) -> None:
    here = f"/console/operators/{editor.operator_id}"
    assert "203.0.113.0/24" in await shown(owner, here)
    assert location(await owner.post(f"{here}/role", {"role": "viewer", "current": PASSWORD})) == f"{here}?done=role_changed"
    assert (await editor.get("/console/requests")).status == 403
    assert (await owner.post(f"{here}/role", {"role": "x", "current": PASSWORD})).status == 422
    assert (await owner.post(f"{here}/second-factor", {"current": PASSWORD})).status == 404
    assert location(await owner.post(f"{here}/link", {"current": PASSWORD})) == f"{here}?done=linked_again"
    session = await owner.house.sessions.session(editor.cookie, now=clock.at)
    assert session
    for given in ("x", "", "0", "9" * 30):
        assert (await owner.post(f"{here}/session", {"session": given})).status == 404
    assert (await owner.post(f"{here}/session", {"session": str(session.session_id)})).status == 303
    assert (await editor.get("/console/")).status == 303
    assert location(await owner.post(f"{here}/let-go", {"current": PASSWORD})) == "/console/operators?done=let_go"
    assert (await owner.get(here)).status == 404
    done = [action for action, _ in await owner.done()]
    assert done[-4:] == ["operator.role", "operator.invite", "session.end", "operator.end"]


async def test_an_open_browser_alone_lets_nobody_in_and_takes_nothing_from_anybody(
    owner: Operator, editor: Operator, viewer: Operator, clock: ManualClock
) -> None:
    """Each of these outlives the session: accounts, roles, links that set a password, tokens; and what cannot be taken back."""
    secret = await second_secret(editor)
    missing = await editor.post("/console/account/second-factor", {"code": code_at(secret, clock)})
    assert (missing.status, "your own password" in await missing.text()) == (422, True)
    set_up = await editor.post("/console/account/second-factor", {"code": code_at(secret, clock), "current": PASSWORD})
    assert set_up.status == 200
    here, there = (f"/console/operators/{each.operator_id}" for each in (editor, viewer))
    new = {"name": "Cleo", "email": "cleo@house.example", "role": "viewer"}
    token = {"name": "script", "operator": "Owner", "days": "30", "scope": "campaigns:read"}
    acts: list[tuple[str, dict[str, str]]] = [
        (f"{here}/second-factor", {}),
        (f"{there}/role", {"role": "editor"}),
        (f"{here}/role", {"role": "owner"}),
        (f"{here}/role", {"role": "viewer"}),
        (f"{here}/link", {}),
        ("/console/operators", new),
        ("/console/tokens", token),
        (f"{here}/let-go", {}),
    ]
    before = len(await owner.done())
    for path, fields in acts:
        for current, said in (("", "your own password"), ("a guess", "The password is wrong.")):
            answer = await owner.post(path, fields | {"current": current})
            assert (answer.status, said in await answer.text()) == (422, True), path
        clock.move(minutes=4)  # Five wrong ones in a quarter of an hour are too many.
    account = await owner.house.accounts.own(editor.operator_id)
    assert (account.role, account.totp_since is not None) == ("editor", True)
    assert (await owner.house.accounts.own(viewer.operator_id)).role == "viewer"
    assert {action for action, _ in (await owner.done())[before:]} <= {"session.refuse"}
    for path, fields in acts:
        assert (await owner.post(path, fields | {"current": PASSWORD})).status in (200, 303), path
    done = [action for action, _ in (await owner.done())[before:] if action != "session.refuse"]
    assert done == [
        "second-factor.end", "operator.role", "operator.role", "operator.role", "operator.invite", "operator.create",
        "token.create", "operator.end"]  # fmt: skip


async def test_a_role_that_was_chosen_stays_chosen_where_the_password_was_wrong(owner: Operator, viewer: Operator) -> None:
    answer = await owner.post(f"/console/operators/{viewer.operator_id}/role", {"role": "editor", "current": "a guess"})
    page = Page(await answer.text())
    assert [each["value"] for each in page.all("input") if each.get("name") == "role" and "checked" in each] == ["editor"]


async def test_an_owner_does_not_end_a_session_through_the_page_of_somebody_else(
    owner: Operator, editor: Operator, viewer: Operator, clock: ManualClock
) -> None:
    session = await owner.house.sessions.session(editor.cookie, now=clock.at)
    assert session
    wrong = f"/console/operators/{viewer.operator_id}/session"
    assert (await owner.post(wrong, {"session": str(session.session_id)})).status == 404
    assert (await editor.get("/console/")).status == 200


async def test_the_last_owner_stays(owner: Operator) -> None:
    here = f"/console/operators/{owner.operator_id}"
    for path, fields in ((f"{here}/role", {"role": "viewer"}), (f"{here}/let-go", {})):
        answer = await owner.post(path, fields | {"current": PASSWORD})
        assert (answer.status, "last owner" in await answer.text()) == (409, True)
    assert (await owner.get(here)).status == 200


async def test_of_two_owners_one_may_step_back_and_sees_the_house_no_more(
    owner: Operator, hire: Hire, clock: ManualClock
) -> None:
    now = clock.at
    invited = await owner.house.accounts.invite("Second", "owner", "second@house.example", now=now)
    await owner.house.accounts.welcome(urlsplit(invited.link).path.rpartition("/")[2], PASSWORD, now=now)
    stepped = await owner.post(f"/console/operators/{owner.operator_id}/role", {"role": "editor", "current": PASSWORD})
    assert location(stepped) == "/console/?done=role_changed"
    assert (await owner.get("/console/operators")).status == 403


async def test_every_button_that_destroys_says_first_what_will_happen(owner: Operator, editor: Operator) -> None:
    text = await (await owner.get(f"/console/operators/{editor.operator_id}")).text()
    before, _, form = text.partition("/let-go")
    assert before.rindex("<details") < before.rindex("<summary"), "closed until it is opened"
    assert form.index("This cannot be taken back") < form.index('<button class="danger">Let Editor go')


# Tokens.


async def test_a_token_is_shown_once_and_stored_as_its_hash(owner: Operator, site: Site, clock: ManualClock) -> None:
    form = {"name": "script", "operator": "Owner", "days": "30", "scope": [Scope.READ.value, Scope.SEND.value]}
    answer = await owner.post("/console/tokens", form | {"current": PASSWORD})
    (token,) = re.findall(r"nl_[\w-]{43}", await answer.text())
    caller = await site.house.operators.caller(token, now=clock.at)
    assert caller
    assert (caller.operator, sorted(caller.scopes)) == ("Owner", ["campaigns:read", "campaigns:send"])
    assert await site.house.operators.caller(token, now=clock.at + timedelta(days=30)) is None
    again = await shown(owner, "/console/tokens")
    assert token not in again
    assert "script Owner campaigns:read, campaigns:send 21 November 2026 until 21 December 2026" in again
    assert not any(token in row for rows in (await site.database()).values() for row in rows)
    (row,) = await site.house.operators.tokens()
    assert location(await owner.post(f"/console/tokens/{row.token_id}/revoke")) == "/console/tokens?done=revoked"
    assert await site.house.operators.caller(token, now=clock.at) is None
    assert (await owner.post(f"/console/tokens/{row.token_id}/revoke")).status == 404


async def test_a_form_makes_one_token_however_often_its_page_is_loaded_again(owner: Operator) -> None:
    number = (await owner.page("/console/tokens")).field("form")["value"]
    form = {"name": "script", "days": "30", "scope": ["campaigns:read"], "current": PASSWORD, "form": number}
    refused = await owner.post("/console/tokens", form | {"current": ""})
    assert refused.status == 422, "and has not made one yet"
    answers = await asyncio.gather(*(owner.post("/console/tokens", form) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409]
    again = await owner.post("/console/tokens", form)
    text = await again.text()
    assert (again.status, "This form has made its token" in text, "nl_" in text) == (409, True, False)
    assert len(await owner.house.operators.tokens()) == 1
    other = await owner.post("/console/tokens", form | {"form": Page(text).field("form")["value"]})
    assert other.status == 200, "the next form makes the next one"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": ""}, 422),
        ({"scope": []}, 422),
        ({"scope": ["everything"]}, 422),
        ({"days": "0"}, 422),
        ({"days": "3651"}, 422),
        ({"days": "²"}, 422),
        ({"operator": "Nobody"}, 404),
    ],
)
async def test_a_token_that_cannot_be_is_asked_for_again(
    change: dict[str, str | list[str]], status: int, owner: Operator
) -> None:
    form = {"name": "script", "operator": "Owner", "days": "30", "scope": ["campaigns:read"]} | change
    answer = await owner.post("/console/tokens", form | {"current": PASSWORD})
    text = await answer.text()
    assert answer.status == status
    assert 'class="error"' in text
    assert Page(text).field("days")["value"] == form["days"]
    assert await owner.house.operators.tokens() == []


# The log.


async def test_the_log_is_read_page_by_page_and_of_one_operator(owner: Operator, clock: ManualClock) -> None:
    await owner.house.db.execute(
        "insert into audit_log (occurred_at, operator, action, target)"
        " select $1, case when n % 2 = 0 then 'Ada & Ben' else 'Carl' end, 'list.edit', 'list ' || n"
        " from generate_series(1, 120) n",
        clock.at,
    )
    seen: list[str] = []
    path = "/console/audit?operator=Ada+%26+Ben"
    for _ in range(2):
        text = await (await owner.get(path)).text()
        seen += re.findall(r"list (\d+)<", text)
        (older,) = re.findall(r'href="([^"]+)" rel="next"', text) or [""]
        path = older.replace("&amp;", "&")
    assert seen == [str(number) for number in range(120, 0, -2)]
    assert path == ""
    assert "Carl" in await shown(owner, "/console/audit")
    nobody = await shown(owner, "/console/audit?operator=%3Cb%3E")
    assert "Nothing matches" in nobody
    assert "Carl" not in await shown(owner, "/console/audit?operator=%3Cb%3E")
    assert (await owner.get("/console/audit?before=x&operator=")).status == 200


@pytest.mark.parametrize("asked", ["Ada", "ada", "ADA", "Schedule"])
async def test_the_log_finds_a_name_whatever_its_case(asked: str, owner: Operator, clock: ManualClock) -> None:
    await owner.house.accounts.invite("Ada", "viewer", None, now=clock.at)
    await owner.house.db.execute(
        "insert into audit_log (occurred_at, operator, action, target) values"
        " ($1, 'Ada', 'list.edit', 'Ada'), ($1, 'schedule', 'list.edit', 'Schedule'), ($1, 'Adam', 'list.edit', 'Adam')",
        clock.at,
    )
    assert listed(await (await owner.get(f"/console/audit?operator={asked}")).text()) == [asked.title()]


def listed(markup: str) -> list[str]:
    """What the lines of the log are about."""
    return re.findall(r'data-label="About">(.*?)</td>', markup)


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ("action=list.edit", "3 1"),
        ("action=list.close&operator=Carl", "4"),
        ("from=2026-03-10&to=2026-03-10", "3 2"),
        ("from=2026-03-11", "4"),
        ("to=2026-03-09", "1"),
        ("to=2026-03-10&action=list.edit&operator=", "3 1"),
    ],
)
async def test_the_log_is_read_by_action_and_by_day_where_its_times_are(chosen: str, numbers: str, owner: Operator) -> None:
    """In Berlin it is midnight an hour before it is in UTC."""
    await owner.house.db.execute(
        "insert into audit_log (occurred_at, operator, action, target) values"
        " ('2026-03-09 22:59:59.9Z', 'Ben', 'list.edit', '1'), ('2026-03-09 23:00Z', 'Ben', 'list.close', '2'),"
        " ('2026-03-10 22:59:59.9Z', 'Carl', 'list.edit', '3'), ('2026-03-10 23:00Z', 'Carl', 'list.close', '4')"
    )
    await owner.house.db.execute("delete from audit_log where operator not in ('Ben', 'Carl')")
    assert listed(await (await owner.get(f"/console/audit?{chosen}")).text()) == numbers.split()


async def test_whomever_the_log_may_name_is_suggested_where_it_was_no_operator_too(owner: Operator, clock: ManualClock) -> None:
    await owner.house.operators.first_credentials(now=clock.at)
    with pytest.raises(WrongCredentials):
        await owner.house.sessions.sign_in("who@house.example", PASSWORD, HERE, now=clock.at)
    named = {row[0] for row in await owner.house.db.fetch("select operator from audit_log")}
    assert named == {"command line", "first start", "nobody", "Owner"}
    suggested = {each["value"] for each in (await owner.page("/console/audit")).all("option")}
    assert named | {"schedule", "demo"} <= suggested


async def test_a_filter_stays_from_page_to_page_of_the_log(owner: Operator) -> None:
    await owner.house.db.execute(
        "insert into audit_log (occurred_at, operator, action, target)"
        " select '2026-03-10 12:00Z', 'Ben', case when n % 2 = 0 then 'list.edit' else 'list.close' end, n::text"
        " from generate_series(1, 204) n"
    )
    path, seen = "/console/audit?action=list.edit&from=2026-03-10&to=2026-03-10", list[str]()
    while path:
        page = await (await owner.get(path)).text()
        seen += listed(page)
        (path, *_) = [*(each.replace("&amp;", "&") for each in re.findall(r'href="([^"]+)" rel="next"', page)), ""]
    assert seen == [str(number) for number in range(204, 0, -2)]
    newest = re.findall(r'href="([^"]+)">Newest<', page)
    assert newest == ["/console/audit?action=list.edit&amp;from=2026-03-10&amp;to=2026-03-10"]


async def test_whoever_finds_nothing_in_the_log_is_led_back_to_all_of_it(owner: Operator) -> None:
    page = await owner.page("/console/audit?action=nothing.such&from=2026-03-01")
    assert "Nothing matches." in page.words
    assert page.field("from")["value"] == "2026-03-01"
    assert ("a", "/console/audit") in page.addresses


async def test_years_that_cannot_be_asked_about_are_told_from_what_is_no_day(owner: Operator) -> None:
    for chosen in ("to=9999-12-31", "from=0001-01-01", "from=1969-12-31", "from=0001-01-01&to=9999-12-31"):
        words = await (await owner.get(f"/console/audit?{chosen}")).text()
        assert "Please ask about days in the years 1970 to 2999." in words, chosen
        assert "such as" not in words
    assert (await owner.get("/console/audit?from=1970-01-01&to=2999-12-31")).status == 200


@pytest.mark.parametrize(
    "chosen", ["from=yesterday", "to=2026-02-30", "to=9999-12-31", "from=0001-01-01", "from=2026-03-02&to=2026-03-01"]
)
async def test_days_that_cannot_be_are_asked_for_again(chosen: str, owner: Operator) -> None:
    answer = await owner.get(f"/console/audit?{chosen}")
    text = await answer.text()
    assert answer.status == 422
    assert 'role="alert">' in text
    assert listed(text) == []


async def test_a_line_about_a_reader_leads_to_them_until_they_are_deleted(
    owner: Operator, editor: Operator, site: Site
) -> None:
    for address in ("ada@example.org", "ben@example.org"):
        await site.subscribe(address)
        await editor.page(f"/console/subscribers/{site.id_of(address)}")
    ada, ben = (f"/console/subscribers/{site.id_of(address)}" for address in ("ada@example.org", "ben@example.org"))
    log = "/console/audit?operator=Editor&action=subscriber.show"
    links = [value for _, value in (await owner.page(log)).addresses if value.startswith("/console/subscribers/")]
    assert links == [ben, ada]
    assert (await owner.get(ben)).status == 200
    await editor.post(f"{ada}/erase")
    text = await (await owner.get(log)).text()
    assert len(listed(text)) == 2
    assert ben in text
    assert str(site.id_of("ada@example.org"))[:8] not in text
    assert "@example.org" not in text
    assert ("subscriber.erase", "a subscriber") in await editor.done()


# The doctor.


async def test_the_doctor_looks_when_asked_and_is_honest_without_dns(owner: Operator, site: Site) -> None:
    before = await shown(owner, "/console/doctor")
    assert "It changes nothing, sends nothing, and takes 20 seconds at most." in before
    answer = await owner.post("/console/doctor")
    text = words_of(await answer.text())
    assert "unknown SPF of northwind.example DNS could not be asked for northwind.example" in text
    assert "unknown DMARC of northwind.example DNS could not be asked" in text
    assert "good Schema" in text
    assert "good Promises" in text or "look at it Promises" in text
    examination = await site.house.doctor.examine(now=site.house.clock.now())
    asked = [each for each in examination.findings if each.looked_at.startswith(("SPF", "DMARC", "Reverse"))]
    assert {each.result for each in asked} == {Result.UNKNOWN}
