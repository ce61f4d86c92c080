"""What strangers type is cut before anything looks at it that takes the square of the time."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Callable
from typing import Literal

import pytest
from argon2 import PasswordHasher, extract_parameters

from newsletter.core.addresses import parse_address
from newsletter.core.errors import InvalidInput
from newsletter.operators.passwords import Passwords
from newsletter.subscribing.joining import checked_name

MARKS = "a" + "\u0300\u0316" * 30_000


@pytest.fixture
def normalized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many characters at once were normalised."""
    lengths: list[int] = []
    real = unicodedata.normalize

    def counting(form: Literal["NFC", "NFKC"], text: str) -> str:
        lengths.append(len(text))
        return real(form, text[:2000])

    monkeypatch.setattr(unicodedata, "normalize", counting)
    return lengths


@pytest.mark.parametrize("parse", [parse_address, checked_name])
@pytest.mark.parametrize("typed", [MARKS, MARKS + "@example.org", " " * 60_000 + MARKS])
def test_a_long_run_of_combining_marks_is_refused_before_it_is_put_in_order(
    normalized: list[int], parse: Callable[[str], object], typed: str
) -> None:
    with pytest.raises(InvalidInput, match=r"too long|100 characters"):
        parse(typed)
    assert max(normalized) < 1100


class Watched(PasswordHasher):
    """Notes what it compares with."""

    compared: str = ""

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the name of what is overridden
        self.compared = str(hash)
        return super().verify(hash, password)


async def test_for_somebody_whom_there_is_not_the_same_work_is_done() -> None:
    hasher = Watched(time_cost=2, memory_cost=128, parallelism=2)
    passwords = Passwords(hasher)
    stored = await passwords.hash("tide lamp slip boots")
    assert not await passwords.matches(None, "tide lamp slip boots")
    assert extract_parameters(hasher.compared) == extract_parameters(stored)


async def test_so_is_a_password_that_nobody_can_have_set(normalized: list[int]) -> None:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    assert not await passwords.matches(None, MARKS)
    with contextlib.suppress(InvalidInput):
        await passwords.hash(MARKS)
    assert max(normalized) < 1100


async def test_the_longest_password_that_can_be_set_signs_in_however_it_is_normalised() -> None:
    passwords, longest = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)), "\ufdfa" * 200
    assert await passwords.matches(await passwords.hash(longest), longest)
