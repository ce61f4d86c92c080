"""Signatures of statements, one for each kind of result."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from newsletter.core.database import Connection


@dataclass(frozen=True)
class Row:
    number: int
    name: str


@dataclass(frozen=True)
class Numbered:
    number: int


async def nothing(db: Connection) -> None: ...


async def row(db: Connection) -> Row: ...  # type: ignore[empty-body]


async def maybe_row(db: Connection) -> Row | None: ...


async def rows(db: Connection) -> list[Row]: ...  # type: ignore[empty-body]


async def number(db: Connection) -> int: ...  # type: ignore[empty-body]


async def maybe_id(db: Connection) -> UUID | None: ...


async def done(db: Connection) -> bool: ...  # type: ignore[empty-body]


async def numbers(db: Connection) -> list[int]: ...  # type: ignore[empty-body]
