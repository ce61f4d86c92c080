"""What operators are shown of lists and readers: rows as they are, for whoever shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID


@dataclass(frozen=True)
class Month:
    """What became of a list in the month that begins then."""

    month: date
    asked: int
    confirmed: int
    unsubscribed: int
    refused: int
    lapsed: int


@dataclass(frozen=True)
class UsedWording:
    """Words that a list asked with: `form` beside the button, `mail` in the confirmation mail."""

    kind: str
    language: str
    content: str
    since: datetime


@dataclass(frozen=True)
class SenderRow:
    sender_id: int
    name: str
    from_address: str
    reply_to: str | None
    postal_address: str
    contact: str
    legal_notice: str | None
    relay: str | None
    slugs: list[str]
    """Of the lists that it has."""


@dataclass(frozen=True)
class PersonRow:
    """Lists and states side by side."""

    subscriber_id: UUID
    address: str
    name: str
    created_at: datetime
    left_at: datetime | None
    list_ids: list[int]
    states: list[str]
    paused: bool
