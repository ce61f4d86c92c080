"""Signing up by the hosted page, by a form on any site, and in JSON."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import FormData, MultipartWriter

from newsletter.consent.service import Origin
from newsletter.subscribing.lists import ListText, NewList, NewSender, create_list
from newsletter.subscribing.rules import Via
from tests.conftest import ManualClock
from tests.integration.web.site import READER, THANKS, Page, Site, page

JSON = {"Content-Type": "application/json"}


# -- the pages


async def test_the_root_leads_to_the_letters(site: Site) -> None:
    answer = await site.get("/?lang=de")
    assert (answer.status, answer.headers["Location"]) == (302, "/subscribe/?lang=de")


async def test_the_index_names_open_public_lists_only(site: Site) -> None:
    private = NewList("secret", {"en": ListText("Board minutes", "")}, public=False)
    await create_list(site.house.db, private, "Northwind Society", base_host="x.example.org", now=site.house.clock.now())
    await site.house.db.execute("update list set closed_at = now() where slug = 'alerts'")
    for path in ("/subscribe", "/subscribe/"):
        shown = await page(await site.get(path))
        assert "The Northwind Letter" in shown.words
        assert "Once a month." in shown.words
        assert "/subscribe/letter?lang=en" in [address for tag, address in shown.addresses if tag == "a"]
        assert "Board minutes" not in shown.words
        assert "Excursion alerts" not in shown.words


async def test_a_list_that_takes_no_sign_ups_has_no_page(site: Site) -> None:
    private = NewList("secret", {"en": ListText("Board minutes", "")}, public=False)
    closed = NewList("closed", {"en": ListText("Old letter", "")})
    for new in (private, closed):
        await create_list(site.house.db, new, "Northwind Society", base_host="x.example.org", now=site.house.clock.now())
    await site.house.db.execute("update list set closed_at = now() where slug = 'closed'")
    for slug in ("nothing", "secret", "closed", "UPPER", "a%00b", "..%2f..", "%ff"):
        for answer in (await site.get(f"/subscribe/{slug}"), await site.post(f"/subscribe/{slug}", {"email": READER})):
            assert answer.status == 404, slug
            assert (await page(answer)).heading == "There is no such page"
    assert await site.requests() == []


async def test_the_hosted_page_asks_for_the_address_alone_and_ticks_nothing(site: Site) -> None:
    shown = await page(await site.get("/subscribe/letter"))
    required = [each["name"] for each in shown.all("input") if "required" in each]
    assert required == ["email"]
    assert not [each for each in shown.all("input") if each.get("type") == "checkbox" or "checked" in each]
    assert "By subscribing you agree that Northwind Society mails you The Northwind Letter." in shown.words
    assert "If you do not confirm within 24 hours, we delete your address." in shown.words
    assert "When you unsubscribe from everything, we delete your address within 14 days." in shown.words
    links = [address for tag, address in shown.addresses if tag == "a"]
    assert links == ["/privacy?lang=en", "/privacy?lang=en", "/data?lang=en", "https://northwind.example/imprint", "?lang=de"]


async def test_the_hosted_page_speaks_the_language_that_is_asked_for_or_preferred(site: Site) -> None:
    asked = await page(await site.get("/subscribe/letter?lang=de"))
    preferred = await page(await site.get("/subscribe/letter", headers={"Accept-Language": "fr, de-AT;q=0.8, en;q=0.5"}))
    for shown in (asked, preferred):
        assert shown.heading == "Der Nordwind-Brief"
        assert shown.all("html") == [{"lang": "de"}]
        assert shown.field("lang")["value"] == "de"
    unknown = await page(await site.get("/subscribe/letter?lang=xx", headers={"Accept-Language": "fr"}))
    assert unknown.heading == "The Northwind Letter"


async def test_a_list_without_the_preferred_language_is_shown_in_its_own(site: Site) -> None:
    shown = await page(await site.get("/subscribe/alerts", headers={"Accept-Language": "de"}))
    assert shown.all("html") == [{"lang": "en"}]


# -- what a form brings about


async def test_a_form_records_the_request_with_its_origin_and_mails_once(site: Site) -> None:
    hosted = {"page": "own", "lang": "de", "list": "letter"}
    answer = await site.post("/subscribe/letter?lang=de", {"email": READER, **hosted}, headers={"User-Agent": "Browser"})
    shown = await page(answer)
    assert (answer.status, shown.heading) == (200, "Sehen Sie in Ihr Postfach")
    (request,) = await site.requests()
    assert request["form"] == "https://news.example.org/subscribe/letter"
    assert (request["language"], request["agent"], str(request["network"])) == ("de", "Browser", "127.0.0.1")
    await site.work()
    (mail,) = await site.mailbox.messages()
    assert mail.subject == "Bitte bestätigen Sie: Der Nordwind-Brief"
    assert await site.state() == "pending"


async def test_a_multipart_form_on_another_site_names_its_page_without_the_query(site: Site) -> None:
    with MultipartWriter("form-data") as form:
        for name, value in (("email", READER), ("name", "Ada"), ("list", "alerts")):
            form.append(value).set_content_disposition("form-data", name=name)
    headers = {
        "Referer": "https://me:pw@northwind.example/join?email=reader@example.org#x",
        "Origin": "https://northwind.example",
    }
    answer = await site.post("/subscribe/letter", form, headers=headers)
    assert answer.status == 200
    (request,) = await site.requests()
    assert request["form"] == "https://northwind.example/join"
    assert (request["name"], request["list_ids"]) == ("Ada", [site.letter.list_id, site.alerts.list_id])


async def test_the_page_of_a_form_is_told_as_far_as_it_is_known(site: Site) -> None:
    unknown = "a form that did not say where it stands"
    told = {
        "https://northwind.example": {"Origin": "https://northwind.example"},
        "https://northwind.example/" + "a" * 474: {"Referer": "https://northwind.example/" + "a" * 600},
        f"{unknown}": {"Origin": "null"},
        f"{unknown} ": {"Referer": "http://[broken"},
        f"{unknown}  ": {"Referer": "javascript:alert(1)"},
    }
    for form, headers in told.items():
        assert (await site.post("/subscribe/letter", {"email": READER}, headers=headers)).status == 200
        assert (await site.requests())[-1]["form"] == form.strip()


async def test_a_browser_name_that_is_no_text_does_no_harm(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port or 0)
    body = b"email=reader%40example.org"
    writer.write(
        b"POST /subscribe/letter HTTP/1.1\r\nHost: x\r\nUser-Agent: Bro\xff\xfewser\r\nReferer: https://a.example/\xff\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    (request,) = await site.requests()
    assert request["agent"] == "Browser"


async def test_a_second_sign_up_of_a_confirmed_reader_changes_nothing(site: Site) -> None:
    await site.subscribe()
    await site.sign_up()
    await site.work()
    assert await site.state() == "confirmed"


async def test_the_answer_is_the_same_whatever_the_state_of_the_address(site: Site, clock: ManualClock) -> None:
    await site.sign_up("pending@example.org")
    await site.work()
    await site.subscribe("confirmed@example.org")
    gone = await site.subscribe("unsubscribed@example.org")
    await site.post(gone, {"do": "unsubscribe"})
    refused = await site.confirm_path("suppressed@example.org")
    await site.post(f"{refused}/refuse", {"do": "refuse"})
    clock.move(hours=1)

    answers = set()
    for state in ("unknown", "pending", "confirmed", "unsubscribed", "suppressed"):
        form = await site.sign_up(f"{state}@example.org")
        data = {"email": f"{state}@example.org"}
        program = await site.client.post("/subscribe/letter", json=data)
        headers = [sorted((k, v) for k, v in each.headers.items() if k != "Date") for each in (form, program)]
        answers.add(repr((form.status, await form.text(), program.status, await program.text(), headers)))
    assert len(answers) == 1


async def test_a_filled_honeypot_gets_the_same_answer_and_leaves_nothing(site: Site) -> None:
    honest = await site.sign_up("honest@example.org")
    await site.work()
    before = await site.database()
    for address in ("robot@example.org", "not an address"):
        trapped = await site.sign_up(address, comment="Buy now")
        assert (trapped.status, await trapped.text()) == (honest.status, await honest.text())
    assert await site.database() == before


async def test_the_honeypot_is_out_of_sight_of_eyes_keyboards_and_screen_readers(site: Site) -> None:
    shown = await page(await site.get("/subscribe/letter"))
    trap = shown.field("comment")
    assert (trap["tabindex"], trap["autocomplete"]) == ("-1", "off")
    assert {"class": "trap", "aria-hidden": "true"} in shown.all("div")
    style = await (await site.get("/static/style.css")).text()
    assert re.search(r"\.trap \{ position: absolute; left: -\d+vw", style)


async def test_a_form_for_several_lists_names_them_all_and_can_be_filled_in_again_for_them(site: Site) -> None:
    shown = await page(await site.post("/subscribe/alerts?lang=en", {"email": READER, "list": "letter"}))
    assert "You asked for Excursion alerts, The Northwind Letter." in shown.words
    (again,) = [address for tag, address in shown.addresses if tag == "a" and "list=" in address]
    assert again == "/subscribe/alerts?lang=en&list=letter"
    form = await page(await site.get(again))
    assert [each["value"] for each in form.all("input") if each.get("name") == "list"] == ["alerts", "letter"]
    assert "mails you Excursion alerts, The Northwind Letter." in form.words
    assert (await site.get("/subscribe/alerts?list=nothing")).status == 404
    assert (await site.get("/subscribe/alerts?list=a%00b")).status == 404


async def test_a_form_for_several_lists_speaks_the_language_of_the_one_in_its_address(site: Site) -> None:
    """Though its number may be the higher one, and the other list speak another."""
    new = NewList("brief", {"de": ListText("Der Brief", "")})
    await create_list(site.house.db, new, "Northwind Society", base_host="x.example.org", now=site.house.clock.now())
    for address in (READER, "reader"):
        shown = await page(await site.post("/subscribe/brief", {"email": address, "list": "alerts"}))
        assert shown.all("html") == [{"lang": "de"}], address
    (request,) = await site.requests()
    assert request["language"] == "de"
    wording = await site.house.db.fetchval("select content from wording where wording_hash = $1", request["wording_hash"])
    assert wording.startswith("Mit der Anmeldung willigen Sie ein")


async def test_a_list_without_a_description_has_no_empty_line_in_the_index(site: Site) -> None:
    await site.house.db.execute("update list_text set description = ''")
    assert "<p></p>" not in await (await site.get("/subscribe/")).text()


# -- what is wrong with a form


SPELLED = "This is not a complete email address. It looks like name@example.org."
ONE = "Please enter one address, and only the address: name@example.org."
UNSEEN = "This address contains characters that cannot be seen. Please type it again."
NO_ADDRESSES = {
    "": "Please enter your email address.",
    "reader": SPELLED,
    "Ada <reader@example.org>": SPELLED,
    '"Ada" <reader@example.org>': SPELLED,
    "reader@[127.0.0.1]": SPELLED,
    "reader@example": "",
    "=?utf-8?q?x?=@": "",
    "reader@@example.org": ONE,
    "a@example.org, b@example.org": ONE,
    "a@example.org;b@example.org": ONE,
    "reader@example.org\r\nBcc: x@example.org": UNSEEN,
    "reader@exa\x00mple.org": UNSEEN,
    "reader\u202e@example.org": UNSEEN,
    "reader@" + "a" * 250 + ".org": "This address is too long: an email address has at most 254 characters.",
}


async def test_what_is_no_address_is_shown_again_with_the_error_beside_it(site: Site) -> None:
    for address, sentence in NO_ADDRESSES.items():
        answer = await site.sign_up(address, lang="en")
        shown = await page(answer)
        assert answer.status == 422, address
        field = shown.field("email")
        assert (field["value"], field["aria-invalid"]) == (address, "true")
        assert "autofocus" in field
        assert (field["aria-describedby"] or "").split()[0] in [each.get("id") for each in shown.all("p")]
        assert sentence in shown.words, address
    assert await site.requests() == []


async def test_errors_speak_the_language_of_the_form(site: Site) -> None:
    shown = await page(await site.sign_up("reader", lang="de"))
    assert "Das ist keine vollständige E-Mail-Adresse." in shown.words
    assert shown.field("lang")["value"] == "de"


async def test_a_name_that_is_none_is_shown_again_with_the_error_beside_it(site: Site) -> None:
    for name in ("Buy at https://spam.example", "x" * 101, "Ada\r\nBcc: x@example.org", "=?utf-8?q?Bcc?="):
        answer = await site.sign_up(READER, name=name)
        shown = await page(answer)
        assert answer.status == 422, name
        assert shown.field("name")["aria-invalid"] == "true"
        assert shown.field("email")["value"] == READER
    assert await site.requests() == []


async def test_what_was_typed_is_shown_as_text_and_never_as_markup(site: Site) -> None:
    answer = await site.sign_up('"><script>alert(1)</script>', name="<b>@")
    text = await answer.text()
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


async def test_lists_chosen_in_the_form_are_kept_when_it_is_shown_again(site: Site) -> None:
    answer = await site.post("/subscribe/letter", [("email", "reader"), ("list", "alerts"), ("list", "letter")])
    shown = await page(answer)
    assert [each["value"] for each in shown.all("input") if each.get("name") == "list"] == ["letter", "alerts"]
    assert "mails you The Northwind Letter, Excursion alerts." in shown.words


async def test_a_form_for_a_list_that_there_is_not_gets_a_clear_answer(site: Site) -> None:
    for slug in ("nothing", "A\x00", "x" * 64, "letter' or 1=1"):
        assert (await site.sign_up(list=slug)).status == 404, slug
    assert await site.requests() == []


async def test_a_form_for_too_many_lists_gets_a_clear_answer(site: Site) -> None:
    fields = [("email", READER), *(("list", f"list-{number}") for number in range(60))]
    answer = await site.post("/subscribe/letter", fields)
    assert answer.status == 422
    assert "Please choose 50 at most." in (await page(answer)).words


async def test_lists_of_two_senders_in_one_form_get_a_clear_answer(site: Site) -> None:
    other = NewSender("Other", "o@other.example", "Street 1", "o@other.example")
    new = NewList("other", {"en": ListText("Other", "")})
    await create_list(site.house.db, new, other, base_host="x.example.org", now=site.house.clock.now())
    answer = await site.sign_up(list="other")
    assert answer.status == 422
    assert "please sign up for each by itself" in (await page(answer)).words
    assert await site.requests() == []


async def test_a_network_with_too_many_sign_ups_is_told_when_to_come_back(site: Site) -> None:
    for _ in range(site.house.settings.signups_per_network_hour):
        await site.house.db.execute(
            "insert into limit_hit (code, kind, occurred_at, expires_at) values ($1, 'network', $2, $3)",
            site.house.keyring.limit_code("127.0.0.0/24"),
            site.house.clock.now(),
            site.house.clock.now().replace(month=12),
        )
    answer = await site.sign_up()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "900")
    assert "Too many sign-ups came from your network" in (await page(answer)).words
    program = await site.client.post("/subscribe/letter?lang=de", json={"email": READER})
    told = await program.json()
    assert (program.status, told["error"]["code"]) == (429, "too_many")
    assert told["error"]["message"].startswith("Aus Ihrem Netzwerk")


# -- going on to a page of the site


async def test_a_form_goes_on_to_a_page_that_the_list_knows(site: Site) -> None:
    answer = await site.sign_up(**{"return": THANKS})
    assert (answer.status, answer.headers["Location"]) == (303, THANKS)
    assert len(await site.requests()) == 1


async def test_a_form_goes_nowhere_else(site: Site) -> None:
    for back in (
        "https://evil.example/",
        THANKS + "x",
        THANKS.upper(),
        THANKS.partition("?")[0],
        "//northwind.example/thanks",
        "javascript:alert(1)",
        THANKS + "\r\nSet-Cookie: a=b",
    ):
        answer = await site.sign_up(**{"return": back})
        assert answer.status == 400, back
        assert "Location" not in answer.headers
        assert "Please tell the site's owner" in (await page(answer)).words
    assert await site.requests() == []


async def test_a_form_shown_again_still_goes_on_to_the_site(site: Site) -> None:
    """Browsers hold the redirect that follows a form to form-action too, so the page names that site and no other."""
    answer = await site.sign_up("reader", **{"return": THANKS})
    assert (await page(answer)).field("return")["value"] == THANKS
    assert "form-action 'self' https://northwind.example;" in answer.headers["Content-Security-Policy"]


# -- bodies


FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
NOT_WHAT_THEY_SAY = [
    (FORM, b'{"email": "reader@example.org"}'),
    (FORM, b"reader@example.org"),
    (FORM, b"&".join(b"a=b" for _ in range(300))),
    ("multipart/form-data", b"email=reader%40example.org"),
    (PARTS, b"email=reader%40example.org"),
    (PARTS, b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nreader@example.org'),
    ("application/json", b"email=reader%40example.org"),
    ("application/json", b'{"email": "reader@example.org"'),
    ("application/json", b'{"email": "r\xff@example.org"}'),
    ("application/json", b""),
    ("application/json", b"[" * 30_000),
    ("application/json", b'["reader@example.org"]'),
    ("application/json", b"null"),
]


async def test_a_body_that_is_not_what_it_says_gets_a_clear_answer(site: Site) -> None:
    for kind, body in NOT_WHAT_THEY_SAY:
        answer = await site.post("/subscribe/letter", body, headers={"Content-Type": kind})
        assert answer.status == 400, (kind, body[:50])
        if kind == "application/json":
            told = (await answer.json())["error"]
            assert told["code"] == "malformed"
            assert "Please send one JSON object" in told["message"]
        else:
            assert "is not what its Content-Type says" in (await page(answer)).words
    assert await site.requests() == []


async def test_another_kind_of_body_is_unsupported(site: Site) -> None:
    for kind in ("text/plain", "application/xml", "image/png", ""):
        answer = await site.post("/subscribe/letter", b"email=reader%40example.org", headers={"Content-Type": kind})
        assert answer.status == 415, kind
        assert "Please send a form, or JSON as application/json." in (await page(answer)).words


async def test_a_body_over_64_kb_is_refused_with_a_length_and_without(site: Site) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b"a" * 1024

    for kind in (FORM, PARTS, "application/json"):
        for body in (b"a" * (64 * 1024 + 1), chunks()):
            answer = await site.post("/subscribe/letter", body, headers={"Content-Type": kind})
            assert answer.status == 413, kind
            assert "More was sent than is taken here. Please send less." in await answer.text()
    assert await site.requests() == []


async def test_a_body_that_does_not_arrive_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsletter.web.bodies.SLOWEST", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"email="
        await asyncio.get_running_loop().create_future()

    sending = asyncio.create_task(site.post("/subscribe/letter", never(), headers={"Content-Type": FORM}))
    answer = await asyncio.wait_for(sending, 10)
    assert answer.status == 408
    assert "did not arrive in time" in (await page(answer)).words


async def test_a_body_of_64_kb_is_taken(site: Site) -> None:
    fields = b"email=reader%40example.org&unused="
    body = fields + b"a" * (64 * 1024 - len(fields))
    answer = await site.post("/subscribe/letter", body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 200


async def test_a_form_from_a_latin_page_keeps_its_letters(site: Site) -> None:
    body = b"email=reader%40example.org&name=J%FCrgen"
    kind = "application/x-www-form-urlencoded; charset=ISO-8859-1"
    assert (await site.post("/subscribe/letter", body, headers={"Content-Type": kind})).status == 200
    assert [each["name"] for each in await site.requests()] == ["Jürgen"]


async def test_an_uploaded_file_is_not_taken_for_a_field(site: Site) -> None:
    form = FormData()
    form.add_field("email", READER, filename="email.txt")
    assert (await site.post("/subscribe/letter", form)).status == 422


# -- JSON


async def test_json_is_accepted_with_the_address_alone(site: Site) -> None:
    answer = await site.client.post("/subscribe/letter", json={"email": READER})
    assert answer.status == 202
    told = await answer.json()
    assert (told["status"], sorted(told)) == ("accepted", ["message", "status"])
    (request,) = await site.requests()
    assert (request["form"], request["list_ids"], request["language"]) == ("api", [site.letter.list_id], "en")


async def test_json_takes_name_lists_and_language(site: Site) -> None:
    body = {"email": READER, "name": "Jürgen", "lists": ["alerts", "letter"], "language": "de"}
    answer = await site.post("/subscribe/letter", json.dumps(body), headers={"Content-Type": "application/json; charset=utf-8"})
    assert (await answer.json())["message"].startswith("Wie es weitergeht, steht in einer E-Mail")
    (request,) = await site.requests()
    assert (request["name"], request["language"]) == ("Jürgen", "de")
    assert request["list_ids"] == [site.letter.list_id, site.alerts.list_id]


DOES_NOT_FIT: list[tuple[dict[str, object], int, str | None]] = [
    ({}, 422, "email"),
    ({"email": None}, 422, "email"),
    ({"email": ["reader@example.org"]}, 422, "email"),
    ({"email": READER, "lists": "letter"}, 422, "lists"),
    ({"email": READER, "lists": [1]}, 422, "lists.0"),
    ({"email": READER, "name": "a\x00b"}, 400, None),
    ({"email": READER, "language": 1}, 422, "language"),
    ({"email": READER, "admin": True}, 422, "admin"),
    ({"email": "reader"}, 422, "email"),
    ({"email": READER, "name": "x" * 101}, 422, "name"),
    ({"email": READER, "lists": ["nothing"]}, 404, None),
]


async def test_json_that_does_not_fit_says_which_field(site: Site) -> None:
    for body, status, field in DOES_NOT_FIT:
        answer = await site.client.post("/subscribe/letter", json=body)
        error = (await answer.json())["error"]
        assert (answer.status, error.get("field")) == (status, field), body
        assert error["message"].endswith(".")
    assert await site.requests() == []


async def test_a_form_may_ask_for_json_as_answer(site: Site) -> None:
    answer = await site.post("/subscribe/letter", {"email": READER}, headers={"Accept": "application/json"})
    assert (answer.status, (await answer.json())["status"]) == (202, "accepted")


# -- scripts of other sites


async def test_a_script_of_the_lists_own_site_may_send_json_and_read_the_answer(site: Site) -> None:
    origin = {"Origin": "https://northwind.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = await site.client.options("/subscribe/letter", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://northwind.example"
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type"
    for body in ({"email": READER}, {"email": "reader"}, {}):
        answer = await site.client.post("/subscribe/letter", json=body, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://northwind.example"
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_script_of_another_site_may_not(site: Site) -> None:
    for origin in ("https://evil.example", "http://northwind.example", "https://northwind.example:444", "null", "*", ""):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await site.client.options("/subscribe/letter", headers=asked)
        answer = await site.client.post("/subscribe/letter", json={"email": READER}, headers={"Origin": origin})
        for each in (preflight, answer):
            assert not [name for name in each.headers if name.startswith("Access-Control-Allow")], origin


# -- who is asking


async def test_the_network_is_read_from_trusted_proxies_alone(site: Site) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.1"}
    assert (await site.post("/subscribe/letter", {"email": READER}, headers=headers)).status == 200
    (request,) = await site.requests()
    assert str(request["network"]) == "198.51.100.7"


async def test_evidence_of_an_unsubscribe_is_kept_apart_from_the_form(site: Site) -> None:
    """The origin that a page hands on is stored as evidence; a token in it would open the link to whoever reads the table."""
    path = await site.subscribe()
    await site.house.leaving.unsubscribe(path.rpartition("/")[2], Via.LINK, Origin("x"), now=site.house.clock.now())
    forms = [row[0] for row in await site.house.db.fetch("select distinct form from consent_event")]
    assert "https://news.example.org/confirm" in forms
    assert not [form for form in forms if re.search(r"[A-Za-z0-9_-]{40}", form)]


def test_the_page_parser_of_these_tests_sees_what_a_browser_would_load() -> None:
    shown = Page('<img src="//cdn.example/x.png"><a href="https://a.example/">a</a><meta content="0;url=https://b.example">')
    assert [address for _, address in shown.addresses] == [
        "//cdn.example/x.png",
        "https://a.example/",
        "0;url=https://b.example",
    ]
