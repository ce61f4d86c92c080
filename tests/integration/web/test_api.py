"""The operators' API: who gets in, what it does, what it refuses."""

from __future__ import annotations

import base64
import io
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from newsletter.app import House
from newsletter.operators.rules import Scope
from newsletter.web.server import make_app
from tests.conftest import ManualClock
from tests.integration.web.site import READER, Site

CONTENT = {"language": "en", "subject": "The long tide", "body": "Dear {{ name }},\n\ncome."}
CAMPAIGN = {"list": "letter", "name": "November", "contents": [CONTENT]}
Call = Callable[..., Awaitable[ClientResponse]]


@pytest.fixture
async def token(site: Site) -> str:
    created = await site.house.operators.first_credentials(now=site.house.clock.now())
    assert created is not None
    return created


@pytest.fixture
def call(site: Site, token: str) -> Call:
    async def call(method: str, path: str, body: Any = None, *, bearer: str = token) -> ClientResponse:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return await site.client.request(method, f"/api/v1/campaigns{path}", json=body, headers=headers)

    return call


async def test_a_campaign_goes_from_draft_to_sent(call: Call, site: Site) -> None:
    await site.subscribe()
    created = await call("POST", "", CAMPAIGN)
    assert created.status == 201
    assert created.headers["Location"] == "/api/v1/campaigns/1"
    assert (await created.json())["state"] == "draft"

    preview = await (await call("GET", "/1/preview?name=Ada")).json()
    assert "Dear Ada," in preview["text"]
    assert message_from_bytes(base64.b64decode(preview["message"]), policy=policy.default)["Subject"] == "The long tide"
    tested = await (await call("POST", "/1/test", {"to": "me@example.org"})).json()
    assert (tested["outcome"], tested["code"]) == ("accepted", 250)

    assert (await call("POST", "/1/send")).status == 202
    assert (await call("POST", "/1/send")).status == 409
    assert (await (await call("POST", "/1/pause")).json())["state"] == "paused"
    await site.house.db.execute("update campaign set pause_reason = 'refused because of us'")
    assert (await (await call("GET", "/1")).json())["pause_reason"] == "refused because of us"
    assert (await (await call("POST", "/1/resume")).json())["state"] == "sending"
    while await site.house.worker().run_campaigns_once():
        pass
    done = await (await call("GET", "/1")).json()
    assert (done["state"], done["totals"], done["planned"]) == ("sent", {"accepted": 1}, 1)
    assert done["pause_reason"] is None
    assert (await site.mailbox.messages())[0].recipients == (READER,)
    overview = await (await call("GET", "")).json()
    assert [each["campaign"] for each in overview["campaigns"]] == [1]
    assert overview["next"] is None


async def test_a_campaign_can_be_scheduled_taken_back_and_copied(call: Call, site: Site) -> None:
    await call("POST", "", CAMPAIGN)
    scheduled = await (await call("POST", "/1/schedule", {"at": "2026-12-05T09:30"})).json()
    assert (scheduled["state"], scheduled["scheduled_at"], scheduled["time_zone"]) == (
        "scheduled",
        "2026-12-05T08:30:00+00:00",
        "Europe/Berlin",
    )
    refused = await call("POST", "/1/schedule", {"at": "2025-12-05T09:30"})
    assert (refused.status, (await refused.json())["error"]["field"]) == (422, "at")
    assert (await (await call("POST", "/1/unschedule")).json())["state"] == "draft"
    assert (await call("POST", "/1/unschedule")).status == 409
    copied = await call("POST", "/1/copy")
    assert (copied.status, copied.headers["Location"]) == (201, "/api/v1/campaigns/2")
    assert (await copied.json())["name"] == f"Copy of {CAMPAIGN['name']}"


@pytest.mark.parametrize("path", ["", "/1", "/1/preview"])
async def test_without_a_valid_token_nothing_is_told(call: Call, path: str) -> None:
    for bearer in ("", "nl_wrong", "x"):
        answer = await call("GET", path, bearer=bearer)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await answer.json())["error"]["code"] == "unauthorized"


async def test_a_token_does_what_its_scopes_say_and_ends_when_it_ends(call: Call, site: Site, clock: ManualClock) -> None:
    reading = await site.house.operators.create_token(
        "owner", "reader", [Scope.READ], valid_for=timedelta(days=1), now=clock.now()
    )
    assert (await call("GET", "", bearer=reading)).status == 200
    for path, body in (("", CAMPAIGN), ("/1/test", {"to": "a@example.org"})):
        assert (await call("POST", path, body, bearer=reading)).status == 403
    for path in ("/1/send", "/1/pause", "/1/resume", "/1/cancel"):
        assert (await call("POST", path, None, bearer=reading)).status == 403
    assert (await call("POST", "", CAMPAIGN)).status == 201
    for path in ("", "/1", "/1/preview"):
        assert (await call("GET", path, bearer=reading)).status == 200
    writing = await site.house.operators.create_token(
        "owner", "writer", [Scope.WRITE], valid_for=timedelta(days=1), now=clock.now()
    )
    assert (await call("POST", "", CAMPAIGN, bearer=writing)).status == 201
    for path in ("", "/1", "/1/preview"):
        assert (await call("GET", path, bearer=writing)).status == 403
    for path in ("/1/send", "/1/pause", "/1/resume", "/1/cancel"):
        assert (await call("POST", path, None, bearer=writing)).status == 403
    clock.move(days=1)
    assert (await call("GET", "", bearer=reading)).status == 401


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"list": "nowhere"}, None),
        ({"contents": []}, "contents"),
        ({"contents": [{**CONTENT, "body": " "}]}, "body"),
        ({"contents": [{**CONTENT, "subject": "x\r\nBcc: a@example.org"}]}, "subject"),
        ({"contents": [{**CONTENT, "format": "word"}]}, "contents.0.format"),
        ({"contents": [{**CONTENT, "surprise": 1}]}, "contents.0.surprise"),
        ({"name": 7}, "name"),
        ({"name": "a\x00b"}, None),
        ({"name": "a\ud800"}, None),
        ({"name": "a\nb"}, "name"),
        ({"list": "a\x00b"}, None),
        ({"list": "A list"}, None),
        ({"uncertain_policy": "hope"}, "uncertain_policy"),
    ],
)
async def test_a_campaign_that_cannot_be_is_refused_and_says_where(
    call: Call, site: Site, change: dict[str, Any], field: str | None
) -> None:
    answer = await call("POST", "", {**CAMPAIGN, **change})
    assert answer.status in (400, 404, 422)
    assert (await answer.json())["error"].get("field") == field
    assert (await (await call("GET", "")).json())["campaigns"] == []


