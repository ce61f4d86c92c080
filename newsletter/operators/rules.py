"""Who may do what in the console, and for how long somebody stays signed in. Pure."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

ROLES = ("owner", "editor", "viewer")

IDLE = timedelta(hours=2)
"""A session ends when it was not used for so long."""
LONGEST = timedelta(hours=12)
"""A session ends then, used or not."""
CODE_WITHIN = timedelta(minutes=10)
"""Between the password and the second factor."""
TOUCH_EVERY = timedelta(minutes=1)

INVITATION_LIVES = timedelta(days=3)
RESET_LIVES = timedelta(hours=1)

FAILURES_FROM = timedelta(minutes=15)
"""How far back sign-ins that failed are counted."""
MOST_FOR_ACCOUNT = 5
"""Failures for one account from one network. Counted for the pair, so that nobody can lock out somebody elsewhere."""
MOST_FROM_NETWORK = 30
"""Failures from one network, whatever the account."""

MOST_CODES = 5
"""Codes that may be tried after one right password, from wherever."""
NOTED_EVERY = timedelta(hours=1)
"""A cookie that has ended is on record once in so long, however often it comes."""

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200


class Right(StrEnum):
    """What a page or a button asks of whoever uses it."""

    LOOK = "look"
    """Figures and campaigns; nobody's address."""
    READERS = "readers"
    """Addresses, and what people may ask about their data."""
    WRITE = "write"
    """Campaigns, lists, layouts, images."""
    SEND = "send"
    """Send, pause, cancel."""
    OWN = "own"
    """The house: operators, tokens, relays, policy, log."""


class Scope(StrEnum):
    """What an API token may do."""

    READ = "campaigns:read"
    WRITE = "campaigns:write"
    SEND = "campaigns:send"


_RIGHTS: dict[str, frozenset[Right]] = {
    "viewer": frozenset({Right.LOOK}),
    "editor": frozenset({Right.LOOK, Right.READERS, Right.WRITE, Right.SEND}),
    "owner": frozenset(Right),
}


def rights_of(role: str) -> frozenset[Right]:
    """None at all for a role that there is not."""
    return _RIGHTS.get(role, frozenset())


_NEEDED = {Scope.READ: Right.LOOK, Scope.WRITE: Right.WRITE, Scope.SEND: Right.SEND}


def scopes_of(role: str) -> frozenset[Scope]:
    """What a program may do in the name of somebody of that role: no more than they themselves."""
    return frozenset(scope for scope, right in _NEEDED.items() if right in rights_of(role))
