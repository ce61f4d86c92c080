"""Layouts: named starts that a campaign begins from, checked like content, so that what begins from one compiles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from newsletter.campaigns import writing_store
from newsletter.campaigns.content import Draft, Format, Reader, RenderedMail
from newsletter.campaigns.framing import Framing
from newsletter.campaigns.writing_store import LayoutLine, LayoutRow
from newsletter.core.audit import Audit
from newsletter.core.database import Database
from newsletter.core.errors import Conflict, DatabaseError, InvalidInput, NotFound
from newsletter.core.i18n import long_date

T = TypeVar("T")

PAGE = 100
_UNIQUE_VIOLATION = "23505"
_LANGUAGE = "en"
"""That a layout is checked and shown in: it may serve any."""


@dataclass(frozen=True)
class NewLayout:
    """Subject and preheader may be empty: they are the campaign's own then."""

    name: str
    subject: str
    preheader: str
    format: Format
    body: str

    @property
    def draft(self) -> Draft:
        """As a letter, to be looked at: with a subject in any case."""
        return Draft(_LANGUAGE, self.subject.strip() or "Subject", self.preheader, self.format, self.body)


class Layouts:
    """`by` names the operator."""

    def __init__(self, db: Database, framing: Framing, audit: Audit) -> None:
        self._db = db
        self._framing = framing
        self._audit = audit

    async def page(self, *, after: str = "", size: int = PAGE) -> list[LayoutLine]:
        """By name; `after` is the last one of the page before."""
        return await writing_store.layouts(self._db, after=after, size=size)

    async def one(self, layout_id: int) -> LayoutRow:
        """Raises `NotFound`."""
        found = await writing_store.layout(self._db, layout_id=layout_id) if 0 < layout_id < 2**31 else None
        if found is None:
            raise NotFound("There is no such layout: it may have been deleted.")
        return found

    async def create(self, new: NewLayout, *, by: str, now: datetime) -> int:
        """Its number. Raises `InvalidInput`, `InvalidContent` with line and reason."""
        new = await self._checked(new)
        async with self._db.transaction() as db:
            layout_id = await _unique(
                writing_store.add_layout(
                    db,
                    name=new.name,
                    subject=new.subject,
                    preheader=new.preheader,
                    format=new.format.value,
                    body=new.body,
                    by=by,
                    now=now,
                )
            )
            await self._audit(db, by, "layout.create", f"layout {layout_id}", now)
        return layout_id

    async def save(self, layout_id: int, new: NewLayout, *, began_from: int, by: str, now: datetime) -> None:
        """Raises `Conflict` when somebody else saved it since, and as `create` does."""
        await self.one(layout_id)
        new = await self._checked(new)
        async with self._db.transaction() as db:
            saved = await _unique(
                writing_store.save_layout(
                    db,
                    layout_id=layout_id,
                    version=began_from,
                    name=new.name,
                    subject=new.subject,
                    preheader=new.preheader,
                    format=new.format.value,
                    body=new.body,
                    by=by,
                    now=now,
                )
            )
            if not saved:
                raise Conflict("Somebody else has saved this layout since you opened it: nothing was overwritten.")
            await self._audit(db, by, "layout.save", f"layout {layout_id}", now)

    async def copy(self, layout_id: int, *, by: str, now: datetime) -> int:
        """Under a name of its own; its number."""
        found = await self.one(layout_id)
        for number in range(1, 100):
            name = f"{found.name[:80]} (copy{'' if number == 1 else f' {number}'})"
            if await writing_store.layout_named(self._db, name=name) is None:
                new = NewLayout(name, found.subject, found.preheader, Format(found.format), found.body)
                return await self.create(new, by=by, now=now)
        raise Conflict("There are a hundred copies of this layout already: delete some.")

    async def delete(self, layout_id: int, *, by: str, now: datetime) -> None:
        """Campaigns that began from it keep their text. Raises `NotFound`."""
        async with self._db.transaction() as db:
            if not 0 < layout_id < 2**31 or not await writing_store.drop_layout(db, layout_id=layout_id):
                raise NotFound("There is no such layout: it may have been deleted.")
            await self._audit(db, by, "layout.delete", f"layout {layout_id}", now)

    async def preview(self, new: NewLayout, *, name: str, now: datetime) -> RenderedMail:
        """What a letter that begins from it would look like. Raises `InvalidContent`."""
        reader = Reader(name[:100], long_date(now, _LANGUAGE), f"{self._framing.base_url}/unsubscribe/…")
        content = await asyncio.to_thread(self._framing.compile_neutral, new.draft)
        return await asyncio.to_thread(content.render, reader)

    async def _checked(self, new: NewLayout) -> NewLayout:
        name = " ".join(new.name.split())
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise InvalidInput("A layout needs a name of 1 to 100 characters.", field="name")
        body = new.body.replace("\r\n", "\n").replace("\r", "\n")
        new = replace(new, name=name, subject=new.subject.strip(), preheader=new.preheader.strip(), body=body)
        await asyncio.to_thread(self._framing.compile_neutral, new.draft)
        return new


async def _unique(act: Awaitable[T]) -> T:
    try:
        return await act
    except DatabaseError as error:
        if error.sqlstate == _UNIQUE_VIOLATION:
            raise InvalidInput("There is a layout of this name already: choose another.", field="name") from None
        raise
