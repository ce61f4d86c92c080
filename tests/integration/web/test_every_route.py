"""What holds on every route: headers, HEAD, nothing from elsewhere, errors as answers, logs without people."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from newsletter.app import House
from newsletter.core.database import Database
from newsletter.privacy.service import Retention
from newsletter.web.server import make_app
from tests.integration.web.site import READER, Client, Page, Site

POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def routes(app: web.Application) -> list[tuple[str, str]]:
    """Each route once, as a request that reaches it."""
    filled = {"{list}": "letter", "{name}": "style.css", "{token}": "nonsense", "{number}": "1"}
    filled |= {"{slug}": "letter", "{id}": "00000000-0000-8000-8000-000000000000", "{act}": "erase", "{kind}": "json"}
    found = []
    for route in app.router.routes():
        assert route.resource
        path = route.resource.canonical
        for slot, value in filled.items():
            path = path.replace(slot, value)
        assert "{" not in path, "say here how to fill it"
        found.append((route.method, path))
    return found


async def journey(site: Site) -> AsyncIterator[ClientResponse]:
    """Every page that there is, in both languages, and every kind of error."""
    for lang in ("en", "de"):
        for path in ("/subscribe/", "/subscribe/letter", "/privacy", "/nowhere", "/confirm/nonsense", "/readyz", "/healthz"):
            yield await site.get(f"{path}?lang={lang}")
        for path in ("/data", "/data/nonsense", "/privacy/contact"):
            yield await site.get(f"{path}?lang={lang}")
            yield await site.post(f"{path}?lang={lang}", {"email": "reader@@example.org"})
        yield await site.post(f"/data?lang={lang}", {"email": READER})
        yield await site.post(f"/privacy/contact?lang={lang}", {"email": READER, "message": "Hello"})
        nobody = urlsplit(site.house.links.data(site.id_of("nobody@example.org"), now=site.house.clock.now())).path
        yield await site.get(f"{nobody}?lang={lang}")
        yield await site.post(f"{nobody}?lang={lang}", {"do": "open"})
        yield await site.post(f"/subscribe/letter?lang={lang}", {"email": "reader@@example.org"})
        yield await site.post(f"/subscribe/letter?lang={lang}", {"email": READER, "return": "https://evil.example"})
        address = f"{lang}@example.org"
        confirm = await site.confirm_path(address)
        for path in (confirm, f"{confirm}/refuse"):
            yield await site.get(f"{path}?lang={lang}")
        yield await site.post(f"{confirm}?lang={lang}", {"do": "confirm"})
        yield await site.get(f"{confirm}?lang={lang}")
        unsubscribe = site.unsubscribe_path(address)
        yield await site.get(f"{unsubscribe}?lang={lang}")
        for where in ("undo", "delete"):
            done = await site.post(f"{unsubscribe}?lang={lang}", {"do": "unsubscribe"})
            yield done
            token = Page(await done.text()).field("token")["value"]
            yield await site.post(f"/unsubscribe/{where}?lang={lang}", {"token": token})
        yield await site.post(f"{unsubscribe}?lang={lang}", {"do": "unsubscribe"})
        yield await site.post(unsubscribe, {"List-Unsubscribe": "One-Click"})
        refused = await site.confirm_path(f"not-{address}")
        yield await site.post(f"{refused}/refuse?lang={lang}", {"do": "refuse"})
    yield await site.post("/privacy")
    yield await site.post("/subscribe/letter", b"x" * 70_000, headers=FORM)
    yield await site.post("/subscribe/letter", b"x", headers={"Content-Type": "text/plain"})
    yield await site.post("/subscribe/letter", b"{", headers=JSON)
    yield await site.get("/api/v1/campaigns")
    yield await site.get("/api/v1/nothing")


def check_headers(answer: ClientResponse, *, what: object) -> None:
    headers, is_console = answer.headers, urlsplit(str(answer.url)).path.startswith("/console")
    assert headers["Content-Security-Policy"] == (CONSOLE_POLICY if is_console else POLICY), what
    assert headers["X-Content-Type-Options"] == "nosniff", what
    assert headers["Referrer-Policy"] == ("same-origin" if is_console else "no-referrer"), what
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", what
    assert headers["Permissions-Policy"].startswith("camera=()"), what
    assert headers["Strict-Transport-Security"] == "max-age=31536000", what
    assert "Set-Cookie" not in headers, what
    assert "aiohttp" not in headers["Server"], what
    expected = "public, " if urlsplit(str(answer.url)).path.startswith(("/static/", "/favicon")) else "no-store"
    if answer.status in (200, 304):
        assert headers["Cache-Control"].startswith(expected), what


async def test_security_headers_are_on_every_route_and_on_every_error(site: Site) -> None:
    for method, path in routes(site.client.app):
        check_headers(await site.client.request(method, path, allow_redirects=False), what=(method, path))
    for method in ("DELETE", "PUT", "PATCH", "TRACE", "OPTIONS", "GET", "POST"):
        for path in ("/nowhere", "/healthz", "/static/nothing.css", "/static/..%2fpublic%2flayout.html", "/api/v1/x"):
            check_headers(await site.client.request(method, path, allow_redirects=False), what=(method, path))
    async for answer in journey(site):
        check_headers(answer, what=(answer.method, answer.url))
    odd = await site.get("/privacy", headers={"Expect": "nonsense"})
    assert odd.status == 417
    check_headers(odd, what="expect")


async def test_head_is_get_without_a_body_everywhere(site: Site) -> None:
    for method, path in routes(site.client.app):
        if method != "GET":
            continue
        get, head = await site.get(path), await site.client.head(path, allow_redirects=False)
        assert (head.status, await head.read()) == (get.status, b""), path
        for name in ("Content-Type", "Content-Length", "Cache-Control", "Content-Security-Policy"):
            assert head.headers.get(name, "0") == get.headers.get(name, "0"), (path, name)


async def test_no_page_loads_anything_from_elsewhere_or_runs_or_styles_anything_inline(site: Site) -> None:
    pages = 0
    async for answer in journey(site):
        if answer.content_type != "text/html":
            continue
        pages += 1
        shown = Page(await answer.text())
        for tag, address in shown.addresses:
            if tag == "meta" or address.startswith(("mailto:privacy@northwind.example", "mailto:privacy@letters.example")):
                continue
            # A link is no request; the only one that leads away is the sender's own legal notice.
            own = address.startswith(("/", "?", "#")) and not address.startswith("//")
            assert own or (tag == "a" and address == "https://northwind.example/imprint"), (answer.url, tag, address)
        for tag, attributes in shown.tags:
            assert tag not in ("script", "style", "iframe", "object", "embed", "base"), answer.url
            assert not [name for name in attributes if name == "style" or name.startswith("on") or name == "http-equiv"]
    assert pages > 35
    for name in ("style.css", "icon.svg"):
        text = await (await site.get(f"/static/{name}")).text()
        assert not re.findall(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)|<script", text)


async def test_pages_have_one_heading_a_title_a_language_and_a_label_for_each_field(site: Site) -> None:
    async for answer in journey(site):
        if answer.content_type != "text/html":
            continue
        shown = Page(await answer.text())
        assert len(shown.all("h1")) == len(shown.all("title")) == len(shown.all("main")) == 1, answer.url
        assert shown.all("html")[0]["lang"] in ("en", "de")
        labelled = {each["for"] for each in shown.all("label")}
        fields = [*shown.all("input"), *shown.all("select"), *shown.all("textarea")]
        assert {each["id"] for each in fields if each.get("type") != "hidden"} == labelled
        ids = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        referred = {word for each in shown.all("input") for word in (each.get("aria-describedby") or "").split()}
        assert referred <= set(ids)
        if answer.url.query.get("lang") == "de":
            assert shown.all("html")[0]["lang"] == "de", answer.url


async def test_every_page_in_german_is_german_throughout(site: Site) -> None:
    english = re.compile(r"\b(the|you|your|and|this|please|letter|subscribe|address)\b", re.IGNORECASE)
    own = re.compile(r"Northwind Society|Harbour Street|privacy@\S+|https?://\S+|Content-Type")
    async for answer in journey(site):
        if answer.content_type == "text/html" and answer.url.query.get("lang") == "de":
            words = own.sub("", Page(await answer.text()).words)
            assert not english.findall(words), (answer.url, english.findall(words))


async def test_no_log_line_holds_a_token_an_address_or_a_full_network_address(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Looked at before anything is scrubbed: the events themselves have to be clean."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as events:
        async for _ in journey(site):
            pass
        await site.get("/privacy/reader@example.org")
        await site.client.request("GET", "/privacy?email=reader@example.org", headers={"X-Forwarded-For": "203.0.113.77"})
    requests = [event for event in events if event["event"] == "request"]
    assert len(requests) > 50
    for event in requests:
        assert {"method", "route", "status", "ms", "network"} <= set(event)
    assert {
        "/confirm/{token}",
        "/confirm/{token}/refuse",
        "/unsubscribe/{token}",
        "/subscribe/{list}",
        "/data/{token}",
        "",
    } <= {event["route"] for event in requests}
    assert "203.0.113.0/24" in {event["network"] for event in requests}
    lines = [repr(event) for event in events] + [record.getMessage() for record in caplog.records if "sql" not in record.name]
    for line in lines:
        assert not re.search(r"[A-Za-z0-9_-]{40}|@|%40|127\.0\.0\.1\b|203\.0\.113\.77", line), line


async def test_watching_is_logged_at_debug_only(site: Site) -> None:
    with capture_logs() as events:
        await site.get("/healthz")
        await site.get("/readyz")
        await site.get("/privacy")
    levels = [(event["route"], event["log_level"]) for event in events if event["event"] == "request"]
    assert levels == [("/healthz", "debug"), ("/readyz", "debug"), ("/privacy", "info")]


async def test_a_method_that_is_none_of_http_is_not_written_out(site: Site) -> None:
    with capture_logs() as events:
        await site.client.request("PROPFIND", "/")
    assert [event["method"] for event in events if event["event"] == "request"] == ["other"]


async def test_an_unforeseen_error_is_a_plain_page_and_a_log_line_without_its_text(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Retention, words: object) -> list[str]:
        raise RuntimeError("reader@example.org")

    monkeypatch.setattr(Retention, "sentences", broken)
    with capture_logs() as events:
        answer = await site.get("/privacy")
        program = await site.get("/privacy", headers={"Accept": "application/json"})
    text = await answer.text()
    assert (answer.status, Page(text).heading) == (500, "Something went wrong on our side")
    assert "Traceback" not in text
    assert READER not in text
    assert (program.status, (await program.json())["error"]["code"]) == (500, "internal")
    failed = [event for event in events if event["event"] == "request_failed"]
    assert [event["route"] for event in failed] == ["/privacy", "/privacy"]
    assert failed[0]["exc_info"]
    check_headers(answer, what="500")


async def test_what_aiohttp_refuses_gets_our_page_too(site: Site) -> None:
    wrong = await site.client.request("DELETE", "/privacy")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET,HEAD")
    assert Page(await wrong.text()).heading == "This page cannot be used in that way"
    program = await site.client.request("DELETE", "/api/v1/campaigns")
    assert (program.status, (await program.json())["error"]["code"]) == (405, "method_not_allowed")
    unknown = await site.get("/api/v1/nothing")
    assert (unknown.status, (await unknown.json())["error"]["code"]) == (404, "not_found")


async def send(site: Site, rest: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port or 0)
    writer.write(b"POST /subscribe/letter HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + rest)
    await writer.drain()
    return reader, writer


async def test_a_body_that_does_not_arrive_as_it_should_is_no_error_of_ours(site: Site) -> None:
    with capture_logs() as events:
        for damaged in (
            b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
            b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
        ):
            reader, writer = await send(site, damaged)
            assert b" 400 " in await reader.readline()
            writer.close()
        _, writer = await send(site, b"Content-Length: 50\r\n\r\n{")
        writer.close()
        events.clear()
        while not events:  # noqa: ASYNC110  the log is a list
            await asyncio.sleep(0)
    assert [event["event"] for event in events] == ["request"]
    assert await site.requests() == []


async def test_files_are_cached_for_ever_under_their_version_and_asked_for_each_time_without(site: Site) -> None:
    shown = Page(await (await site.get("/subscribe/")).text())
    (style,) = [each["href"] for each in shown.all("link") if each.get("rel") == "stylesheet"]
    versioned = await site.get(str(style))
    assert versioned.content_type == "text/css"
    assert versioned.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    bare = await site.get("/static/style.css")
    assert bare.headers["Cache-Control"] == "public, no-cache"
    again = await site.get("/static/style.css", headers={"If-None-Match": bare.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    for name in ("nothing.css", "..%2f..%2fpyproject.toml", "layout.html", "style.css%00"):
        assert (await site.get(f"/static/{name}")).status == 404, name


# -- the database away


@pytest.fixture
async def stranded(house: House) -> AsyncIterator[Client]:
    """The same house before a port where no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        db = await Database.connect(f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/nothing")
        away = House(house.settings, db, house.keyring, house.clock)
        async with TestClient(TestServer(make_app(away.services()))) as client:
            yield client
        await db.close()


async def test_without_a_database_every_page_says_when_to_come_back(stranded: Client, house: House) -> None:
    who = house.keyring.subscriber_id("reader@example.org")
    unsubscribe = urlsplit(house.links.unsubscribe(who, 1)).path
    confirm = urlsplit(house.links.confirm(who, who)).path
    asked = [
        ("GET", "/subscribe/", None),
        ("GET", "/subscribe/letter", None),
        ("POST", "/subscribe/letter", {"email": READER}),
        ("GET", confirm, None),
        ("POST", confirm, {"do": "confirm"}),
        ("GET", unsubscribe, None),
        ("POST", unsubscribe, {"List-Unsubscribe": "One-Click"}),
        ("GET", "/privacy", None),
        ("POST", "/data", {"email": READER}),
        ("POST", urlsplit(house.links.data(who, now=house.clock.now())).path, {"do": "open"}),
        ("POST", "/privacy/contact", {"email": READER, "message": "Hello"}),
    ]
    for method, path, data in asked:
        answer = await stranded.request(method, path, data=data)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "30"), path
        shown = Page(await answer.text())
        assert shown.heading == "Please try again in a minute"
        assert "database cannot be reached" in shown.words
        check_headers(answer, what=path)
    program = await stranded.post("/subscribe/letter", json={"email": READER})
    assert (program.status, (await program.json())["error"]["code"]) == (503, "unavailable")


