"""Passwords: argon2id (RFC 9106), hashed in a thread, since that takes 64 MB and a twentieth of a second on purpose."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from newsletter.core.errors import InvalidInput, TooMany
from newsletter.operators.rules import LONGEST_PASSWORD, SHORTEST_PASSWORD

_AT_ONCE = 2
"""Hashes that one process works on; the rest wait, so that a flood of sign-ins takes no more memory than this."""


_WAITING_AT_MOST = 40
"""Further ones are turned away at once: at the end of a longer queue nobody waits any more."""


class Passwords:
    """One per process. `hasher` has the library's recommended parameters unless it is said otherwise."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()  # argon2id
        self._nobodys = _of_no_password(self._hasher)
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises `TooMany` when too many others wait for the same."""
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, _normal(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Takes as long for somebody whom there is not (None), so that the time tells nothing. Raises `TooMany`."""
        async with self._turn():
            right = await asyncio.to_thread(self._verify, stored or self._nobodys, _normal(password))
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Hashed with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= _WAITING_AT_MOST:
            raise TooMany("Too many people sign in at this moment. Please try again in a few seconds.", retry_after=5)
        self._waiting += 1
        try:
            async with self._free:
                yield
        finally:
            self._waiting -= 1

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _of_no_password(hasher: PasswordHasher) -> str:
    """What no password hashes to, and what takes as long to compare as any: made up of random octets, since hashing something
    would hold up the start of every process (form: the PHC string of argon2's reference implementation)."""
    salt, tag = (b64encode(os.urandom(length)).rstrip(b"=").decode() for length in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v={ARGON2_VERSION}$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${tag}"


def check_password(password: str, *, about: tuple[str, ...] = ()) -> None:
    """Length rather than rules about characters (NIST SP 800-63B); nothing that stands in name or address.

    Raises `InvalidInput` with the field `password`.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise InvalidInput(
            f"The password is too short: take {SHORTEST_PASSWORD} characters or more, such as four words.", field="password"
        )
    if len(password) > LONGEST_PASSWORD:
        raise InvalidInput(f"The password is too long: {LONGEST_PASSWORD} characters at most.", field="password")
    folded = password.casefold()
    if len(set(folded)) < 5 or any(part and part.casefold() in folded for part in about if len(part) > 3):
        raise InvalidInput("This password is easy to guess: take words that have nothing to do with you.", field="password")


def check_same(password: str, again: str) -> None:
    """Typed twice, since nobody sees what they type. Raises `InvalidInput` with the field `again`."""
    if password != again:
        raise InvalidInput("The two are not the same. Please type the password again.", field="again")


def _normal(password: str) -> str:
    """Two keyboards may write one character in two ways (NIST SP 800-63B section 5.1.1.2).

    Of one longer than any that can be set only the beginning, since NFKC takes the square of the time for a long run of
    combining marks.
    """
    return unicodedata.normalize("NFKC", password[: LONGEST_PASSWORD * 4])
