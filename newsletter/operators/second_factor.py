"""The second factor: codes of half a minute (TOTP, RFC 6238), and recovery codes that work once.

The secret lies wrapped by NEWSLETTER_SECRET. A code that was used is refused, and so is every earlier one.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyotp

from newsletter.core.database import Connection
from newsletter.core.keys import sha256, unwrap, wrap
from newsletter.operators import store
from newsletter.operators.store import Account

SECRET_OCTETS = 20
"""As RFC 4226 section 4 recommends."""
STEP = 30
"""Seconds."""
DRIFT = 1
"""Steps that a telephone's clock may be off, either way."""
RECOVERY_CODES = 10
_GROUPS = 4


@dataclass(frozen=True)
class Enrolment:
    """What to show while it is being set up: the secret to type, and the address to scan."""

    secret: str
    address: str


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_OCTETS)


def wrapped(secret: bytes, operator_id: int, key: str) -> bytes:
    return wrap(secret, key, _purpose(operator_id))


def opened(account: Account, key: str) -> bytes:
    assert account.totp is not None
    return unwrap(account.totp, key, _purpose(account.operator_id))


def enrolment(secret: bytes, *, name: str, issuer: str) -> Enrolment:
    text = base64.b32encode(secret).decode()
    return Enrolment(text, pyotp.TOTP(text).provisioning_uri(name=name, issuer_name=issuer))


def step_of(secret: bytes, code: str, *, now: datetime) -> int | None:
    """The half minute that a code belongs to, a step early or late at most; None for a wrong one."""
    totp, given = pyotp.TOTP(base64.b32encode(secret).decode()), "".join(code.split())
    current = int(now.timestamp()) // STEP
    if not (given.isascii() and given.isdigit()):
        return None
    matching = [
        step for step in range(current - DRIFT, current + DRIFT + 1) if secrets.compare_digest(totp.generate_otp(step), given)
    ]
    return matching[-1] if matching else None


def recovery_codes() -> list[str]:
    """80 bits each, in groups that can be read out."""
    texts = (base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES))
    return ["-".join(text[start : start + _GROUPS] for start in range(0, len(text), _GROUPS)) for text in texts]


def recovery_digests(codes: Sequence[str]) -> list[bytes]:
    return [sha256("".join(character for character in code.lower() if character.isalnum())) for code in codes]


async def rewrap_second_factors(db: Connection, old: str, new: str) -> int:
    """For a change of secret, in the caller's transaction; returns how many."""
    rows = await store.wrapped_totp(db)
    for row in rows:
        secret = unwrap(row.totp, old, _purpose(row.operator_id))
        await store.rewrap_totp(db, operator_id=row.operator_id, totp=wrapped(secret, row.operator_id, new))
    return len(rows)


def _purpose(operator_id: int) -> str:
    """Bound in, so that one operator's secret cannot be put into another's row."""
    return f"totp {operator_id}"
