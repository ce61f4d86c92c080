"""What an SMTP reply means, and when to try again. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from newsletter.core.logs import scrub

GIVE_UP_AFTER = timedelta(days=4)
"""After the first attempt (RFC 5321 section 4.5.4.1 asks for four to five days)."""

UNCERTAIN_ATTEMPTS = 3
"""How often a mail is handed over at most when each time the answer to its last dot is missing: a reader might get them all."""

FRESH_FOR = 2.0
"""Seconds that a look at who still wants the mail is good for. With the promise at 5 s, 3 s remain for the clock's way."""

BATCH_READERS = 1000
"""Readers that a batch holds on average."""

LEASE = timedelta(seconds=30)
"""How long a worker may be silent before another takes its batch, where the settings do not say otherwise."""

_STATUS = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
LONGEST_REPLY = 300


class DeliveryState(StrEnum):
    """Where a mail stands; the words of the `delivery` table."""

    ATTEMPTING = "attempting"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `reply` is scrubbed of addresses, since relays quote them."""

    state: DeliveryState
    code: int | None = None
    status: str | None = None
    """Enhanced status code (RFC 3463), where the relay gave one."""
    reply: str = ""


def outcome_of(code: int, text: str) -> Outcome:
    """The outcome for a reply to the last dot, or for a refusal before it."""
    state = (
        DeliveryState.ACCEPTED if 200 <= code < 300 else DeliveryState.FAILED if 500 <= code < 600 else DeliveryState.DEFERRED
    )
    status = _STATUS.match(text)
    return Outcome(state, code, status[1] if status else None, scrub(_storable(text))[:LONGEST_REPLY])


def _storable(text: str) -> str:
    """One line that PostgreSQL takes, whatever octets the relay sent: no NUL, nothing that is no character."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def retry_pause(attempts: int, outcome: Outcome) -> timedelta:
    """How long to wait after that many attempts: minutes where the relay is busy with us, half an hour and growing
    otherwise."""
    busy = outcome.code in (None, 421) or (outcome.status or "").startswith("4.7.")
    first, longest = (timedelta(minutes=2), timedelta(hours=1)) if busy else (timedelta(minutes=30), timedelta(hours=8))
    return min(first * (1 << min(attempts - 1, 10)), longest)


def may_resend(attempts: int, *, was_uncertain: bool) -> bool:
    """Whether a mail that is uncertain (again) after that many attempts is handed over once more.

    The first time always: the attempts before it were put off by the relay, so that no copy can have come of them.
    """
    return not was_uncertain or attempts < UNCERTAIN_ATTEMPTS


def unreachable_pause(failures: int) -> timedelta:
    """How long to leave a relay alone that could not be reached that many times in a row."""
    return min(timedelta(seconds=5) * (1 << min(failures - 1, 10)), timedelta(minutes=5))
