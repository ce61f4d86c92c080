"""Images of letters: taken in through a process of their own, kept in the database, served by us under their content's hash.

Whatever was uploaded, what is kept was encoded anew: no metadata, no script, no second format hidden behind the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from newsletter.campaigns import writing_store
from newsletter.campaigns.image_address import displayed
from newsletter.campaigns.writing_store import ImageRow
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, InvalidInput, NotFound, TooMany
from newsletter.core.logs import get_logger

MOST_OCTETS = 10_000_000
"""Of a file that is taken in."""
LONGEST_ALT = 300
PAGE = 24
_WITHIN = 30.0
"""Seconds that one image may take, waiting for a processor included."""
_AT_ONCE = 2
_MOST_WAITING = 10
_PROGRAM = Path(__file__).with_name("image_process.py")
_PYTHON_NEEDS = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")
_NO_IMAGE, _TOO_MANY_PIXELS = 3, 4
_HASH = re.compile(r"[0-9a-f]{32}")

log = get_logger(__name__)


@dataclass(frozen=True)
class Image:
    """One that is kept. `address` is the whole address that stands in letters."""

    hash: str
    kind: str
    width: int
    height: int
    name: str
    alt: str
    size: int
    added_at: datetime
    added_by: str
    address: str

    @property
    def file(self) -> str:
        """Its name in addresses."""
        return f"{self.hash}.{self.kind}"

    @property
    def markdown(self) -> str:
        """What to write in a letter."""
        alt = re.sub(r"[\[\]{}\\<>]", "", self.alt)  # Which would end it, or be taken for markup or a merge field.
        return f"![{alt}]({self.address})"

    @property
    def html(self) -> str:
        """The same for a letter in HTML."""
        width, height = displayed(self.width, self.height)
        alt = escape(self.alt).replace("{", "&#123;")
        return f'<img src="{self.address}" alt="{alt}" width="{width}" height="{height}">'


@dataclass(frozen=True)
class Added:
    """`is_new` false: the same image was there already."""

    image: Image
    is_new: bool


class Images:
    """`by` names the operator."""

    def __init__(self, db: Database, audit: Audit, *, base_url: str) -> None:
        self._db = db
        self._audit = audit
        self._base_url = base_url
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def add(self, name: str, content: bytes, alt: str, *, by: str, now: datetime) -> Added:
        """Take a JPEG, PNG, GIF (its first frame) or WebP in. Raises `InvalidInput` with what to do, `TooMany`."""
        alt = _checked_alt(alt)
        _check_file(content)
        kind, width, height, fresh = await self._remade(content)
        found = hashlib.sha256(fresh).hexdigest()[:32]
        name = "".join(character for character in re.split(r"[\\/]", name)[-1] if character.isprintable())[:200]
        async with self._db.transaction() as db:
            is_new = await writing_store.add_image(
                db, hash=found, kind=kind, width=width, height=height, name=name, alt=alt, content=fresh, by=by, now=now
            )
            if is_new:
                await self._audit(db, by, "image.add", found, now)
        return Added(await self.one(found), is_new)

    async def one(self, found: str) -> Image:
        """Raises `NotFound`."""
        row = await writing_store.image(self._db, hash=found) if _HASH.fullmatch(found) else None
        if row is None:
            raise NotFound("There is no such image: it may have been deleted.")
        return self._image(row)

    async def page(self, *, before: tuple[datetime, str] | None = None, size: int = PAGE) -> list[Image]:
        """Newest first; `before` is the last one of the page before."""
        at, last = before or (datetime(9999, 1, 1, tzinfo=UTC), "")
        return [self._image(row) for row in await writing_store.images(self._db, before=at, last=last, size=size)]

    async def content(self, file: str) -> bytes:
        """Of `{hash}.{kind}`. Raises `NotFound`."""
        found, _, kind = file.partition(".")
        row = await writing_store.image_content(self._db, hash=found) if _HASH.fullmatch(found) else None
        if row is None or row.kind != kind:
            raise NotFound("There is no such image: it may have been deleted.")
        return row.content

    async def describe(self, found: str, alt: str, *, by: str, now: datetime) -> None:
        """Its alternative text, for letters that pick it from now on."""
        alt = _checked_alt(alt)
        async with self._db.transaction() as db:
            if not _HASH.fullmatch(found) or not await writing_store.set_alt(db, hash=found, alt=alt):
                raise NotFound("There is no such image: it may have been deleted.")
            await self._audit(db, by, "image.describe", found, now)

    async def users(self, found: str) -> list[str]:
        """What shows it, in words; ten campaigns and ten layouts at most."""
        return await self._users(self._db, found)

    async def _users(self, db: Connection, found: str) -> list[str]:
        campaigns = await writing_store.image_campaigns(db, hash=found)
        layouts = await writing_store.image_layouts(db, hash=found)
        return [f"campaign “{each.name}”" for each in campaigns] + [f"layout “{name}”" for name in layouts]

    async def delete(self, found: str, *, by: str, now: datetime) -> None:
        """Raises `NotFound`, and `Conflict` while something shows it: mails that were sent load it from here."""
        async with self._db.transaction() as db:
            if not _HASH.fullmatch(found) or not await writing_store.hold_image(db, hash=found):
                raise NotFound("There is no such image: it may have been deleted.")
            if users := await self._users(db, found):
                raise Conflict(
                    f"This image is shown by {', '.join(users[:3])}{' and others' if len(users) > 3 else ''}: it stays, since"
                    " mails that were sent load it from here. Take it out of drafts and layouts first."
                )
            await writing_store.drop_image(db, hash=found)
            await self._audit(db, by, "image.delete", found, now)

    def _image(self, row: ImageRow) -> Image:
        address = f"{self._base_url}/images/{row.hash}.{row.kind}?{row.width}x{row.height}"
        return Image(
            row.hash,
            row.kind,
            row.width,
            row.height,
            row.name,
            row.alt,
            row.size,
            row.added_at,
            row.added_by,
            address,
        )

    async def _remade(self, content: bytes) -> tuple[str, int, int, bytes]:
        if self._waiting >= _MOST_WAITING:
            raise TooMany("Many images are being taken in at the moment: send this one again in a minute.", retry_after=60)
        self._waiting += 1
        try:
            async with self._room:
                status, out = await _run(content)
        finally:
            self._waiting -= 1
        if status == _TOO_MANY_PIXELS:
            raise InvalidInput("This image has more than 40 million pixels: make it smaller first.", field="file")
        if status == _NO_IMAGE:
            raise InvalidInput("This is no image that we can read: choose a JPEG, PNG, GIF or WebP.", field="file")
        head, _, fresh = out.partition(b"\n")
        if status != 0 or not fresh:
            log.warning("image_process_ended", status=status)
            raise InvalidInput(
                "This image took more memory or time to read than any real one does: save it anew, and smaller.", field="file"
            )
        told = json.loads(head)
        return str(told["kind"]), int(told["width"]), int(told["height"]), fresh


async def _run(content: bytes) -> tuple[int, bytes]:
    """Exit status and output; a process that takes too long is ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(_PROGRAM),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        start_new_session=True,
        # Not our secrets: the image may be hostile.
        env={name: os.environ[name] for name in _PYTHON_NEEDS if name in os.environ},
    )
    try:
        async with asyncio.timeout(_WITHIN):
            out, _ = await process.communicate(content)
    except TimeoutError:
        out = b""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, out


def _check_file(content: bytes) -> None:
    if not content:
        raise InvalidInput("Choose a file first.", field="file")
    if len(content) > MOST_OCTETS:
        size = f"{len(content) / 1_000_000:.0f} MB"
        raise InvalidInput(f"This file has {size}; an image may have {MOST_OCTETS // 1_000_000} MB at most.", field="file")
    if _looks_like_svg(content[:2000]):
        raise InvalidInput(
            "SVG is not taken: it can hold scripts, and mail programs do not show it. Save it as a PNG.", field="file"
        )


def _looks_like_svg(head: bytes) -> bool:
    """For the sentence alone, so it need not be exact: what is no image is refused by who tries to read it."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") and b"<svg" in head.lower()


def _checked_alt(alt: str) -> str:
    alt = " ".join(alt.split())
    if len(alt) > LONGEST_ALT:
        raise InvalidInput(f"An alternative text has {LONGEST_ALT} characters at most.", field="alt")
    if any(not character.isprintable() for character in alt):
        raise InvalidInput("The alternative text holds a control character: delete it.", field="alt")
    return alt
