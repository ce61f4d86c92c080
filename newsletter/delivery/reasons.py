"""Why a mail was not taken, in plain words, and what happens next. Pure.

Replies come in as many wordings as there are servers. The enhanced status code (RFC 3463, and the IANA registry beside it) says
most; where there is none, the code of RFC 5321 and a hint from the words have to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from newsletter.delivery.rules import GIVE_UP_AFTER, DeliveryState


class Reason(StrEnum):
    """One group of a report."""

    NO_SUCH_MAILBOX = "no-such-mailbox"
    MAILBOX_CLOSED = "mailbox-closed"
    MAILBOX_FULL = "mailbox-full"
    NO_SUCH_DOMAIN = "no-such-domain"
    GREYLISTED = "greylisted"
    BUSY = "busy"
    PACED = "paced"
    REPUTATION = "reputation"
    CONTENT = "content"
    TOO_LARGE = "too-large"
    UNWRITABLE = "unwritable"
    SET_UP = "set-up"
    UNREACHABLE = "unreachable"
    NO_ANSWER = "no-answer"
    LEFT = "left"
    OTHER = "other"


@dataclass(frozen=True)
class Explained:
    """For people. `about_us`: somebody of the house has to look into it."""

    words: str
    next: str
    about_us: bool = False


_BY_STATUS: dict[str, Reason] = {
    "1.1": Reason.NO_SUCH_MAILBOX,
    "1.2": Reason.NO_SUCH_DOMAIN,
    "1.3": Reason.NO_SUCH_MAILBOX,
    "1.4": Reason.NO_SUCH_MAILBOX,
    "1.6": Reason.NO_SUCH_MAILBOX,
    "1.7": Reason.SET_UP,
    "1.8": Reason.SET_UP,
    "1.10": Reason.NO_SUCH_DOMAIN,
    "2.1": Reason.MAILBOX_CLOSED,
    "2.2": Reason.MAILBOX_FULL,
    "2.3": Reason.TOO_LARGE,
    "3.1": Reason.BUSY,
    "3.2": Reason.BUSY,
    "3.4": Reason.TOO_LARGE,
    "4.1": Reason.UNREACHABLE,
    "4.2": Reason.UNREACHABLE,
    "4.3": Reason.UNREACHABLE,
    "4.4": Reason.NO_SUCH_DOMAIN,
    "4.5": Reason.BUSY,
    "5.0": Reason.SET_UP,
    "5.1": Reason.SET_UP,
    "5.2": Reason.SET_UP,
    "5.3": Reason.BUSY,
    "5.4": Reason.SET_UP,
    "6.0": Reason.CONTENT,
    "6.1": Reason.CONTENT,
    "6.7": Reason.UNWRITABLE,
    "6.8": Reason.UNWRITABLE,
    "6.9": Reason.UNWRITABLE,
    "7.0": Reason.REPUTATION,
    "7.8": Reason.SET_UP,
    "7.9": Reason.SET_UP,
}
"""By subject and detail, whatever the class."""
_BY_CODE: dict[int, Reason] = {
    421: Reason.BUSY,
    450: Reason.BUSY,
    451: Reason.BUSY,
    452: Reason.BUSY,
    454: Reason.SET_UP,
    455: Reason.SET_UP,
    500: Reason.SET_UP,
    501: Reason.SET_UP,
    502: Reason.SET_UP,
    503: Reason.SET_UP,
    504: Reason.SET_UP,
    530: Reason.SET_UP,
    535: Reason.SET_UP,
    538: Reason.SET_UP,
    550: Reason.NO_SUCH_MAILBOX,
    551: Reason.NO_SUCH_MAILBOX,
    552: Reason.MAILBOX_FULL,
    553: Reason.UNWRITABLE,
    554: Reason.REPUTATION,
    555: Reason.SET_UP,
    556: Reason.NO_SUCH_DOMAIN,
}
_BY_HINT: dict[str, Reason] = {
    "greylisted": Reason.GREYLISTED,
    "full": Reason.MAILBOX_FULL,
    "content": Reason.CONTENT,
    "sender": Reason.REPUTATION,
    "busy": Reason.BUSY,
}
"""What the words alone say; see `count_reasons`."""


def reason_of(state: str, *, code: int, status: str, paced: bool = False, hint: str = "") -> Reason:
    """Never raises: `code` 0, an empty or unheard-of `status` and `hint` are what there is to go by sometimes."""
    match state:
        case DeliveryState.SKIPPED:
            return Reason.LEFT
        case DeliveryState.UNCERTAIN:
            return Reason.NO_ANSWER
    if paced:
        return Reason.PACED
    deferred = state == DeliveryState.DEFERRED
    if hint == "greylisted" and deferred:
        return Reason.GREYLISTED
    return _by_status(status, hint, deferred=deferred) or _by_code(code, hint, deferred=deferred)


def _by_status(status: str, hint: str, *, deferred: bool) -> Reason | None:
    _, _, detail = status.partition(".")
    if detail.startswith("7.") and detail not in ("7.8", "7.9"):
        if deferred:
            return Reason.BUSY
        return Reason.CONTENT if hint == "content" else Reason.REPUTATION
    return _BY_STATUS.get(detail)


def _by_code(code: int, hint: str, *, deferred: bool) -> Reason:
    if code == 0:
        return Reason.UNREACHABLE if deferred else Reason.OTHER
    told = _BY_HINT.get(hint)
    if told and not (told is Reason.GREYLISTED and not deferred):
        return told
    return _BY_CODE.get(code, Reason.BUSY if deferred else Reason.OTHER)


_DAYS = GIVE_UP_AFTER.days
_WORDS: dict[Reason, tuple[str, bool]] = {
    Reason.NO_SUCH_MAILBOX: ("No such mailbox", False),
    Reason.MAILBOX_CLOSED: ("Mailbox closed", False),
    Reason.MAILBOX_FULL: ("Mailbox full", False),
    Reason.NO_SUCH_DOMAIN: ("No such domain", False),
    Reason.GREYLISTED: ("Greylisted by the receiver", False),
    Reason.BUSY: ("Receiver or relay is busy", False),
    Reason.PACED: ("Waiting for a turn", False),
    Reason.REPUTATION: ("Refused: our reputation or policy", True),
    Reason.CONTENT: ("Refused: the content", True),
    Reason.TOO_LARGE: ("Too large for the mailbox", True),
    Reason.UNWRITABLE: ("Address that the relay cannot write to", False),
    Reason.SET_UP: ("Refused: our set-up", True),
    Reason.UNREACHABLE: ("Relay not reached", True),
    Reason.NO_ANSWER: ("No answer after the last dot", False),
    Reason.LEFT: ("Unsubscribed meanwhile", False),
    Reason.OTHER: ("Refused without a reason we know", False),
}
_NEXT_FAILED: dict[Reason, str] = {
    Reason.NO_SUCH_MAILBOX: "Not tried again with this campaign",
    Reason.MAILBOX_CLOSED: "Not tried again with this campaign",
    Reason.NO_SUCH_DOMAIN: "Not tried again with this campaign",
    Reason.MAILBOX_FULL: "Not tried again; the next campaign is",
    Reason.REPUTATION: "No reader is to blame: look at authentication and complaints",
    Reason.CONTENT: "No reader is to blame: look at links and wording",
    Reason.TOO_LARGE: "Make the next one smaller",
    Reason.UNWRITABLE: "Needs a relay with SMTPUTF8",
    Reason.SET_UP: "Look at the relay's settings",
}
_NEXT_DEFERRED: dict[Reason, str] = {
    Reason.PACED: "Goes when its domain takes more",
    Reason.REPUTATION: f"Tried again, more slowly, for {_DAYS} days",
    Reason.BUSY: f"Tried again, more slowly, for {_DAYS} days",
    Reason.GREYLISTED: "Tried again in half an hour",
    Reason.UNREACHABLE: "Tried again when the relay answers",
}


def explain(state: str, reason: str, *, under_way: bool) -> Explained:
    """`under_way`: the campaign goes on, so that what was put off is tried again. An unknown `reason` is one like any other."""
    known = Reason(reason) if reason in set(Reason) else Reason.OTHER
    words, about_us = _WORDS[known]
    match state:
        case DeliveryState.SKIPPED:
            follows = "Not mailed any more"
        case DeliveryState.UNCERTAIN:
            follows = "May have arrived; sent again where the campaign says so" if under_way else "May have arrived"
        case DeliveryState.DEFERRED if under_way:
            follows = _NEXT_DEFERRED.get(known, f"Tried again for {_DAYS} days")
        case DeliveryState.DEFERRED:
            follows = "Not tried again: the campaign has ended"
        case _:
            follows = _NEXT_FAILED.get(known, "Not tried again with this campaign")
    return Explained(words, follows, about_us)
