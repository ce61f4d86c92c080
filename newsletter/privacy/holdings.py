"""What is held about one person: rows as they are, for whoever shows or writes them down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Person:
    address: str
    name: str
    language: str
    created_at: datetime
    left_at: datetime | None


@dataclass(frozen=True)
class Subscription:
    list_id: int
    state: str
    language: str
    requested_at: datetime
    expires_at: datetime | None
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None
    unsubscribed_via: str | None
    undo_until: datetime | None


@dataclass(frozen=True)
class Event:
    """Evidence. `list_id` None: about the person. Network and agent are there until `origin_until`."""

    event_id: int
    list_id: int | None
    kind: str
    occurred_at: datetime
    language: str
    form: str
    via: str | None
    wording: str | None
    mail: str | None
    process: str | None
    mail_hash: str | None
    campaign: str | None
    network: str | None
    agent: str | None
    origin_until: datetime | None


@dataclass(frozen=True)
class Delivery:
    campaign: str
    list_id: int
    state: str
    attempts: int
    first_at: datetime
    attempted_at: datetime
    reply: str | None


@dataclass(frozen=True)
class Withdrawal:
    kind: str
    list_id: int
    occurred_at: datetime


@dataclass(frozen=True)
class Confirmation:
    list_id: int
    name: str | None
    requested_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True)
class WaitingMail:
    kind: str
    state: str
    created_at: datetime
    expires_at: datetime
    reply: str | None


@dataclass(frozen=True)
class Act:
    """Of an operator, by its name in the log."""

    action: str
    occurred_at: datetime


@dataclass(frozen=True)
class HandedIn:
    """By a form, and not worked on yet."""

    kind: str
    address: str
    content: str
    network: str | None
    agent: str | None
    received_at: datetime
    expires_at: datetime
