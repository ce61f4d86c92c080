"""The page that says what is right and what is not before a campaign is sent, and that asking links opens no way inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from newsletter.app import House
from newsletter.campaigns.checks import Check
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.preflight import Answer, Preflight, Report
from newsletter.campaigns.spam import spam_score
from newsletter.core.findings import Finding, Result, good, warn
from newsletter.subscribing.lists import Sender
from newsletter.web.fetching import MOST_REDIRECTS, PORTS, LinkChecker, is_public
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import Operator
from tests.integration.web.site import Site

ANY_PORT = range(1, 65536)
PUBLIC = "93.184.216.34"


@dataclass
class Elsewhere:
    """A site on loopback, as if it were somewhere on the internet: `known` says which name leads where."""

    server: TestServer
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    known: dict[str, list[str]] = field(default_factory=dict)
    looked_up: list[str] = field(default_factory=list)

    async def resolve(self, host: str) -> Sequence[str]:
        self.looked_up.append(host)
        return self.known.get(host, ["127.0.0.1"] if host.endswith(".example") else [host])

    def url(self, path: str, host: str = "tide.example") -> str:
        return f"http://{host}:{self.server.port}{path}"

    @property
    def checker(self) -> LinkChecker:
        """Which takes this one address of this machine for a public one."""
        return LinkChecker(self.resolve, lambda address: address == "127.0.0.1" or is_public(address), ANY_PORT)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    async def answer(request: web.Request) -> web.StreamResponse:
        site.asked.append(request.path)
        site.headers.append(dict(request.headers))
        match request.path.split("/"):
            case [_, "ok"]:
                return web.Response(text="x" * 1000, headers={"Set-Cookie": "a=b"})
            case [_, "to", *_]:
                return web.Response(status=302, headers={"Location": request.query["where"], "Set-Cookie": "a=b"})
            case [_, "for-ever"]:
                return web.Response(status=302, headers={"Location": "/for-ever"})
            case [_, "slow"]:
                await asyncio.Event().wait()
            case [_, "endless"]:
                response = web.StreamResponse()
                await response.prepare(request)
                await asyncio.Event().wait()
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    server = TestServer(app)
    site = Elsewhere(server)
    async with server:
        yield site


async def test_a_link_that_answers_is_good_and_one_that_does_not_says_why(elsewhere: Elsewhere) -> None:
    look = elsewhere.checker
    assert await look(elsewhere.url("/ok")) == Answer(ok=True, said="answers 200")
    assert await look(elsewhere.url("/gone")) == Answer(ok=False, said="answers 404")
    assert await look(elsewhere.url(f"/to?where={elsewhere.url('/ok', 'other.example')}")) == Answer(
        ok=True, said="answers 200"
    )
    assert "redirects more than" in (await look(elsewhere.url("/for-ever"))).said
    assert elsewhere.asked.count("/for-ever") == MOST_REDIRECTS + 1
    for nonsense in ("ftp://tide.example/", "http://", "http://[::1", "mailto:a@b.example", "http://tide.example:99999/", ""):
        assert not (await look(nonsense)).ok, nonsense
    assert "name or password" in (await look("http://ada:secret@tide.example/")).said


async def test_no_cookie_is_kept_and_nothing_says_who_asks(elsewhere: Elsewhere) -> None:
    look = elsewhere.checker
    await look(elsewhere.url(f"/to?where={elsewhere.url('/ok')}"))
    await look(elsewhere.url("/ok"))
    assert len(elsewhere.headers) == 3
    assert not [each for each in elsewhere.headers if "Cookie" in each or "Referer" in each or "Authorization" in each]
    assert elsewhere.headers[0]["Host"].startswith("tide.example:")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
async def test_this_machine_and_private_networks_are_not_asked(elsewhere: Elsewhere, host: str) -> None:
    """With the resolver and the rule of production."""
    answer = await LinkChecker(ports=ANY_PORT)(elsewhere.url("/ok", host))
    assert not answer.ok
    assert elsewhere.asked == []


async def test_ports_where_no_web_pages_are_are_not_asked(elsewhere: Elsewhere) -> None:
    look = LinkChecker(elsewhere.resolve, lambda _: True)
    assert elsewhere.server.port not in PORTS
    for address in (elsewhere.url("/ok"), "http://tide.example:22/", "https://tide.example:6379/", "http://tide.example:0/"):
        assert "port where web pages are not" in (await look(address)).said
    assert (elsewhere.looked_up, elsewhere.asked) == ([], [])


async def test_a_redirect_into_a_private_network_is_not_followed(elsewhere: Elsewhere) -> None:
    elsewhere.known["inside.example"] = ["10.0.0.7"]
    for where in ("http://10.0.0.7/", "http://inside.example/", "//192.168.0.1/x", "http://[fd00::1]/"):
        answer = await elsewhere.checker(elsewhere.url(f"/to?where={where}"))
        assert answer == Answer(ok=False, said="leads to a private network, and is not fetched"), where
    assert not (await elsewhere.checker(elsewhere.url("/to?where=file:///etc/passwd"))).ok


async def test_a_name_with_one_private_address_among_public_ones_is_refused(elsewhere: Elsewhere) -> None:
    elsewhere.known["mixed.example"] = [PUBLIC, "192.168.0.1"]
    assert "private network" in (await elsewhere.checker(elsewhere.url("/ok", "mixed.example"))).said


async def test_the_connection_goes_to_the_address_that_was_checked(elsewhere: Elsewhere) -> None:
    """A name that leads elsewhere a moment later (DNS rebinding) is not asked for again."""
    answers = iter([["127.0.0.1"], ["10.0.0.7"]])

    async def resolve(host: str) -> Sequence[str]:
        elsewhere.looked_up.append(host)
        return next(answers)

    look = LinkChecker(resolve, lambda address: address == "127.0.0.1", ANY_PORT)
    assert (await look(elsewhere.url("/ok"))).ok
    assert elsewhere.looked_up == ["tide.example"]


async def test_a_site_that_takes_its_time_is_given_up(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsletter.web.fetching.WITHIN", 0.2)
    assert (await elsewhere.checker(elsewhere.url("/slow"))).said == "no answer in time"
    assert (await elsewhere.checker(elsewhere.url("/endless"))).ok, "its body is nobody's business"


# The report.


async def written(house: House, now: datetime, body: str, *, subject: str = "Tide", kind: Format = Format.MARKDOWN) -> int:
    number = await house.writing.begin("letter", "November", ["en"], None, by="x", now=now)
    await house.writing.save(number, Draft("en", subject, "", kind, body), began_from=1, by="x", now=now)
    return number


async def nowhere(address: str, /) -> Answer:
    """Nothing is asked but the sender's own legal notice, which is in every letter."""
    assert address == "https://northwind.example/imprint"
    return Answer(ok=True, said="answers 200")