async def test_without_a_database_the_process_is_alive_but_not_ready(stranded: Client) -> None:
    alive = await stranded.get("/healthz")
    assert (alive.status, await alive.text()) == (200, "ok\n")
    ready = await stranded.get("/readyz")
    told = await ready.json()
    assert (ready.status, told["ready"], told["database"]) == (503, False, False)
    assert ready.headers["Retry-After"]
    assert (await stranded.get("/static/style.css")).status == 200


async def test_ready_says_schema_and_refuses_one_that_does_not_fit(site: Site) -> None:
    ready = await site.get("/readyz")
    told = await ready.json()
    assert (ready.status, told["ready"], told["database"]) == (200, True, True)
    assert told["schema"] >= 1
    await site.house.db.execute("delete from schema_migration")
    ready = await site.get("/readyz")
    told = await ready.json()
    assert (ready.status, told["ready"], told["database"], told["schema"]) == (503, False, True, None)
    assert "newsletter migrate" in told["reason"]


async def test_robots_are_kept_from_links_with_tokens(site: Site) -> None:
    text = await (await site.get("/robots.txt")).text()
    assert "Disallow: /confirm/\n" in text
    assert "Disallow: /unsubscribe/\n" in text
    assert "Disallow: /data/\n" in text
    shown = Page(await (await site.get(await site.confirm_path())).text())
    assert {"name": "robots", "content": "noindex"} in shown.all("meta")


async def test_behind_a_path_of_a_proxy_links_keep_it(house: House, site: Site) -> None:
    below = House(
        house.settings.model_copy(update={"base_url": "https://example.org/news"}), house.db, house.keyring, house.clock
    )
    async with TestClient(TestServer(make_app(below.services()))) as client:
        home = await client.get("/", allow_redirects=False)
        assert home.headers["Location"] == "/news/subscribe/"
        shown = Page(await (await client.get("/subscribe/letter")).text())
    loaded = [address for tag, address in shown.addresses if tag == "link"]
    assert loaded
    assert all(address.startswith("/news/static/") for address in loaded)
