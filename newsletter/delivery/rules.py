"""What an SMTP reply means, and when to try again. Pure."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from newsletter.core.logs import scrub

GIVE_UP_AFTER = timedelta(days=4)
"""After the first attempt (RFC 5321 section 4.5.4.1 asks for four to five days)."""

LONGEST_WAIT = timedelta(days=7)
"""How long a single mail of any kind stays in the outbox at most; most kinds less."""

UNCERTAIN_ATTEMPTS = 3
"""How often a mail is handed over at most when each time the answer to its last dot is missing: a reader might get them all."""

INTERRUPTED_ATTEMPTS = 100
"""How often a mail is taken up whose worker is killed each time. Most such mails were never handed over, and nobody is to be
lost; but one that kills whoever takes it up must not go on for ever."""

FRESH_FOR = 2.0
"""Seconds that a look at who still wants the mail is good for. With the promise at 5 s, 3 s remain for the clock's way."""

BATCHES = 64
"""Batches that a campaign is cut into, so that any number of workers find something to do."""
FEWEST_READERS, MOST_READERS = 1_000, 10_000
"""Readers that a batch holds on average: enough to be worth a claim, few enough to be taken over soon."""

PACED_WITHIN = timedelta(seconds=5)
"""How late a mail that was put aside for a slow domain may be and still go without asking for room again."""
TURNS_AHEAD = timedelta(minutes=5)
"""How far ahead turns are given for what is slowed down: by then it may take thirty times as much. Where the rate is that of
the settings all of them get one, since it cannot rise."""
PACED_STEP = timedelta(seconds=1)
"""Mails for a slow domain become due in bunches, this far apart."""
CHUNK_OF_RATE = 0.5
"""Seconds of the allowed rate that a chunk holds at most."""

SLOWEST = 0.2
"""Mails a second that a relay or domain is slowed down to at most."""
SLOW_AGAIN_AFTER = timedelta(seconds=5)
"""Complaints of a relay that come together count once."""
RECOVER_EVERY = timedelta(minutes=1)
"""The allowed rate doubles when so long nothing was complained of."""

POLICY_RUN = 20
"""Refusals in a row that are about us (5.7.x) after which a campaign pauses by itself."""
STORM = 20
"""Addresses unknown (5.1.1) at one domain in a row after which it is rather the receiver that errs."""

LEASE = timedelta(seconds=30)
"""How long a worker may be silent before another takes its batch, where the settings do not say otherwise."""

_STATUS = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
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
    about_sender: bool = False
    """Said before a recipient was named: the relay's own word about us."""
    paced_until: datetime | None = None
    """Not tried: put aside until then."""
    has_turn: bool = False
    """That is its turn in the queue of its domain; otherwise it asks for one then."""


@functools.lru_cache(maxsize=1024)
def outcome_of(code: int, octets: bytes) -> Outcome:
    """The outcome for a reply to the last dot, or for a refusal before it. Relays repeat themselves, hence the cache."""
    text = octets.decode("utf-8", "replace")
    state = (
        DeliveryState.ACCEPTED if 200 <= code < 300 else DeliveryState.FAILED if 500 <= code < 600 else DeliveryState.DEFERRED
    )
    status = _STATUS.match(text)
    return Outcome(state, code, status[1] if status else None, scrub(_storable(text))[:LONGEST_REPLY])


def _storable(text: str) -> str:
    """One line that PostgreSQL takes, whatever octets the relay sent: no NUL, nothing that is no character."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def retry_pause(attempts: int, outcome: Outcome) -> timedelta:
    """How long to wait after that many attempts: minutes where the relay is busy with us, half an hour and growing
    otherwise."""
    busy = outcome.code in (None, 421) or (outcome.status or "").startswith("4.7.")
    first, longest = (timedelta(minutes=2), timedelta(hours=1)) if busy else (timedelta(minutes=30), timedelta(hours=8))
    return min(first * (1 << min(attempts - 1, 10)), longest)


def may_resend(doubts: int) -> bool:
    """Whether a mail is handed over once more whose answer was missing that many times."""
    return doubts < UNCERTAIN_ATTEMPTS


def unreachable_pause(failures: int) -> timedelta:
    """How long to leave a relay alone that could not be reached that many times in a row."""
    return min(timedelta(seconds=5) * (1 << min(failures - 1, 10)), timedelta(minutes=5))


def batch_count(readers: int) -> int:
    """How many batches to cut an audience of that size into."""
    return max(1, -(-readers // min(max(readers // BATCHES, FEWEST_READERS), MOST_READERS)))


def slows_relay(outcome: Outcome) -> bool:
    """Whether the relay itself asks us to go slower (RFC 5321, section 3.8; RFC 3463, X.7.x of 4yz)."""
    return outcome.code == 421 or (outcome.about_sender and _is_busy(outcome))


def slows_domain(outcome: Outcome) -> bool:
    """Whether the recipient's domain does, by way of the relay."""
    return outcome.code != 421 and not outcome.about_sender and _is_busy(outcome)


def _is_busy(outcome: Outcome) -> bool:
    return outcome.state is DeliveryState.DEFERRED and (outcome.status or "").startswith("4.7.")


def is_policy(outcome: Outcome) -> bool:
    """Refused because of us: reputation or set-up, no reader's fault."""
    return outcome.state is DeliveryState.FAILED and (outcome.status or "").startswith("5.7.")


def is_unknown_address(outcome: Outcome) -> bool:
    return outcome.state is DeliveryState.FAILED and outcome.status == "5.1.1"


def allowed_rate(full: float | None, slow: float, slowed_at: datetime, now: datetime) -> float | None:
    """Mails a second for what was slowed down to `slow` then: doubled each minute since, up to `full` (None: no limit).

    Without a limit of its own it counts as recovered after ten doublings.
    """
    doublings = int((now - slowed_at) / RECOVER_EVERY)
    if doublings >= 10:
        return full
    rate = slow * (1 << max(doublings, 0))
    return rate if full is None else min(rate, full)