def preflight(house: House, fetch: LinkChecker | None = None, score: tuple[float, float] | None = None) -> Preflight:
    async def spam(message: bytes) -> tuple[float, float] | None:
        assert b"List-Unsubscribe" in message
        return score

    return Preflight(
        house.db,
        house.writing,
        house.campaigns,
        base_url=house.settings.base_url,
        fetch=fetch or nowhere,
        spam_score=spam,
        set_up=set_up,
    )


async def set_up(sender: Sender, now: datetime) -> list[Finding]:
    """As the doctor says it of a domain in order."""
    return [good(f"SPF of {sender.domain}", "One record that ends with -all."), warn("DMARC", "p=none.", "Ask for reports.")]


def check(report: Report, title: str) -> Check:
    every = [*report.general, *(each for _, checks in report.by_language for each in checks)]
    return next(each for each in every if each.title == title)


async def test_a_letter_in_order_is_all_good(site: Site, house: House, clock: ManualClock) -> None:
    await site.subscribe()
    report = await preflight(house).report(await written(house, clock.at, "Dear reader, see you."), now=clock.at)
    results = {each.title: each.result for each in (*report.general, *report.by_language[0][1])}
    expected = dict.fromkeys(results, Result.GOOD) | {"DMARC": Result.WARN, "Spam score": Result.UNKNOWN}
    assert results == expected
    assert report.worst is Result.WARN


