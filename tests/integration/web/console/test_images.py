"""Images: made anew by a process of their own, kept once, served to everybody, and not deleted while something shows them."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, FormData
from PIL import Image, ImageDraw

from newsletter.app import House
from newsletter.campaigns import images, writing_store
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.image_process import MOST_PIXELS
from newsletter.core.errors import Conflict, InvalidInput
from newsletter.operators.sessions import form_token
from newsletter.web.bodies import LARGE_AT_ONCE
from tests.conftest import ManualClock
from tests.integration.web.console.conftest import SAME_SITE, Operator, location
from tests.integration.web.console.sending import waiting_for_a_lock
from tests.integration.web.site import Page, Site

SECRET_PLACE = b"54.7833 N, 9.4333 E"


def drawn(mode: str = "RGB", size: tuple[int, int] = (80, 60), colour: Any = (11, 93, 99)) -> Image.Image:
    image = Image.new(mode, size, colour)
    if mode == "RGB":
        ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 2), fill=(250, 240, 220))
    return image


def octets(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


async def upload(who: Operator, content: bytes, name: str = "tide.png", alt: str = "The slip") -> ClientResponse:
    form = FormData()
    form.add_field("seal", form_token(who.cookie))
    form.add_field("alt", alt)
    form.add_field("file", io.BytesIO(content), filename=name, content_type="application/octet-stream")
    return await who.client.post("/console/images", data=form, headers=who.headers | SAME_SITE, allow_redirects=False)


async def kept(house: House, content: bytes) -> tuple[str, Image.Image, bytes]:
    """File name, image and octets of what is kept of it."""
    added = await house.images.add("x", content, "", by="test", now=house.clock.now())
    fresh = await house.images.content(added.image.file)
    return added.image.file, Image.open(io.BytesIO(fresh)), fresh


async def test_an_image_is_uploaded_once_and_served_to_everybody_for_ever(editor: Operator, stranger: Operator) -> None:
    answer = await upload(editor, octets(drawn()))
    assert answer.status == 303
    page = location(answer)
    assert page.endswith("?done=image_added")
    assert location(await upload(editor, octets(drawn()), "other.png")) == page.replace("image_added", "image_known")
    found = page.rpartition("/")[2].partition("?")[0]
    served = await stranger.client.get(f"/images/{found}.png")
    assert (served.status, served.content_type) == (200, "image/png")
    assert served.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert served.headers["Cross-Origin-Resource-Policy"] == "cross-origin", "mail programs in a browser load it"
    assert "Set-Cookie" not in served.headers
    assert Image.open(io.BytesIO(await served.read())).size == (80, 60)
    again = await stranger.client.get(f"/images/{found}.png", headers={"If-None-Match": served.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    for name in (f"{found}.jpg", f"{found}", f"{found[:-1]}.png", "..%2f..%2fetc", f"{found}.png%00"):
        assert (await stranger.client.get(f"/images/{name}")).status == 404, name
    assert ("image.add", found) in await editor.done()
    assert "The slip" in (await editor.page("/console/images")).words


async def test_metadata_and_whatever_hides_behind_the_image_is_gone(house: House) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET_PLACE.decode()
    file, _, fresh = await kept(house, octets(drawn(), "JPEG", exif=exif, comment=SECRET_PLACE) + b"<script>alert(1)</script>")
    assert file.endswith(".jpg")
    assert SECRET_PLACE not in fresh
    assert b"<script>" not in fresh


async def test_a_picture_taken_sideways_is_upright(house: House) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    _, image, _ = await kept(house, octets(drawn(), "JPEG", exif=exif))
    assert image.size == (60, 80)


async def test_what_is_wide_is_made_narrower_and_what_is_small_is_left(house: House) -> None:
    _, image, _ = await kept(house, octets(drawn(size=(2400, 900)), "JPEG"))
    assert image.size == (1200, 450)
    _, small, _ = await kept(house, octets(drawn(size=(3, 2))))
    assert small.size == (3, 2)


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "ending"),
    [
        ("RGBA", "PNG", (1, 2, 3, 100), ".png"),
        ("RGBA", "WEBP", (1, 2, 3, 100), ".png"),
        ("RGB", "WEBP", (1, 2, 3), ".jpg"),
        ("P", "GIF", 3, ".png"),
        ("L", "JPEG", 3, ".jpg"),
        ("CMYK", "JPEG", (1, 2, 3, 4), ".jpg"),
        ("1", "PNG", 1, ".png"),
        ("I;16", "PNG", 700, ".png"),
    ],
)
async def test_every_kind_becomes_a_jpeg_or_a_png(house: House, mode: str, kind: str, colour: Any, ending: str) -> None:
    file, image, _ = await kept(house, octets(drawn(mode, colour=colour), kind))
    assert file.endswith(ending)
    assert image.mode in ("RGB", "RGBA")


async def test_of_an_animation_the_first_frame_is_kept(house: House) -> None:
    frames = [drawn(colour=(255, 0, 0)).quantize(), drawn(colour=(0, 0, 255)).quantize()]
    _, image, _ = await kept(house, octets(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert getattr(image, "n_frames", 1) == 1
    assert image.convert("RGB").getpixel((79, 59)) == (255, 0, 0)


SVG = b'<?xml version="1.0"?><!-- x --><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def png_that_claims(width: int, height: int) -> bytes:
    """A header, and nothing behind it that would take so much room."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (SVG, "SVG is not taken"),
        (b"\xef\xbb\xbf  <svg onload='alert(1)'/>", "SVG is not taken"),
        (b"<!---->" * 285, "no image that we can read"),
        (b"", "Choose a file first"),
        (b"%PDF-1.7 no image", "no image that we can read"),
        (b"<html><script>alert(1)</script></html>", "no image that we can read"),
        (octets(drawn(), "BMP"), "no image that we can read"),
        (octets(drawn(), "TIFF"), "no image that we can read"),
        (octets(drawn())[:90], "no image that we can read"),
        (png_that_claims(30_000, 30_000), "more than 40 million pixels"),
        (png_that_claims(2**31 - 1, 2**31 - 1), "pixels"),
        (b"\x89PNG" + b"x" * 10_000_000, "10 MB; an image may have 10 MB at most"),
        (b"\x89PNG" + b"x" * 20_000_000, "20 MB; an image may have 10 MB at most"),
    ],
    ids=["svg", "svg2", "comments", "nothing", "pdf", "html", "bmp", "tiff", "cut", "pixels", "more pixels", "10 MB", "20 MB"],
)
async def test_what_is_refused_is_refused_in_words_and_nothing_is_kept(
    editor: Operator, house: House, content: bytes, said: str
) -> None:
    answer = await upload(editor, content, "x.svg", alt="What I typed")
    page = Page(await answer.text())
    assert answer.status == 422
    assert said in page.words
    assert page.field("alt")["value"] == "What I typed"
    assert await house.db.fetchval("select count(*) from image") == 0


