"""States, deadlines and decisions of a subscription. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

UNDO_WITHIN = timedelta(hours=1)
"""How long an unsubscribe can be taken back, once."""

REQUEST_LIVES = timedelta(hours=24)
"""How long a sign-up request waits for a worker before it is forgotten, at most."""

WELCOME_WITHIN = timedelta(hours=24)
"""After confirming; a welcome that could not be sent by then comes no more."""

HITS_KEPT = timedelta(days=30)
"""How long the counters against abuse remember."""

MAIL_LIMITS: tuple[tuple[timedelta, int], ...] = (
    (timedelta(minutes=10), 1),
    (timedelta(days=1), 3),
    (timedelta(days=30), 5),
)
"""Mails about sign-ups to one address while it is unconfirmed, over all lists, rolling."""

DATA_MAIL_LIMITS = MAIL_LIMITS[:2]
"""Mails with a link to their own data, to somebody whom we know: no stranger can use up a month's worth of them."""

LONGEST_NAME = 100


class State(StrEnum):
    """Of a subscription that has a row."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    UNSUBSCRIBED = "unsubscribed"


class Via(StrEnum):
    """How a subscription ended."""

    LINK = "link"
    ONE_CLICK = "one-click"
    PAGE = "page"
    OPERATOR = "operator"
    COMPLAINT = "complaint"
    BOUNCE = "bounce"
    CLOSING = "closing"
    """Of the list."""


@dataclass(frozen=True)
class Ask:
    """Send a confirmation mail about these lists."""

    list_ids: list[int]


@dataclass(frozen=True)
class SayAlready:
    """Send a mail that says: you are subscribed already."""

    list_ids: list[int]


@dataclass(frozen=True)
class StaySilent:
    """Send nothing."""

    why: Literal["suppressed", "limited"]


Decision = Ask | SayAlready | StaySilent


def request_lives(confirm_within: timedelta) -> timedelta:
    """No longer than the link lives that would come of it: its time counts from the request."""
    return min(REQUEST_LIVES, confirm_within)


def decide(
    list_ids: Sequence[int],
    states: Mapping[int, State],
    *,
    may_ask: bool,
    mailed_at: Sequence[datetime],
    now: datetime,
    moves: bool = False,
) -> Decision:
    """What a sign-up calls for. `mailed_at`: when this address was mailed about sign-ups in the last 30 days.

    A second sign-up never un-confirms; one that had unsubscribed confirms anew. One that `moves` here from another address is
    always asked about: only confirming it ends the other.
    """
    if not may_ask:
        return StaySilent("suppressed")
    if is_limited(mailed_at, now):
        return StaySilent("limited")
    if moves:
        return Ask(list(list_ids))
    open_lists = [list_id for list_id in list_ids if states.get(list_id) is not State.CONFIRMED]
    return Ask(open_lists) if open_lists else SayAlready(list(list_ids))


def is_limited(mailed_at: Sequence[datetime], now: datetime, limits: Sequence[tuple[timedelta, int]] = MAIL_LIMITS) -> bool:
    """Whether one more mail would be one too many in any of the rolling windows."""
    return any(sum(moment > now - window for moment in mailed_at) >= most for window, most in limits)