async def test_a_broken_template_is_refused_with_its_line(call: Call, site: Site) -> None:
    broken = {**CAMPAIGN, "contents": [{**CONTENT, "body": "one\ntwo {{ nmae }}\n"}]}
    error = (await (await call("POST", "", broken)).json())["error"]
    assert error["line"] == 2
    assert "name" in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_not_what_it_says_is_refused(site: Site, token: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = await site.client.post("/api/v1/campaigns", data=body, headers=headers)
    assert answer.status == 400
    assert (await answer.json())["error"]["code"] == "malformed"


@pytest.mark.parametrize("depth", [450, 900, 5000, 100_000])
async def test_a_body_that_nests_deeply_is_refused(site: Site, token: str, depth: int) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for opening, closing in ((b'{"a": ', b"}"), (b"[", b"]")):
        body = b'{"name": ' + opening * depth + b"1" + closing * depth + b"}"
        answer = await site.client.post("/api/v1/campaigns", data=body, headers=headers)
        assert answer.status in (400, 422), depth
        assert (await answer.json())["error"]["code"] in ("malformed", "invalid_input")


async def test_another_kind_of_body_is_unsupported(site: Site, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}
    answer = await site.client.post("/api/v1/campaigns", data=b"{}", headers=headers)
    assert (answer.status, (await answer.json())["error"]["code"]) == (415, "unsupported_media_type")


async def test_a_body_over_a_megabyte_is_refused(site: Site, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = await site.client.post("/api/v1/campaigns", data=io.BytesIO(b"x" * 2**20 + b"x"), headers=headers)
    assert answer.status == 413


async def test_what_a_program_is_told_is_about_what_it_sent(call: Call, site: Site) -> None:
    assert (await call("POST", "", CAMPAIGN)).status == 201
    tested = (await (await call("POST", "/1/test", {"to": "x"})).json())["error"]
    assert (tested["code"], tested["field"]) == ("invalid_input", "to")
    for path in ("/1/nothing", "/1/preview/x"):
        message = (await (await call("GET", path)).json())["error"]["message"]
        assert message == "There is nothing at this address: those of the API begin with /api/v1/campaigns."
    wrong = await call("DELETE", "/1")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,HEAD")
    assert "the header Allow says" in (await wrong.json())["error"]["message"]


async def test_a_language_that_a_campaign_was_not_written_in_is_no_other_one(call: Call, site: Site) -> None:
    assert (await call("POST", "", CAMPAIGN)).status == 201
    for answer in (
        await call("GET", "/1/preview?language=de"),
        await call("POST", "/1/test", {"to": "me@example.org", "language": "de"}),
    ):
        error = (await answer.json())["error"]
        assert (answer.status, error["field"]) == (422, "language")
        assert error["message"] == 'The campaign was not written in "de", but in en.'
    assert await site.mailbox.messages() == []
    assert (await call("GET", "/1/preview?language=en")).status == 200


async def test_below_a_path_of_a_proxy_addresses_keep_it(house: House, site: Site, token: str) -> None:
    below = House(
        house.settings.model_copy(update={"base_url": "https://example.org/news"}), house.db, house.keyring, house.clock
    )
    headers = {"Authorization": f"Bearer {token}"}
    async with TestClient(TestServer(make_app(below.services()))) as client:
        made = await client.post("/api/v1/campaigns", json=CAMPAIGN, headers=headers)
        assert made.headers["Location"] == "/news/api/v1/campaigns/1"
        for _ in range(50):
            await client.post("/api/v1/campaigns", json=CAMPAIGN, headers=headers)
        overview = await (await client.get("/api/v1/campaigns", headers=headers)).json()
        assert overview["next"] == "/news/api/v1/campaigns?before=2"
        robots = await (await client.get("/robots.txt")).text()
        assert "Disallow: /news/confirm/\n" in robots


@pytest.mark.parametrize("number", ["7", "999999999", "9999999999", "-1", "x", "\u0661"])
async def test_a_campaign_that_does_not_exist_is_not_found(call: Call, site: Site, number: str) -> None:
    assert (await call("POST", "", CAMPAIGN)).status == 201
    answer = await call("GET", f"/{number}")
    assert answer.status == 404
    assert (await answer.json())["error"]["code"] == "not_found"


async def test_the_overview_goes_back_page_by_page(call: Call, site: Site) -> None:
    for _ in range(52):
        assert (await call("POST", "", CAMPAIGN)).status == 201
    first = await (await call("GET", "")).json()
    second = await (await call("GET", first["next"].removeprefix("/api/v1/campaigns"))).json()
    numbers = [each["campaign"] for each in first["campaigns"] + second["campaigns"]]
    assert numbers == list(range(52, 0, -1))
    for before in ("x", "0", "-1", "0000000000019999999999999", "1" * 5000, "²"):
        assert (await call("GET", f"?before={before}")).status == 422, before