async def test_links_are_asked_but_for_ours_and_those_with_merge_fields(
    house: House, site: Site, clock: ManualClock, elsewhere: Elsewhere
) -> None:
    body = "\n\n".join([
        f"[good]({elsewhere.url('/ok')})",
        f"[gone]({elsewhere.url('/gone')})",
        f"[own]({elsewhere.url('/own?n=')}{{{{ name | url_encode }}}})",
        "[ours]({{ links.privacy }}) and [mail](mailto:a@b.example)",
        f"{{% if name %}}[named]({elsewhere.url('/named')}){{% else %}}[unnamed]({elsewhere.url('/unnamed')}){{% endif %}}",
    ])  # fmt: skip
    found = check(
        await preflight(house, elsewhere.checker).report(await written(house, clock.at, body), now=clock.at), "Links answer"
    )
    assert sorted(elsewhere.asked) == ["/gone", "/named", "/ok", "/unnamed"]
    assert found.result is Result.BAD
    assert any("/gone: answers 404" in each for each in found.details)
    assert any("…: holds a merge field" in each for each in found.details)


async def test_no_more_than_fifty_links_are_asked(house: House, site: Site, clock: ManualClock) -> None:
    asked: list[str] = []

    async def fetch(address: str, /) -> Answer:
        asked.append(address)
        return Answer(ok=True, said="answers 200")

    body = "\n".join(f"[{each}](https://tide.example/{each})" for each in range(60))
    checks = preflight(house)
    checks._fetch = fetch
    found = check(await checks.report(await written(house, clock.at, body), now=clock.at), "Links answer")
    assert len(asked) == 50
    assert any("only 50 are looked at" in each for each in found.details)


async def test_images_need_a_text_a_size_and_a_home(house: House, site: Site, clock: ManualClock) -> None:
    bare = await written(house, clock.at, "Hi ![](https://other.example/x.png)")
    found = check(await preflight(house).report(bare, now=clock.at), "Images")
    assert found.result is Result.WARN
    assert [each.partition(": ")[2] for each in found.details] == [
        "no alternative text",
        "no width",
        "is loaded from another site",
    ]
    gone = await written(house, clock.at, f"Hi ![Slip](https://news.example.org/images/{'a' * 32}.jpg?10x10)")
    assert check(await preflight(house).report(gone, now=clock.at), "Images").result is Result.BAD


async def test_a_long_letter_and_one_that_is_an_image_alone_are_said(house: House, site: Site, clock: ManualClock) -> None:
    long = await preflight(house).report(await written(house, clock.at, "word " * 25_000), now=clock.at)
    assert check(long, "Size").result is Result.BAD
    assert check(long, "Text part").result is Result.GOOD


async def test_the_way_out_is_in_both_parts_whatever_is_written(house: House, site: Site, clock: ManualClock) -> None:
    body = '<div style="display:none">x</div><!-- <p>Hello</p> --><p>Hello</p>'
    number = await written(house, clock.at, body, kind=Format.HTML)
    assert check(await preflight(house).report(number, now=clock.at), "Way out").result is Result.GOOD


async def test_spam_points_are_shown_where_there_is_somebody_to_ask(house: House, site: Site, clock: ManualClock) -> None:
    number = await written(house, clock.at, "Hello")
    for score, result in ((0.3, Result.GOOD), (3.0, Result.WARN), (7.1, Result.BAD)):
        found = check(await preflight(house, score=(score, 5.0)).report(number, now=clock.at), "Spam score")
        assert (found.result, f"{score:.1f} points" in found.found) == (result, True)


async def test_a_sender_at_a_mail_provider_is_said(house: House, site: Site, clock: ManualClock) -> None:
    await house.db.execute("update sender set from_address = 'northwind@gmail.com'")
    report = await preflight(house).report(await written(house, clock.at, "Hello"), now=clock.at)
    assert check(report, "From address").result is Result.BAD
    assert "gmail.com" in check(report, "From address").found


