"""Every page of the console with every role and with none: those that are allowed answer, the others are refused, on record.

The walk goes over the routes that there are, so that a page which is added is walked over without a line here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from aiohttp import ClientResponse

from newsletter.app import House
from newsletter.core.findings import Finding
from newsletter.operators.doctor import Examination
from newsletter.operators.rules import Right, Scope, rights_of
from newsletter.subscribing.lists import Sender
from newsletter.web.console import PARTS
from newsletter.web.console.guard import SIGN_IN, Guarded
from newsletter.web.server import make_app
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import HERE, PASSWORD, SAME_SITE, Hire, Operator, location, words_of
from tests.integration.web.console.test_signing_in import code_at, cookie_of, second_secret, sign_in
from tests.integration.web.site import Site

FILLED = {
    "number": "999999",
    "token": "nonsense",
    "name": "0" * 32,
    "slug": "nothing",
    "id": "00000000-0000-8000-8000-000000000000",
    "act": "erase",
    "kind": "json",
}
"""What stands for each part of a path that varies: something that there is not, so that a walk changes nothing."""
ROUTES = [route for part in PARTS for route in part.guarded]
GUARDED = [route for route in ROUTES if route.right is not None]
ENDS_THE_SESSION = {"/console/sign-out"}


def path_of(route: Guarded) -> str:
    """Raises where nobody has said what to fill in."""

    def fill(slot: re.Match[str]) -> str:
        name = slot[1]
        assert name in FILLED, f"{route.path}: say in FILLED what stands for {name}"
        return FILLED[name]

    return re.sub(r"\{(\w+)(?::(?:[^{}]|\{[^{}]*\})*)?\}", fill, route.path)


def is_refused(answer: ClientResponse) -> bool:
    to_sign_in = answer.status == 303 and location(answer).startswith(SIGN_IN)
    return answer.status in (401, 403) or (to_sign_in and answer.url.path not in ENDS_THE_SESSION)


class Still:
    """In the doctor's place, who would ask the network."""

    async def examine(self, *, now: datetime) -> Examination:
        return Examination([], datetime.now(UTC))

    async def of_sender(self, _sender: Sender, _now: datetime) -> list[Finding]:
        return []


@pytest.fixture
async def house(house: House) -> AsyncIterator[House]:
    house.__dict__["doctor"] = Still()
    yield house
    await house.close()


async def ask(who: Operator, route: Guarded) -> ClientResponse:
    """Its headers are enough: some answers go on for as long as somebody listens."""
    answer = await (who.get(path_of(route)) if route.method == "GET" else who.post(path_of(route)))
    answer.close()
    return answer


@pytest.mark.parametrize("role", ["owner", "editor", "viewer"])
async def test_exactly_the_pages_that_a_role_allows_answer(role: str, hire: Hire, site: Site, clock: ManualClock) -> None:
    who, wrong, refused = await hire(role), [], 0
    for route in GUARDED:
        if path_of(route) in ENDS_THE_SESSION:
            signed_in = await site.house.sessions.sign_in(who.address, PASSWORD, HERE, now=clock.at)
            answer = await ask(who.with_cookie(signed_in.cookie), route)
        else:
            answer = await ask(who, route)
        allowed = route.right in rights_of(role)
        refused += not allowed
        if is_refused(answer) == allowed or answer.status >= 500 or (not allowed and answer.status != 403):
            wrong.append(f"{route.method} {path_of(route)} needs {route.right}: {answer.status}")
    assert not wrong
    on_record = [target for action, target in await who.done() if action == "request.refuse"]
    assert len(on_record) == refused
    assert all(target.endswith(f", as {role}") for target in on_record)


async def test_whoever_is_not_signed_in_is_led_to_where_one_signs_in(stranger: Operator) -> None:
    wrong = []
    for route in GUARDED:
        answer = await ask(stranger, route)
        expected = answer.status == 303 and location(answer).startswith(SIGN_IN) if route.method == "GET" else False
        if not (expected or (route.method == "POST" and answer.status == 401)):
            wrong.append(f"{route.method} {path_of(route)}: {answer.status}")
    assert not wrong
    assert await stranger.house.db.fetchval("select count(*) from audit_log") == 0


