"""Who gets in: a password, a second factor, links that work once; and who does not, which is on record."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from http.cookies import SimpleCookie
from io import BytesIO
from urllib.parse import urlencode, urlsplit

import pyotp
import pytest
from aiohttp import ClientResponse

from newsletter.app import House
from newsletter.core.errors import Conflict, NotFound, TooMany
from newsletter.core.keys import unwrap
from newsletter.operators.sessions import From, WrongCredentials, form_token
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, SAME_SITE, Hire, Operator, location
from tests.integration.web.console.forms import forms_of
from tests.integration.web.site import Page, Site

SIGN_IN = "/console/sign-in"
WRITTEN = "/console/campaigns/new"
"""A form that keeps what was typed into it."""


def cookie_of(answer: ClientResponse) -> str:
    morsel = SimpleCookie(answer.headers.get("Set-Cookie", ""))["__Host-session"]
    assert (morsel["httponly"], morsel["secure"], morsel["samesite"], morsel["path"]) == (True, True, "Lax", "/")
    return morsel.value


async def sign_in(who: Operator, password: str = PASSWORD, **fields: str) -> ClientResponse:
    form = {"email": who.address, "password": password, **fields}
    return await who.client.post(SIGN_IN, data=form, headers=SAME_SITE, allow_redirects=False)


async def second_secret(who: Operator) -> str:
    """Set one up; its secret, to make codes with."""
    page = await who.get("/console/account/second-factor")
    secret = re.search(r"<code>([A-Z2-7 ]+)</code>", await page.text())
    assert secret
    return secret[1].replace(" ", "")


def code_at(secret: str, clock: ManualClock) -> str:
    return pyotp.TOTP(secret).at(clock.at)


async def test_whoever_knows_the_password_is_let_in_and_led_to_where_they_wanted(editor: Operator) -> None:
    asked = await editor.with_cookie("").get("/console/account?a=b")
    assert (asked.status, location(asked)) == (303, "/console/sign-in?next=/console/account%3Fa%3Db")
    answer = await sign_in(editor, next="/console/account?a=b")
    assert (answer.status, location(answer)) == (303, "/console/account?a=b")
    fresh = editor.with_cookie(cookie_of(answer))
    assert fresh.cookie != editor.cookie
    assert (await fresh.page("/console/account")).heading == "Your account"
    assert ("session.begin", "from 127.0.0.0/24") in await editor.done()


@pytest.mark.parametrize(
    "next_page",
    [
        "https://evil.example/console/",
        "//evil.example",
        "/\\evil.example",
        "/console/../..//evil.example",
        "/console//evil",
        "javascript:1",
    ],
)
async def test_signing_in_leads_to_no_other_site(editor: Operator, next_page: str) -> None:
    assert location(await sign_in(editor, next=next_page)) == "/console/"
    shown = await editor.with_cookie("").client.get(SIGN_IN, params={"next": next_page})
    assert Page(await shown.text()).field("next")["value"] == "/console/"


async def test_a_wrong_password_and_an_unknown_address_are_told_the_same(editor: Operator, house: House) -> None:
    wrong = await sign_in(editor, "another password")
    unknown = await editor.client.post(SIGN_IN, data={"email": "who@house.example", "password": PASSWORD}, headers=SAME_SITE)
    assert (wrong.status, unknown.status) == (422, 422)
    assert (await wrong.text()).replace(editor.address, "") == (await unknown.text()).replace("who@house.example", "")
    assert ("session.refuse", "wrong password") in await editor.done()
    assert await house.db.fetchval("select count(*) from audit_log where operator = 'nobody'") == 1
    assert not await house.db.fetchval("select exists (select from audit_log a where a::text like '%who@%')")


async def test_failures_from_one_network_lock_out_nobody_elsewhere(editor: Operator, house: House, clock: ManualClock) -> None:
    attacker, elsewhere = From("198.51.100.9", ""), From("203.0.113.7", "")
    for _ in range(5):
        with pytest.raises(WrongCredentials):
            await house.sessions.sign_in(editor.address, "guess", attacker, now=clock.at)
    with pytest.raises(TooMany):
        await house.sessions.sign_in(editor.address, PASSWORD, attacker, now=clock.at)
    assert (await house.sessions.sign_in(editor.address, PASSWORD, elsewhere, now=clock.at)).cookie
    clock.move(minutes=15)
    assert (await house.sessions.sign_in(editor.address, PASSWORD, attacker, now=clock.at)).cookie


async def test_a_network_that_guesses_at_many_accounts_is_stopped(editor: Operator, house: House, clock: ManualClock) -> None:
    attacker = From("198.51.100.9", "")
    for number in range(30):
        with pytest.raises(WrongCredentials):
            await house.sessions.sign_in(f"guess{number}@house.example", "guess", attacker, now=clock.at)
    with pytest.raises(TooMany):
        await house.sessions.sign_in(editor.address, PASSWORD, attacker, now=clock.at)


async def test_a_session_ends_when_idle_and_at_last_and_that_is_on_record(editor: Operator, clock: ManualClock) -> None:
    for _ in range(6):
        clock.move(hours=1, minutes=59)
        assert (await editor.get("/console/account")).status == 200
    clock.move(minutes=6)
    assert location(await editor.get("/console/account")).startswith(SIGN_IN)  # twelve hours
    fresh = editor.with_cookie(cookie_of(await sign_in(editor)))
    clock.move(hours=2)
    assert location(await fresh.get("/console/account")).startswith(SIGN_IN)  # two hours idle
    rows = await editor.house.db.fetch("select operator, target from audit_log where action = 'session.refuse'")
    assert [(row["operator"], row["target"]) for row in rows] == [
        (f"operator {editor.operator_id}", "a session that has ended")
    ] * 2


async def test_a_cookie_that_was_never_ours_leaves_no_line_in_the_log(stranger: Operator) -> None:
    answer = await stranger.with_cookie("x" * 60).get("/console/account")
    assert location(answer).startswith(SIGN_IN)
    assert await stranger.house.db.fetchval("select count(*) from audit_log where action = 'session.refuse'") == 0


async def test_signing_out_ends_the_session_for_good(editor: Operator) -> None:
    answer = await editor.post("/console/sign-out")
    assert (answer.status, location(answer)) == (303, SIGN_IN)
    assert location(await editor.get("/console/account")).startswith(SIGN_IN)


async def test_a_session_can_be_ended_from_another(editor: Operator, clock: ManualClock) -> None:
    other = editor.with_cookie(cookie_of(await sign_in(editor)))
    session = await editor.house.sessions.session(other.cookie, now=clock.at)
    assert session
    assert (await editor.post(f"/console/account/sessions/{session.session_id}/end")).status == 303
    assert location(await other.get("/console/account")).startswith(SIGN_IN)
    assert (await editor.get("/console/account")).status == 200


async def test_nobody_ends_the_session_of_somebody_else(editor: Operator, viewer: Operator, clock: ManualClock) -> None:
    session = await editor.house.sessions.session(editor.cookie, now=clock.at)
    assert session
    assert (await viewer.post(f"/console/account/sessions/{session.session_id}/end")).status == 404
    assert (await editor.get("/console/account")).status == 200


async def test_a_role_that_is_taken_away_counts_from_the_next_click_on(hire: Hire, site: Site, clock: ManualClock) -> None:
    owner, editor = await hire("owner"), await hire("editor")
    before = await site.house.sessions.session(editor.cookie, now=clock.at)
    await site.house.accounts.change_role(editor.operator_id, "viewer", by=owner.name, now=clock.at)
    after = await site.house.sessions.session(editor.cookie, now=clock.at)
    assert before
    assert after
    assert (before.may("write"), after.may("write"), after.may("look")) == (True, False, True)
    await site.house.accounts.let_go(editor.operator_id, by=owner.name, now=clock.at)
    assert await site.house.sessions.session(editor.cookie, now=clock.at) is None
    kept = await site.house.db.fetchval("select o::text from operator o where operator_id = $1", editor.operator_id)
    assert editor.address not in kept
    assert "argon2" not in kept


async def test_the_last_owner_stays(owner: Operator, clock: ManualClock) -> None:
    accounts = owner.house.accounts
    with pytest.raises(Conflict, match="last owner"):
        await accounts.change_role(owner.operator_id, "viewer", by=owner.name, now=clock.at)
    with pytest.raises(Conflict, match="last owner"):
        await accounts.let_go(owner.operator_id, by=owner.name, now=clock.at)


async def test_with_a_second_factor_the_password_alone_opens_nothing(editor: Operator, clock: ManualClock) -> None:
    secret = await second_secret(editor)
    assert secret == await second_secret(editor), "the same until it is confirmed"
    wrong = await editor.post("/console/account/second-factor", {"current": PASSWORD, "code": "000000"})
    assert wrong.status == 422
    begun = await editor.post("/console/account/second-factor", {"current": PASSWORD, "code": code_at(secret, clock)})
    recovery = re.findall(r"<code>([a-z2-7-]{19})</code>", await begun.text())
    assert (begun.status, len(set(recovery))) == (200, 10)

    half = editor.with_cookie(cookie_of(await sign_in(editor)))
    assert location(await half.get("/console/account")).startswith(SIGN_IN)
    clock.move(seconds=30)
    code = code_at(secret, clock)
    right = await half.post(f"{SIGN_IN}/code", {"code": code})
    whole = half.with_cookie(cookie_of(right))
    assert whole.cookie != half.cookie, "a cookie from before is worth nothing after"
    assert (await whole.get("/console/account")).status == 200
    assert location(await half.get("/console/account")).startswith(SIGN_IN)


async def test_a_code_that_was_used_is_refused_and_on_record_and_so_is_a_used_recovery_code(
    editor: Operator, clock: ManualClock
) -> None:
    secret = await second_secret(editor)
    begun = await editor.post("/console/account/second-factor", {"current": PASSWORD, "code": code_at(secret, clock)})
    (recovery, *_) = re.findall(r"<code>([a-z2-7-]{19})</code>", await begun.text())
    for code in (code_at(secret, clock), pyotp.TOTP(secret).at(clock.at - timedelta(seconds=30))):
        half = editor.with_cookie(cookie_of(await sign_in(editor)))
        again = await half.post(f"{SIGN_IN}/code", {"code": code})
        assert again.status == 422
        assert "used before" in await again.text()
    assert (await editor.done())[-1] == ("session.refuse", "wrong code")
    half = editor.with_cookie(cookie_of(await sign_in(editor)))
    assert (await half.post(f"{SIGN_IN}/code", {"code": recovery.upper()})).status == 303
    half = editor.with_cookie(cookie_of(await sign_in(editor)))
    assert (await half.post(f"{SIGN_IN}/code", {"code": recovery})).status == 422


async def test_codes_cannot_be_guessed_at(editor: Operator, clock: ManualClock) -> None:
    secret = await second_secret(editor)
    await editor.post("/console/account/second-factor", {"current": PASSWORD, "code": code_at(secret, clock)})
    half = editor.with_cookie(cookie_of(await sign_in(editor)))
    clock.move(seconds=30)
    for number in range(5):
        answer = await half.post(f"{SIGN_IN}/code", {"code": f"{number:06}"})
        assert (answer.status, "used before" in await answer.text()) == (422, True)
    right = await half.post(f"{SIGN_IN}/code", {"code": code_at(secret, clock)})
    assert (right.status, "begin again" in await right.text()) == (422, True)
    again = editor.with_cookie(cookie_of(await sign_in(editor)))
    assert (await again.post(f"{SIGN_IN}/code", {"code": code_at(secret, clock)})).status == 429, "nor by beginning again"


async def test_the_second_step_has_ten_minutes(editor: Operator, clock: ManualClock) -> None:
    secret = await second_secret(editor)
    await editor.post("/console/account/second-factor", {"current": PASSWORD, "code": code_at(secret, clock)})
    half = editor.with_cookie(cookie_of(await sign_in(editor)))
    clock.move(minutes=10)
    late = await half.post(f"{SIGN_IN}/code", {"code": code_at(secret, clock)})
    assert "It took too long" in await late.text()


async def test_secrets_lie_wrapped_and_bound_to_their_owner(editor: Operator, house: House) -> None:
    secret = await second_secret(editor)
    stored = await house.db.fetchval("select totp from operator where operator_id = $1", editor.operator_id)
    assert base64.b32decode(secret) not in stored
    assert unwrap(stored, house.settings.secret.get_secret_value(), f"totp {editor.operator_id}")


async def test_a_form_without_the_pages_own_field_or_from_elsewhere_changes_nothing(editor: Operator, viewer: Operator) -> None:
    foreign = await editor.post("/console/sign-out", {"seal": "0" * 32})
    others = await editor.client.post(
        "/console/sign-out", data={"seal": "x"}, headers=editor.headers | {"Sec-Fetch-Site": "cross-site"}
    )
    old_browser = await editor.post("/console/sign-out", headers={"Sec-Fetch-Site": "", "Origin": "https://evil.example"})
    assert (foreign.status, others.status, old_browser.status) == (403, 403, 403)
    assert (await editor.get("/console/account")).status == 200
    assert ("request.refuse", "POST /console/sign-out, a form that is not of this session") in await editor.done()


async def test_browsers_that_do_not_say_so_in_their_own_way_are_known_by_origin(editor: Operator) -> None:
    headers = editor.headers | {"Origin": "https://news.example.org"}
    form = {"email": editor.address, "password": PASSWORD}
    answer = await editor.client.post(SIGN_IN, data=form, headers=headers, allow_redirects=False)
    assert answer.status == 303
    assert (await editor.client.post(SIGN_IN, data=form, allow_redirects=False)).status == 403


async def test_what_was_typed_when_the_session_ended_is_there_after_signing_in(editor: Operator, clock: ManualClock) -> None:
    clock.move(hours=3)
    text = 'Dear <b>reader</b>,\n\n"tide" & lamp'
    answer = await editor.post(WRITTEN, {"subject": "Tide", "text": text, "password": "pass phrase"})
    assert answer.status == 401
    assert "pass phrase" not in await answer.text(), "whatever is called so is sent back to nobody"
    page = Page(await answer.text())
    kept = page.field("kept")["value"]
    assert kept
    again = await sign_in(editor, kept=kept)
    shown = await again.text()
    assert "What you wrote is still here" in shown
    assert "Dear &lt;b&gt;reader&lt;/b&gt;" in shown
    assert Page(shown).all("form")[0]["action"] == WRITTEN
    assert Page(shown).field("seal")["value"]


async def test_nobody_else_who_signs_in_then_sees_it(editor: Operator, viewer: Operator, clock: ManualClock) -> None:
    clock.move(hours=3)
    answer = await editor.post(WRITTEN, {"subject": "Tide"})
    kept = Page(await answer.text()).field("kept")["value"]
    other = await sign_in(viewer, kept=kept or "")
    assert (other.status, location(other)) == (303, "/console/")
    never = await editor.with_cookie("x" * 60).post(WRITTEN, {"subject": "Tide"})
    assert (never.status, 'name="kept"' in await never.text()) == (401, False)


async def written_by(who: Operator) -> str:
    """What the form says of whose text it is."""
    return (await who.page(WRITTEN)).field("writer")["value"] or ""


async def test_what_was_typed_comes_along_where_no_cookie_is_left(editor: Operator, viewer: Operator) -> None:
    """They signed out in another tab, or the browser has forgotten its cookies; somebody else may sign in there."""
    form = {"subject": "Tide", "writer": await written_by(editor)}
    await editor.post("/console/sign-out")
    answer = await editor.with_cookie("").post(WRITTEN, form)
    assert answer.status == 401
    kept = Page(await answer.text()).field("kept")["value"] or ""
    assert location(await sign_in(viewer, kept=kept)) == "/console/"
    shown = await (await sign_in(editor, kept=kept)).text()
    assert "What you wrote is still here" in shown
    assert Page(shown).field("subject")["value"] == "Tide"


async def test_a_form_is_of_who_wrote_it_and_not_of_who_signed_in_there_since(
    editor: Operator, viewer: Operator, clock: ManualClock
) -> None:
    form = {"subject": "Tide", "writer": await written_by(editor)}
    clock.move(hours=3)
    kept = Page(await (await viewer.post(WRITTEN, form)).text()).field("kept")["value"] or ""
    assert location(await sign_in(viewer, kept=kept)) == "/console/"
    assert "What you wrote is still here" in await (await sign_in(editor, kept=kept)).text()


async def test_who_signed_in_again_in_another_tab_is_shown_their_text_with_a_form_that_works(
    editor: Operator, owner: Operator, site: Site
) -> None:
    form = {"name": "Tide", "list": "letter", "language": "letter:en", "writer": await written_by(editor)}
    fresh = editor.with_cookie(cookie_of(await sign_in(editor)))
    answer = await fresh.post(WRITTEN, form | {"seal": form_token(editor.cookie)})
    shown = Page(await answer.text())
    assert (answer.status, shown.field("name")["value"]) == (403, "Tide")
    assert await site.house.db.fetchval("select count(*) from campaign where name = 'Tide'") == 0, "nobody has pressed yet"
    assert (await fresh.post(WRITTEN, form | {"seal": shown.field("seal")["value"]})).status == 303
    other = await owner.post(WRITTEN, form | {"seal": form_token(editor.cookie)})
    assert (other.status, "Tide" in await other.text()) == (403, False)


async def test_nobody_is_believed_to_have_written_what_they_did_not(editor: Operator) -> None:
    for writer in ("x", str(editor.operator_id), editor.cookie):
        answer = await editor.with_cookie("").post(WRITTEN, {"subject": "Tide <b>", "writer": writer})
        text = await answer.text()
        assert (answer.status, 'name="kept"' in text) == (401, False)
        assert "Copy it from here" in text
        assert "Tide &lt;b&gt;</textarea>" in text, "and is not lost"


async def test_every_form_that_is_kept_says_who_writes_in_it(owner: Operator, site: Site) -> None:
    pages = ("campaigns/new", "layouts/new", "lists/new", "lists/letter/edit", "requests", "policy", "policy/subprocessors")
    for page in pages:
        fields = [form.fields for form in forms_of(f"/console/{page}", await (await owner.get(f"/console/{page}")).text())]
        assert any(form.get("writer") for form in fields), page


async def test_what_is_too_long_to_come_back_does_not_keep_anybody_from_signing_in(
    editor: Operator, clock: ManualClock
) -> None:
    clock.move(hours=3)
    for text, is_kept in (("\u0436" * 150_000, True), ("\u0436\n" * 110_000, False)):
        form = urlencode({"text": text}).encode()
        headers = editor.headers | SAME_SITE | {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await editor.client.post(WRITTEN, data=BytesIO(form), headers=headers)
        assert (answer.status, 'name="kept"' in await answer.text()) == (401, is_kept)
        assert ("At most 500,000 characters come along" in await answer.text()) == (not is_kept)


async def test_forms_with_secrets_are_not_carried_on(editor: Operator, clock: ManualClock) -> None:
    clock.move(hours=3)
    form = {"current": PASSWORD, "password": "boots slip lamp tide", "again": "boots slip lamp tide", "more": "some words"}
    answer = await editor.post("/console/account/password", form)
    text = await answer.text()
    assert answer.status == 401
    assert not [value for value in ("kept", *form.values()) if value in text]


@pytest.mark.parametrize(
    "kept",
    ['[{0}, "https://evil.example/", [["a", "b"]]]', "[", '[{0}, "/console/account", 5]', "[]", "[{0}, [], []]", "[" * 100_000],
    ids=lambda kept: kept[:50],
)
async def test_nothing_is_believed_of_what_was_kept(editor: Operator, kept: str) -> None:
    answer = await sign_in(editor, kept=kept.replace("{0}", str(editor.operator_id)))
    assert (answer.status, location(answer)) == (303, "/console/")


# Links.


async def test_who_is_invited_sets_a_password_by_the_mail_and_the_link_works_once(owner: Operator, site: Site) -> None:
    now = site.house.clock.now()
    invited = await site.house.accounts.invite("Ben", "editor", "ben@house.example", by=owner.name, now=now)
    assert invited.is_mailed
    await site.work()
    mail = await site.mail_to("ben@house.example")
    assert invited.link in (mail.text or "")
    path = urlsplit(invited.link).path
    assert "Welcome, Ben" in await (await owner.client.get(path)).text()
    form = {"password": PASSWORD, "again": PASSWORD}
    for fields, said in (({"again": "x"}, "not the same"), ({"password": "short", "again": "short"}, "too short")):
        refused = await owner.client.post(path, data=form | fields, headers=SAME_SITE)
        assert refused.status == 422
        assert said in await refused.text()
    assert (await owner.client.post(path, data=form, headers=SAME_SITE)).status == 200
    for answer in (await owner.client.get(path), await owner.client.post(path, data=form, headers=SAME_SITE)):
        assert answer.status == 404
    assert (await site.house.sessions.sign_in("ben@house.example", PASSWORD, HERE, now=now)).cookie


async def test_a_forgotten_password_is_set_anew_by_a_mail_and_all_sessions_end(editor: Operator, site: Site) -> None:
    known = await editor.client.post("/console/forgot", data={"email": editor.address}, headers=SAME_SITE)
    unknown = await editor.client.post("/console/forgot", data={"email": "who@house.example"}, headers=SAME_SITE)
    assert await known.text() == await unknown.text()
    await site.work()
    link = re.search(r"https://news\.example\.org(/console/welcome/\S+)", (await site.mail_to(editor.address)).text or "")
    assert link
    assert len(await site.mailbox.messages()) == 1
    fresh = {"password": "boots slip lamp tide", "again": "boots slip lamp tide"}
    assert (await editor.client.post(link[1], data=fresh, headers=SAME_SITE)).status == 200
    assert location(await editor.get("/console/account")).startswith(SIGN_IN)


async def test_whoever_is_invited_and_types_an_address_that_is_anothers_is_asked_again(
    editor: Operator, clock: ManualClock
) -> None:
    invited = await editor.house.accounts.invite("Ben", "viewer", None, now=clock.at)
    path = urlsplit(invited.link).path
    form = {"password": "boots slip lamp tide", "again": "boots slip lamp tide"}
    refused = await editor.client.post(path, data=form | {"email": editor.address}, headers=SAME_SITE)
    page = Page(await refused.text())
    assert (refused.status, page.field("email")["value"]) == (422, editor.address)
    assert "with that address already. Please type another." in page.words
    assert (await editor.client.post(path, data=form | {"email": "ben@house.example"}, headers=SAME_SITE)).status == 200


async def test_links_lapse(editor: Operator, clock: ManualClock) -> None:
    invited = await editor.house.accounts.invite_again(editor.operator_id, now=clock.at)
    clock.move(days=3)
    assert (await editor.client.get(urlsplit(invited.link).path)).status == 404


async def test_there_is_a_first_link_until_somebody_has_a_password(house: House, clock: ManualClock) -> None:
    first = await house.accounts.first_owner(now=clock.at)
    assert first
    second = await house.accounts.first_owner(now=clock.at)
    assert second
    token = urlsplit(second).path.rpartition("/")[2]
    assert await house.accounts.welcome(token, PASSWORD, "ada@house.example", now=clock.at) == "ada@house.example"
    assert await house.accounts.first_owner(now=clock.at) is None
    with pytest.raises(NotFound, match="used"):
        await house.accounts.welcome(urlsplit(first).path.rpartition("/")[2], PASSWORD, "ben@house.example", now=clock.at)


async def test_who_is_not_signed_in_cannot_make_us_read_a_large_file(stranger: Operator) -> None:
    async def file() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 60_000

    headers = SAME_SITE | {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await stranger.client.post(WRITTEN, data=file(), headers=headers)
    assert answer.status == 413
    assert "At most 1,024 KB are taken here" in await answer.text()
    answer = await stranger.client.post("/console/sign-out", data=file(), headers=headers)
    assert answer.status == 401


async def test_a_flood_of_sign_ins_is_turned_away_instead_of_queued_without_end(editor: Operator) -> None:
    passwords = editor.house.passwords
    flood = await asyncio.gather(*(passwords.matches(None, "guess") for _ in range(60)), return_exceptions=True)
    assert sum(isinstance(each, TooMany) for each in flood) == 20
    assert await passwords.matches(await passwords.hash(PASSWORD), PASSWORD)


async def test_a_part_with_an_endless_head_is_not_read(editor: Operator) -> None:
    head = f'Content-Disposition: form-data; name="email"; x="{";" * 3000}"'
    body = f"--b\r\n{head}\r\n\r\n{editor.address}\r\n--b--\r\n"
    headers = SAME_SITE | {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await editor.client.post("/console/forgot", data=body.encode(), headers=headers)
    assert "Please enter your email address." in await answer.text()
