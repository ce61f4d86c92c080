"""What somebody who looks an installation over finds: what was looked at, what was found, what to do about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"
    """It could not be looked at: neither good nor bad."""


@dataclass(frozen=True)
class Finding:
    """One line."""

    looked_at: str
    result: Result
    found: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""


def good(looked_at: str, found: str) -> Finding:
    return Finding(looked_at, Result.GOOD, found)


def warn(looked_at: str, found: str, advice: str) -> Finding:
    return Finding(looked_at, Result.WARN, found, advice)


def bad(looked_at: str, found: str, advice: str) -> Finding:
    return Finding(looked_at, Result.BAD, found, advice)


def unknown(looked_at: str, found: str, advice: str = "") -> Finding:
    return Finding(looked_at, Result.UNKNOWN, found, advice)