async def test_a_form_of_another_session_is_refused_everywhere_and_on_record(owner: Operator) -> None:
    forms = [route for route in GUARDED if route.method == "POST"]
    for route in forms:
        answer = await owner.post(path_of(route), {"seal": "0" * 32})
        assert answer.status == 403, path_of(route)
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    for route in forms:
        assert (await owner.post(path_of(route), headers=elsewhere)).status == 403, path_of(route)
    refused = [target for action, target in await owner.done() if action == "request.refuse"]
    assert len(refused) == len(forms)
    assert all("not of this session" in target for target in refused)


def test_no_page_of_the_console_goes_without_a_guard(house: House) -> None:
    guarded = {(route.method, route.path) for route in ROUTES}
    served = {
        (route.method, resource.canonical)
        for resource in make_app(house.services()).router.resources()
        if resource.canonical.startswith("/console")
        for route in resource
        if route.method != "HEAD"
    }
    patterns = {(method, re.sub(r"\{(\w+):(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", path)) for method, path in guarded}
    assert served == patterns
    open_to_all = {route.path for route in ROUTES if route.right is None}
    assert all(
        path.startswith(("/console/sign-in", "/console/forgot", "/console/welcome/")) or path == "/console"
        for path in open_to_all
    )


AT_LEAST = {
    "/console/promises": {Right.LOOK},
    "/console/policy": {Right.LOOK, Right.OWN},
    "/console/policy/subprocessors": {Right.OWN},
    "/console/requests": {Right.READERS},
    "/console/suppression": {Right.READERS},
    "/console/evidence": {Right.OWN},
    "/console/relays": {Right.OWN},
    "/console/operators": {Right.OWN},
    "/console/tokens": {Right.OWN},
    "/console/audit": {Right.OWN},
    "/console/doctor": {Right.OWN},
}
"""What stands below each, and asks for less than that nowhere. The walk alone would believe whatever a route says of itself."""


@pytest.mark.parametrize("below", AT_LEAST)
def test_trust_and_house_ask_for_what_they_should(below: str) -> None:
    found = [route for route in GUARDED if route.path == below or route.path.startswith(f"{below}/")]
    assert found
    assert {route.right for route in found} <= AT_LEAST[below]
    assert {route.right for route in found if route.method == "POST"} <= {Right.OWN, Right.READERS}


async def ended(who: Operator) -> list[str]:
    rows = await who.house.db.fetch(
        "select target from audit_log where action = 'session.refuse' and operator = $1", f"operator {who.operator_id}"
    )
    return [row["target"] for row in rows]


async def revoked(who: Operator, owner: Operator, clock: ManualClock) -> Operator:
    session = await who.house.sessions.session(who.cookie, now=clock.at)
    assert session
    form = {"session": str(session.session_id)}
    assert (await owner.post(f"/console/operators/{who.operator_id}/session", form)).status == 303
    return who


async def expired(who: Operator, owner: Operator, clock: ManualClock) -> Operator:
    clock.move(hours=2)
    return who


async def rotated(who: Operator, owner: Operator, clock: ManualClock) -> Operator:
    """The half session from before the second factor, when the whole one has taken its place."""
    secret = await second_secret(who)
    await who.post("/console/account/second-factor", {"current": PASSWORD, "code": code_at(secret, clock)})
    half = who.with_cookie(cookie_of(await sign_in(who)))
    clock.move(seconds=30)
    assert (await half.post(f"{SIGN_IN}/code", {"code": code_at(secret, clock)})).status == 303
    return half


async def another_password(who: Operator, owner: Operator, clock: ManualClock) -> Operator:
    other = who.with_cookie(cookie_of(await sign_in(who)))
    form = {"current": PASSWORD, "password": "boots slip lamp tide", "again": "boots slip lamp tide"}
    assert (await other.post("/console/account/password", form)).status == 303
    return who


async def let_go(who: Operator, owner: Operator, clock: ManualClock) -> Operator:
    assert (await owner.post(f"/console/operators/{who.operator_id}/let-go", {"current": PASSWORD})).status == 303
    return who


