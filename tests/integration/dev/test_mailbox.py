"""The mailbox catches what is sent, shows it without being harmed by it, and is reached from this machine alone."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import aiosmtplib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.errors import SettingsError
from newsletter.dev import letters
from newsletter.dev.letters import Letter
from newsletter.dev.mailbox import Mailbox
from newsletter.dev.mailbox_pages import VIEWS, links, with_base

UNSUBSCRIBE = "http://127.0.0.1:8080/unsubscribe/q7ABq0Vb3JtYWwgdG9rZW4gb2YgYSByZWFkZXIgd2l0aCBtYW55IGNoYXJhY3RlcnM-_"


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Mailbox]:
    async with Mailbox(tmp_path / "mailbox") as entered:
        yield entered


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def campaign_mail(subject: str = "November: the long tide") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Northwind Society <letter@northwind.example>"
    mail["To"] = "ada@example.org"
    mail["Subject"] = subject
    mail.set_content("Keep a place: https://northwind.example/tide?a=1&b=2.\n")
    mail.add_alternative(
        '<!doctype html><html><head><title>x</title></head><body><a href="https://x.example/">go</a></body></html>',
        subtype="html",
    )
    return mail


async def send(box: Mailbox, mail: EmailMessage | bytes, *, to: tuple[str, ...] = ("ada@example.org",)) -> Letter:
    """Over SMTP, as a worker does; gives what the mailbox keeps of it."""
    raw = mail if isinstance(mail, bytes) else bytes(mail)
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=box.smtp_port) as relay:
        options = ["SMTPUTF8"] if not "".join(to).isascii() else []
        _, said = await relay.sendmail("bounce+1@northwind.example", to, raw, mail_options=options)
    letter = box.letter(said.rpartition(" ")[2])
    assert letter is not None
    return letter


async def page(web: aiohttp.ClientSession, box: Mailbox, path: str, status: int = 200) -> str:
    async with web.get(box.url.rstrip("/") + path) as answer:
        assert answer.status == status, path
        return await answer.text(errors="replace")


async def test_a_mail_is_caught_with_what_smtp_and_its_headers_say(box: Mailbox) -> None:
    letter = await send(box, campaign_mail(), to=("ada@example.org", "bob@example.org"))
    assert letter.recipients == ("ada@example.org", "bob@example.org")
    assert letter.envelope.sender == "bounce+1@northwind.example"
    assert (letter.to, letter.subject) == ("ada@example.org", "November: the long tide")
    assert letter.text and letter.text.startswith("Keep a place")
    assert letter.html and "go</a>" in letter.html
    assert letter.header("FROM") == "Northwind Society <letter@northwind.example>"


async def test_an_address_in_utf_8_is_taken(box: Mailbox) -> None:
    letter = await send(box, "Subject: Grüße\r\n\r\n".encode(), to=("jürgen@exämple.org",))
    assert letter.recipients == ("jürgen@exämple.org",)
    assert letter.subject == "Grüße"


async def test_the_list_shows_the_newest_first(box: Mailbox, web: aiohttp.ClientSession) -> None:
    assert "No mail yet" in await page(web, box, "/")
    for subject in ("tide", "seals", "slip"):
        await send(box, campaign_mail(subject))
    shown = await page(web, box, "/")
    assert re.findall(r"tide|seals|slip", shown) == ["slip", "seals", "tide"]
    assert [letter.subject for letter in await box.messages()] == ["slip", "seals", "tide"]
    assert 'http-equiv="refresh"' in shown
    assert 'http-equiv="refresh"' not in await page(web, box, "/?refresh=no")


async def test_a_restart_finds_the_mails_again_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "mailbox"
    async with Mailbox(folder, keep=3) as box:
        for number in range(5):
            await send(box, campaign_mail(f"mail {number}"))
        before = await box.messages()
        assert [letter.subject for letter in before] == ["mail 4", "mail 3", "mail 2"]
    assert len(list(folder.iterdir())) == 2 * 3
    async with Mailbox(folder, keep=3) as box:
        assert await box.messages() == before
        await send(box, campaign_mail("mail 5"))
        assert [letter.subject for letter in await box.messages()] == ["mail 5", "mail 4", "mail 3"]


async def test_the_files_are_closed_to_other_users(box: Mailbox) -> None:
    await send(box, campaign_mail())
    assert stat.S_IMODE(box.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in box.folder.iterdir()} == {0o600}


async def test_a_mail_whose_notes_are_lost_or_broken_is_still_found(tmp_path: Path) -> None:
    folder = tmp_path / "mailbox"
    async with Mailbox(folder) as box:
        lost, broken = await send(box, campaign_mail("lost")), await send(box, campaign_mail("broken"))
    (folder / f"{lost.id}.json").unlink()
    (folder / f"{broken.id}.json").write_text("{")
    (folder / "notes.eml").write_text("not ours")
    async with Mailbox(folder) as box:
        assert [letter.subject for letter in await box.messages()] == ["broken", "lost"]
        assert box.envelopes()[0].received == broken.envelope.received


async def test_a_mail_deleted_by_hand_is_gone_from_the_pages(box: Mailbox, web: aiohttp.ClientSession) -> None:
    letter = await send(box, campaign_mail())
    (box.folder / f"{letter.id}.eml").unlink()
    assert "This mail is not here" in await page(web, box, f"/mail/{letter.id}", status=404)
    assert await page(web, box, "/messages.json") == "[]"


async def test_what_cannot_be_kept_is_refused_for_now(box: Mailbox) -> None:
    box.folder.rmdir()
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await send(box, campaign_mail())
    assert refused.value.code == 452


async def test_the_text_has_live_links(box: Mailbox, web: aiohttp.ClientSession) -> None:
    letter = await send(box, campaign_mail())
    shown = await page(web, box, f"/mail/{letter.id}?view=text")
    assert '<a href="https://northwind.example/tide?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">' in shown


async def test_the_unsubscribe_header_is_a_live_link(box: Mailbox, web: aiohttp.ClientSession) -> None:
    letter = await send(box, f"Subject: x\r\nList-Unsubscribe: <{UNSUBSCRIBE}>\r\n\r\nx".encode())
    assert f'&lt;<a href="{UNSUBSCRIBE}"' in await page(web, box, f"/mail/{letter.id}?view=headers")


async def test_html_is_shown_in_a_frame_that_can_only_open_links(box: Mailbox, web: aiohttp.ClientSession) -> None:
    letter = await send(box, campaign_mail())
    shown = await page(web, box, f"/mail/{letter.id}")
    assert f'sandbox="allow-popups allow-popups-to-escape-sandbox" src="/mail/{letter.id}/frame"' in shown
    async with web.get(f"{box.url}mail/{letter.id}/frame") as answer:
        policy = answer.headers["Content-Security-Policy"]
        frame = await answer.text()
    assert "sandbox allow-popups allow-popups-to-escape-sandbox;" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert '<head><base target="_blank">' in frame


@pytest.mark.parametrize(
    ("html", "based"),
    [
        ("<!DOCTYPE html><html lang=en><HEAD><p>", "<!DOCTYPE html><html lang=en><HEAD>|<p>"),
        ("<!doctype html><html><body>", "<!doctype html><html>|<body>"),
        ("<!doctype html><p>", "<!doctype html>|<p>"),
        ("<header>hello</header>", "|<header>hello</header>"),
        ("", "|"),
    ],
)
def test_links_leave_the_frame_and_the_rendering_mode_stays(html: str, based: str) -> None:
    assert with_base(html) == based.replace("|", '<base target="_blank">')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see (https://a.example/b).", "https://a.example/b"),
        ("<https://a.example/b>", "https://a.example/b"),
        ("https://a.example/b_c-", "https://a.example/b_c-"),
        ('https://a.example/"onclick=x', "https://a.example/"),
    ],
)
def test_a_link_ends_where_the_address_does(text: str, shown: str) -> None:
    assert re.findall(r'href="([^"]*)"', links(text)) == [shown]


@pytest.mark.parametrize("text", ["javascript:alert(1)", "data:text/html,x", "<b>"])
def test_nothing_else_becomes_a_link_or_markup(text: str) -> None:
    assert "<" not in links(text)


async def test_the_source_is_shown_and_given_as_it_came(box: Mailbox, web: aiohttp.ClientSession) -> None:
    raw = b"Subject: =?utf-8?q?x?=\r\n\r\n<b>&amp;\r\n"
    letter = await send(box, raw)
    assert "Subject: =?utf-8?q?x?=" in await page(web, box, f"/mail/{letter.id}?view=source")
    async with web.get(f"{box.url}mail/{letter.id}/file") as answer:
        assert await answer.read() == raw
        assert answer.content_type == "message/rfc822"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{letter.id}.eml"'


async def test_a_very_long_text_is_cut_on_the_page(box: Mailbox, web: aiohttp.ClientSession) -> None:
    letter = await send(box, b"Subject: long\r\n\r\n" + b"word word word word\r\n" * 30_000)
    assert "Cut here, since it is very long" in await page(web, box, f"/mail/{letter.id}?view=text")


async def test_what_a_mail_says_is_shown_and_never_run(box: Mailbox, web: aiohttp.ClientSession) -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    headers = f'Subject: {attack}\r\nFrom: "{attack}" <a@b.example>\r\nX-<script>: {attack}\r\n'
    letter = await send(box, f"{headers}\r\n{attack}\r\n".encode())
    for path in ("/", *(f"/mail/{letter.id}?view={view}" for view in VIEWS)):
        shown = await page(web, box, path)
        assert "<script" not in shown
        assert "<img" not in shown
        assert "&lt;script&gt;" in shown


async def test_messages_are_given_as_json(box: Mailbox, web: aiohttp.ClientSession) -> None:
    await send(box, campaign_mail("first"))
    await send(box, campaign_mail("sécond"))
    newest, oldest = json.loads(await page(web, box, "/messages.json"))
    assert (newest["subject"], oldest["subject"]) == ("sécond", "first")
    assert newest["recipients"] == ["ada@example.org"]
    assert newest["text"].startswith("Keep a place")
    assert newest["html"].startswith("<!doctype html>")
    assert ["To", "ada@example.org"] in newest["headers"]
    assert newest["id"] > oldest["id"]


async def test_every_answer_is_locked_down(box: Mailbox, web: aiohttp.ClientSession) -> None:
    letter = await send(box, campaign_mail())
    mail = f"mail/{letter.id}"
    for path in (
        "",
        "style.css",
        "messages.json",
        mail,
        f"{mail}/frame",
        f"{mail}/file",
        f"{mail}?view=no",
        "mail/1/file",
        "nothing",
    ):
        async with web.get(box.url + path) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors" in policy
            assert "unsafe" not in policy or path.endswith("/frame")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8080", "LOCALHOST:80"])
async def test_names_of_this_machine_are_answered(box: Mailbox, web: aiohttp.ClientSession, host: str) -> None:
    async with web.get(box.url, headers={"Host": host}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "192.168.0.7", "", "x@localhost"]
)
@pytest.mark.parametrize("path", ["", "messages.json", "nothing"])
async def test_other_names_are_refused(box: Mailbox, web: aiohttp.ClientSession, host: str, path: str) -> None:
    async with web.get(box.url + path, headers={"Host": host}) as answer:
        assert answer.status == 421


async def test_both_ports_are_open_on_loopback_alone(box: Mailbox) -> None:
    for port in (box.smtp_port, box.http_port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        with pytest.raises(OSError):  # What listens everywhere listens on this one too.
            await asyncio.open_connection("127.0.0.2", port)


async def test_a_taken_port_and_a_folder_that_cannot_be_are_one_clear_line(box: Mailbox, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"cannot listen on port {box.smtp_port}"):
        await Mailbox(tmp_path / "other", smtp_port=box.smtp_port).__aenter__()
    with pytest.raises(SettingsError, match=f"cannot listen on port {box.http_port}"):
        await Mailbox(tmp_path / "other", http_port=box.http_port).__aenter__()
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"cannot be used .*--data"):
        await Mailbox(tmp_path / "file" / "mailbox").__aenter__()


async def test_closing_does_not_wait_for_clients_that_stay(tmp_path: Path) -> None:
    async with Mailbox(tmp_path) as box:
        reader, writer = await asyncio.open_connection("127.0.0.1", box.smtp_port)
        assert (await reader.readline()).startswith(b"220 ")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_one_can_wait_for_a_mail(box: Mailbox) -> None:
    await send(box, campaign_mail("earlier"))
    assert (await box.wait_for(lambda letter: letter.subject == "earlier")).subject == "earlier"
    waiting = asyncio.create_task(box.wait_for(lambda letter: letter.subject == "awaited"))
    await send(box, campaign_mail("another"))
    await send(box, campaign_mail("awaited"))
    assert (await waiting).subject == "awaited"
    with pytest.raises(TimeoutError):
        await box.wait_for(lambda letter: False, within=0.01)


HOSTILE = {
    "nothing": b"",
    "no headers": b"\r\n\r\n",
    "no text": b"\xff\xfe\x00\x80" * 50,
    "unknown charset": b"Content-Type: text/plain; charset=nonsense\r\n\r\n\xe9",
    "charset that is no text": b"Content-Type: text/html; charset=zlib\r\n\r\n\xe9",
    "charset of lone surrogates": b"Content-Type: text/plain; charset=utf-7\r\n\r\n+2AA-",
    "lone surrogates by escape": b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n\\ud800",
    "raw octets in a header": b"Subject: \xff\xfe \xc3\xa4\r\nTo: \x80@\x81\r\n\r\n",
    "broken encoded words": b"Subject: =?utf-8?b?!!!?= =?x?q?=?= =?utf-8?q?=0D=0ABcc:_x?=\r\nFrom: =?utf-8?q?\r\n\r\n",
    "broken addresses": b'To: "<>,;:@ (\r\nFrom: <<<>>>\r\nReply-To: @@@,,\r\n\r\n',
    "broken parameters": b"Content-Type: text/html; charset*0*=''; charset*=%; name=\"\r\nContent-Disposition: ;;;=\r\n\r\nx",
    "broken base64": b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!=a===",
    "boundary without end": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" * 2,
    "no boundary": b"Content-Type: multipart/alternative\r\n\r\nx",
    "deep nesting": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(400)),
    "mail in mail": b"Content-Type: message/rfc822\r\n\r\n" * 300,
    "zero octets": b"Subject: a\x00b\r\nX\x00Y: 1\r\n\r\n\x00<script>\x00",
    "long header": b"Subject: " + b"=?utf-8?q?a?= " * 30_000 + b"\r\n\r\n",
    "many headers": b"A: b\r\n" * 1000 + b"\r\n",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_mail_is_shown_like_any_other(box: Mailbox, web: aiohttp.ClientSession, raw: bytes) -> None:
    # Straight into the folder: some of this does not fit through SMTP, and nothing may depend on that.
    (box.folder / "0000000000000001.eml").write_bytes(raw)
    async with Mailbox(box.folder) as other:
        letter = other.letter("0000000000000001")
        assert letter is not None
        for path in ("/", "/messages.json", f"/mail/{letter.id}", *(f"/mail/{letter.id}?view={view}" for view in VIEWS)):
            assert "<script>\x00" not in await page(web, other, path)
        await page(web, other, f"/mail/{letter.id}/file")
        await page(web, other, f"/mail/{letter.id}/frame", status=200 if letter.html is not None else 404)


PIECES = [
    *(b"Content-Type: ", b"Content-Disposition: ", b"Content-Transfer-Encoding: ", b"Subject: ", b"To: "),
    *(b"multipart/mixed; boundary=", b"text/html; charset=", b"*0*=", b"base64", b"quoted-printable", b"--x", b"x"),
    *(b"=?utf-8?q?", b"=?utf-8?b?", b"?=", b'"', b"<", b">", b";", b"=", b"(", b"@"),
    *(b"\r\n", b"\r\n\r\n", b"\x00", b"\xff"),
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=40).map(b"".join))
def test_no_octets_make_reading_fail(raw: bytes) -> None:
    content = letters.read(raw)
    everything = [content.text or "", content.html or "", *(part for header in content.headers for part in header)]
    assert all(part.encode() is not None for part in everything)