async def test_files_take_turns_and_whoever_waits_for_long_is_told(editor: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is held in memory for as long as it is on its way."""
    monkeypatch.setattr("newsletter.web.bodies.LONGEST_WAIT", 0.05)
    rest = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"--x\r\n"
        await rest.wait()
        yield b"--x--"

    headers = editor.headers | SAME_SITE | {"Content-Type": "multipart/form-data; boundary=x"}
    busy = [
        asyncio.create_task(editor.client.post("/console/images", data=slowly(), headers=headers)) for _ in range(LARGE_AT_ONCE)
    ]
    async with asyncio.timeout(10):
        while (answer := await upload(editor, octets(drawn()))).status != 429:
            pass
        assert "send this one again in a minute" in await answer.text()
        assert (await editor.post("/console/sign-out")).status == 303, "other forms do not wait"
        rest.set()
        assert {each.status for each in await asyncio.gather(*busy)} == {403}, "they were read in the end, and hold no seal"


async def test_an_image_of_the_most_pixels_is_taken_within_the_limits(house: House) -> None:
    side = int(MOST_PIXELS**0.5)
    _, image, _ = await kept(house, octets(Image.new("RGBA", (side, side), (1, 2, 3, 200)), compress_level=1))
    assert image.size == (1200, 1200)


async def test_hostile_names_and_texts_are_shown_as_they_are(editor: Operator) -> None:
    hostile = '"><script>alert(1)</script>{{ x }}'
    page = location(await upload(editor, octets(drawn()), f"..\\{hostile}.png", alt=hostile))
    for path in (page, "/console/images"):
        text = await (await editor.get(path)).text()
        assert "<script>alert" not in text
    assert (await editor.post(page.partition("?")[0] + "/alt", {"alt": "x" * 301})).status == 422
    assert (await editor.post(page.partition("?")[0] + "/alt", {"alt": "A lamp"})).status == 303
    assert "A lamp" in (await editor.page("/console/images")).words


async def test_a_picked_image_becomes_a_mail_with_size_and_text(editor: Operator, site: Site, house: House) -> None:
    page = location(await upload(editor, octets(drawn(size=(1000, 500))), alt='A "lamp" [at] night {{'))
    found = page.rpartition("/")[2].partition("?")[0]
    for written in ("markdown", "html"):
        made = await editor.post("/console/campaigns/new", {"name": "Tide", "list": "letter"})
        path = location(made).partition("?")[0]
        form = {"language": "en", "version": "1", "subject": "Tide", "format": written, "body": "Hello"}
        assert (await editor.post(path, form | {"insert": found})).status == 303
        number = int(path.split("/")[3])
        mail = await house.campaigns.preview(number, now=house.clock.now())
        (image,) = Page(mail.words.html).all("img")
        assert image["src"] == f"https://news.example.org/images/{found}.png?1000x500"
        assert (image["width"], image["height"]) == ("544", "272")
        assert "lamp" in (image["alt"] or "")
        framed = await (await editor.get(f"/console/campaigns/{number}/preview")).text()
        assert f'src="/images/{found}.png?1000x500"' in framed, "shown from here, whatever the address outside is"


async def test_an_image_that_something_shows_is_not_deleted(editor: Operator, house: House, clock: ManualClock) -> None:
    page = location(await upload(editor, octets(drawn()))).partition("?")[0]
    found = page.rpartition("/")[2]
    image = await house.images.one(found)
    number = await house.writing.begin("letter", "Tide", ["en"], None, by="x", now=clock.at)
    await house.writing.save(
        number, Draft("en", "Tide", "", Format.MARKDOWN, image.markdown), began_from=1, by="x", now=clock.at
    )
    refused = await editor.post(f"{page}/delete")
    assert refused.status == 409
    assert "campaign “Tide”" in await refused.text()
    with pytest.raises(Exception, match=r"IntegrityConstraint|ForeignKey"):
        await house.db.execute("delete from image")
    await house.writing.save(number, Draft("en", "Tide", "", Format.MARKDOWN, "None"), began_from=2, by="x", now=clock.at)
    form = {"name": "Layout", "format": "html", "body": f"<p>{image.html}</p>"}
    assert (await editor.post("/console/layouts/new", form)).status == 303
    with pytest.raises(Conflict, match="layout “Layout”"):
        await house.images.delete(found, by="x", now=clock.at)
    assert "layout “Layout”" in (await editor.page(page)).words
    await editor.post("/console/layouts/1/delete")
    assert location(await editor.post(f"{page}/delete")) == "/console/images?done=image_deleted"
    assert (await editor.get(page)).status == 404
    assert ("image.delete", found) in await editor.done()


async def test_an_image_is_deleted_once_and_not_while_somebody_saves_a_letter_that_shows_it(
    editor: Operator, house: House, clock: ManualClock
) -> None:
    page = location(await upload(editor, octets(drawn()))).partition("?")[0]
    image = await house.images.one(page.rpartition("/")[2])
    number = await house.writing.begin("letter", "Tide", ["en"], None, by="x", now=clock.at)
    async with house.db.transaction() as db:
        await db.execute("update campaign_content set body = $2 where campaign_id = $1", number, image.markdown)
        deleting = asyncio.create_task(house.images.delete(image.hash, by="x", now=clock.at))
        await waiting_for_a_lock(house)
    with pytest.raises(Conflict, match="campaign “Tide”"):
        await deleting
    await house.db.execute("update campaign_content set body = 'None' where campaign_id = $1", number)
    twice = [house.images.delete(image.hash, by="x", now=clock.at) for _ in range(2)]
    results = await asyncio.gather(*twice, return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["NoneType", "NotFound"]
    assert await house.db.fetchval("select count(*) from audit_log where action = 'image.delete'") == 1


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_a_text_that_is_saved_while_its_image_is_being_deleted_is_kept(
    editor: Operator, house: House, clock: ManualClock, is_deleted: bool
) -> None:
    """As if it had been saved a moment later: the checks before sending say that the image is missing."""
    page = location(await upload(editor, octets(drawn()))).partition("?")[0]
    image = await house.images.one(page.rpartition("/")[2])
    number = await house.writing.begin("letter", "Tide", ["en"], None, by="x", now=clock.at)
    draft = Draft("en", "Tide", "", Format.MARKDOWN, image.markdown)
    layout = {"name": "Layout", "format": "html", "body": f"<p>{image.html}</p>"}
    async with house.db.transaction() as deleting:
        await writing_store.hold_image(deleting, hash=image.hash)
        if is_deleted:
            await writing_store.drop_image(deleting, hash=image.hash)
        saving = asyncio.create_task(house.writing.save(number, draft, began_from=1, by="x", now=clock.at))
        await waiting_for_a_lock(house)
        laying_out = asyncio.create_task(editor.post("/console/layouts/new", layout))
    await saving
    assert (await laying_out).status == 303
    assert await house.db.fetchval("select body from campaign_content where campaign_id = $1", number) == image.markdown
    shown = 0 if is_deleted else 1
    for table in ("campaign_image", "layout_image"):
        assert await house.db.fetchval(f"select count(*) from {table}") == shown
    checked = await editor.page(f"/console/campaigns/{number}/preflight")
    assert (": was deleted" in checked.words) is is_deleted


async def test_a_page_that_is_just_full_leads_to_no_empty_one(editor: Operator, house: House, clock: ManualClock) -> None:
    await house.db.execute(
        """insert into image (hash, kind, width, height, name, alt, content, added_at, added_by)
           select md5(n::text), 'png', 1, 1, '', '', '\\x00', $1, null from generate_series(1, $2::integer) n""",
        clock.at,
        images.PAGE,
    )
    shown = await editor.page("/console/images")
    assert not [each for each in shown.all("a") if "before=" in (each["href"] or "")]


async def test_images_are_paged_by_a_cursor(editor: Operator, house: House, clock: ManualClock) -> None:
    await house.db.execute(
        """insert into image (hash, kind, width, height, name, alt, content, added_at, added_by)
           select md5(n::text), 'png', 1, 1, 'image ' || n, '', '\\x00', $1::timestamptz + n / 3 * interval '1 s', null
           from generate_series(1, 60) n""",
        clock.at,
    )
    seen: list[str] = []
    path: str | None = "/console/images"
    while path:
        page = await editor.page(path)
        links = [str(each["href"]) for each in page.all("a")]
        seen += [each for each in links if each.startswith("/console/images/")]
        path = next((f"/console/images{each}" for each in links if each.startswith("?before=")), None)
    assert len(seen) == len(set(seen)) == 60
    for nonsense in ("x", "1-", "99999999999999999-" + "f" * 32, "-", "1-" + "é" * 32):
        assert (await editor.get(f"/console/images?before={nonsense}")).status == 200


async def test_the_process_that_reads_an_image_cannot_take_more_than_its_limits(house: House) -> None:
    """What it is told to hold itself to is in force before a byte is looked at."""
    import sys

    from newsletter.campaigns import image_process

    probe = (
        "import sys, json, resource; sys.path.insert(0, sys.argv[1]); import image_process as p; p.limit();"
        "print(json.dumps([resource.getrlimit(each)[0] for each in"
        " (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)]))"
    )
    folder = str(Path(image_process.__file__).parent)
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", probe, folder, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert json.loads(out) == [image_process.MOST_MEMORY, image_process.MOST_SECONDS, 0, 0]


async def test_the_process_that_reads_an_image_knows_none_of_our_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, json; print(json.dumps(list(os.environ.values())))")
    monkeypatch.setattr(images, "_PROGRAM", program)
    monkeypatch.setenv("NEWSLETTER_SECRET", "the secret of the house")
    monkeypatch.setenv("DATABASE_URL", "postgresql://the secret of the house")
    status, out = await images._run(b"")
    assert status == 0
    assert b"secret" not in out


async def test_a_photograph_with_a_smaller_one_behind_it_is_taken(house: House) -> None:
    """As telephones make them: Pillow reads them by another name."""
    _, image, _ = await kept(house, octets(drawn(), "MPO", save_all=True, append_images=[drawn()]))
    assert image.format == "JPEG"


async def test_an_image_that_takes_too_long_is_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsletter.campaigns.images._WITHIN", 0.0)
    with pytest.raises(InvalidInput, match="more memory or time"):
        await house.images.add("x", octets(drawn()), "", by="x", now=house.clock.now())