@pytest.mark.parametrize("end", [revoked, expired, rotated, another_password, let_go], ids=lambda end: end.__name__)
async def test_a_session_that_has_ended_opens_nothing_and_is_on_record(
    end: object, editor: Operator, owner: Operator, clock: ManualClock
) -> None:
    assert callable(end)
    late = await end(editor, owner, clock)
    for method, status in (("get", 303), ("post", 401)):  # An hour apart, in which one line is enough.
        before = len(await ended(editor))
        answer = await getattr(late, method)("/console/account" if method == "get" else "/console/account/password")
        assert (answer.status, is_refused(answer)) == (status, True)
        assert (await ended(editor))[before:] == ["a session that has ended"]
        clock.move(hours=1)


async def test_a_code_that_was_used_is_refused_and_on_record(editor: Operator, clock: ManualClock) -> None:
    secret = await second_secret(editor)
    await editor.post("/console/account/second-factor", {"current": PASSWORD, "code": code_at(secret, clock)})
    half = editor.with_cookie(cookie_of(await sign_in(editor)))
    used = pyotp.TOTP(secret).at(clock.at)
    assert (await half.post(f"{SIGN_IN}/code", {"code": used})).status == 422
    assert (await editor.done())[-1] == ("session.refuse", "wrong code")


@pytest.mark.parametrize(
    ("has", "method", "path", "needs"),
    [
        (Scope.READ, "POST", "/api/v1/campaigns", Scope.WRITE),
        (Scope.WRITE, "GET", "/api/v1/campaigns", Scope.READ),
        (Scope.WRITE, "POST", "/api/v1/campaigns/1/send", Scope.SEND),
    ],
)
async def test_a_token_beyond_its_scope_is_refused_and_on_record(
    has: Scope, method: str, path: str, needs: Scope, owner: Operator, clock: ManualClock
) -> None:
    token = await owner.house.operators.create_token(
        owner.name, "script", [has], valid_for=timedelta(days=1), now=clock.at, by=owner.name
    )
    answer = await owner.client.request(method, path, headers={"Authorization": f"Bearer {token}"} | SAME_SITE)
    assert answer.status == 403
    assert (await owner.done())[-1] == ("request.refuse", f"an API token without {needs}")


async def test_a_token_may_no_more_than_whose_it_is_from_the_next_request_on(
    owner: Operator, editor: Operator, clock: ManualClock
) -> None:
    operators = owner.house.operators
    token = await operators.create_token(editor.name, "script", list(Scope), valid_for=timedelta(days=1), now=clock.at)
    await owner.house.accounts.change_role(editor.operator_id, "viewer", by=owner.name, now=clock.at)
    caller = await operators.caller(token, now=clock.at)
    assert caller
    assert caller.scopes == {Scope.READ}
    headers = {"Authorization": f"Bearer {token}"}
    assert (await owner.client.get("/api/v1/campaigns", headers=headers)).status == 200
    assert (await owner.client.post("/api/v1/campaigns", headers=headers, json={})).status == 403
    shown = words_of(await (await owner.get("/console/tokens")).text())
    assert "campaigns:read Editor, viewer, may no more: not campaigns:send, campaigns:write" in shown
    assert "Of a viewer: campaigns:read alone." in shown


async def test_nobody_gets_a_token_that_may_more_than_they(owner: Operator, viewer: Operator, clock: ManualClock) -> None:
    form: dict[str, str | list[str]] = {"name": "script", "operator": viewer.name, "days": "30", "current": PASSWORD}
    form["scope"] = [Scope.READ.value, Scope.SEND.value]
    refused = await owner.post("/console/tokens", form)
    assert (refused.status, "A token of Viewer, viewer, may have: campaigns:read." in await refused.text()) == (422, True)
    assert not await owner.house.operators.tokens()
    assert "nl_" in await (await owner.post("/console/tokens", form | {"scope": Scope.READ.value})).text()


async def test_a_token_of_the_api_opens_no_page_and_a_cookie_no_api(owner: Operator, clock: ManualClock) -> None:
    token = await owner.house.operators.create_token(
        owner.name, "script", list(Scope), valid_for=timedelta(days=1), now=clock.at
    )
    bearer = {"Authorization": f"Bearer {token}"}
    page = await owner.client.get("/console/", headers=bearer, allow_redirects=False)
    assert location(page).startswith(SIGN_IN)
    assert (await owner.get("/api/v1/campaigns")).status == 401