async def test_who_gets_it_who_does_not_and_why(house: House, site: Site, clock: ManualClock) -> None:
    for address, name in (("ada@example.org", "Ada"), ("ben@example.org", ""), ("cleo@example.org", "")):
        await site.subscribe(address)
        if name:
            await house.db.execute("update subscriber set name = $1 where address = $2", name, address)
    await site.subscribe("gone@example.org")
    await site.post(site.unsubscribe_path("gone@example.org"), {"do": "unsubscribe"})
    await site.sign_up("waiting@example.org")
    await site.work()
    await house.db.execute("update subscription set language = 'de' where subscriber_id = $1", site.id_of("cleo@example.org"))
    await house.db.execute(
        "insert into suppression (subscriber_id, list_id, reason, since) values ($1, 0, 'restricted', $2)",
        site.id_of("ben@example.org"),
        clock.at,
    )
    number = await written(
        house, clock.at, '{% if name contains "x" %}X{% endif %}Dear {{ name | default: "reader" | upcase }}'
    )
    report = await preflight(house).report(number, now=clock.at)
    audience = check(report, "Audience")
    assert audience.found.startswith("3 confirmed readers")
    assert audience.details == (
        "Left out: 1 have not confirmed yet",
        "Left out: 1 have unsubscribed and are not deleted yet",
        "Left out: 1 have paused their letters",
    )
    languages = check(report, "Languages")
    assert (languages.result, languages.found) == (
        Result.WARN,
        "33 % of the readers speak a language without a text: they get English.",
    )
    names = check(report, "Merge fields")
    assert (names.result, "33 % of the readers" in names.found) == (Result.GOOD, True), "the others read another word"
    number = await written(house, clock.at, "Hello\n\nDear {{ name }}", subject='For {{ name | default: "you" }}')
    names = check(await preflight(house).report(number, now=clock.at), "Merge fields")
    assert (names.result, names.details) == (Result.WARN, ("{{ name }}, in line 3 of the body",))
    report = await preflight(house).report(number - 1, now=clock.at)
    assert "µs" in check(report, "Logic for each reader").found


async def test_what_is_taken_out_of_html_is_said(house: House, site: Site, clock: ManualClock) -> None:
    body = "<script>1</script><script>2</script><form><p>Hello</p></form>" + "".join(
        f"<x-{each}>a</x-{each}>" for each in range(20)
    )
    number = await written(house, clock.at, body, kind=Format.HTML)
    found = check(await preflight(house).report(number, now=clock.at), "Left out of the HTML")
    assert found.result is Result.WARN
    assert found.found.startswith("Removed: 2 × script, 1 × form, 1 × x-0, ")
    assert found.found.endswith(", and 10 kinds more.")
    clean = await written(house, clock.at, "<p>Hello</p>", kind=Format.HTML)
    report = await preflight(house).report(clean, now=clock.at)
    assert "Left out of the HTML" not in {each.title for each in report.by_language[0][1]}


async def test_what_cannot_become_a_mail_says_where(house: House, site: Site, clock: ManualClock) -> None:
    number = await written(house, clock.at, "Dear\n\n{{ nmae }}")
    report = await preflight(house).report(number, now=clock.at)
    assert report.worst is Result.BAD
    assert "line 3" in check(report, "It becomes a mail").found


async def test_the_page_shows_every_check_and_escapes_what_it_found(editor: Operator, house: House, clock: ManualClock) -> None:
    body = "[x](https://tide.example/<b>) ![<script>](http://127.0.0.1/x)"
    number = await written(house, clock.at, body, subject="<script>alert(1)</script>")
    text = await (await editor.get(f"/console/campaigns/{number}/preflight")).text()
    assert "<script>alert" not in text
    for title in (
        "Links answer",
        "Images",
        "Size",
        "Text part",
        "Way out",
        "Spam score",
        "Merge fields",
        "Audience",
        "Languages",
    ):
        assert f"<h3>{title}</h3>" in text


# SpamAssassin, as it answers on the command line.


@pytest.mark.parametrize(
    ("program", "script", "score"),
    [
        ("spamc", "cat > /dev/null; echo 7.2/5.0", (7.2, 5.0)),
        ("spamc", "cat > /dev/null; echo 0/0; exit 1", None),
        ("spamc", "exit 74", None),
        ("spamassassin", "echo 'X-Spam-Status: No, score=-0.5 required=5.0 tests=NONE'; cat", (-0.5, 5.0)),
        ("spamassassin", "echo nonsense", None),
        ("other", "echo 7.2/5.0", None),
    ],
)
async def test_spamassassin_is_asked_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, script: str, score: tuple[float, float] | None
) -> None:
    found = tmp_path / program
    found.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    found.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await spam_score(b"Subject: Tide\r\n\r\n" + b"x" * 100_000) == score


async def test_spamassassin_is_told_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, told = tmp_path / "spamc", tmp_path / "told"
    program.write_text(f"#!/bin/sh\n/usr/bin/env > {told}\n/bin/cat > /dev/null; echo 1.0/5.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NEWSLETTER_SECRET", "the secret of the house")
    assert await spam_score(b"Subject: Tide\r\n\r\n")
    assert f"PATH={tmp_path}" in told.read_text()
    assert "secret" not in told.read_text()
