"""The type of a promise: one sentence of the privacy policy, with its rule.

A room that owns rows declares what it must forget in its `promises.py`; `privacy` runs it, records it and shows it. Adding a
promise means adding one declaration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from gettext import NullTranslations
from typing import Protocol, TypedDict

from newsletter.core.database import Connection


@dataclass(frozen=True, slots=True)
class Kept:
    """What one batch did. `removed` below the batch's size says that nothing more is due."""

    removed: int
    oldest: datetime | None = None
    """When the oldest of them fell due."""

    def due_after(self, kept_for: timedelta) -> Kept:
        """The same, of rows whose `oldest` says when it occurred and that were due so long after that."""
        return replace(self, oldest=self.oldest + kept_for) if self.oldest else self


@dataclass(frozen=True, slots=True)
class Due:
    """What is to go and still there."""

    due: int
    oldest: datetime | None = None
    """When the first of them fell due."""

    def due_after(self, kept_for: timedelta) -> Due:
        """The same, of rows whose `oldest` says when it occurred and that were due so long after that."""
        return replace(self, oldest=self.oldest + kept_for) if self.oldest else self


@dataclass(frozen=True)
class Promise:
    """A rule that deletes."""

    name: str
    sentence: Callable[[NullTranslations], str]
    """For the privacy page, with the deadline in it."""
    deadline: timedelta
    """How long what it is about is kept; what the settings say, or what cannot be set."""
    at_most: timedelta
    """What nobody may set it beyond."""
    every: timedelta
    """How often the job runs."""
    grace: timedelta
    """How long after the deadline rows may still be there; later they are overdue."""
    keep: Callable[[Connection, datetime, int], Awaitable[Kept]]
    """Remove at most that many rows that are due at that moment, within the caller's transaction."""
    due: Callable[[Connection, datetime], Awaitable[Due]]
    """What is due at that moment and still there."""

    def __post_init__(self) -> None:
        if not timedelta(0) < self.deadline <= self.at_most:
            raise ValueError(f"{self.name}: keeps for {self.deadline}, which is not within {self.at_most}")


class Rule(TypedDict):
    """The two of a promise that read the database."""

    keep: Callable[[Connection, datetime, int], Awaitable[Kept]]
    due: Callable[[Connection, datetime], Awaitable[Due]]


class _Expire(Protocol):
    def __call__(self, db: Connection, /, *, now: datetime, size: int) -> Awaitable[Kept]: ...


class _Expired(Protocol):
    def __call__(self, db: Connection, /, *, now: datetime) -> Awaitable[Due]: ...


class _ExpireBefore(Protocol):
    def __call__(self, db: Connection, /, *, before: datetime, size: int) -> Awaitable[Kept]: ...


class _ExpiredBefore(Protocol):
    def __call__(self, db: Connection, /, *, before: datetime) -> Awaitable[Due]: ...


def by_expiry(expire: _Expire, due: _Expired) -> Rule:
    """Of rows that say themselves when they are to go, by the two statements that look there."""

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        return await expire(db, now=now, size=size)

    async def is_due(db: Connection, now: datetime) -> Due:
        return await due(db, now=now)

    return {"keep": keep, "due": is_due}


def by_age(kept_for: timedelta, expire: _ExpireBefore, due: _ExpiredBefore) -> Rule:
    """Of rows that say when they came, and are to go so long after that."""

    async def keep(db: Connection, now: datetime, size: int) -> Kept:
        return (await expire(db, before=now - kept_for, size=size)).due_after(kept_for)

    async def is_due(db: Connection, now: datetime) -> Due:
        return (await due(db, before=now - kept_for)).due_after(kept_for)

    return {"keep": keep, "due": is_due}
