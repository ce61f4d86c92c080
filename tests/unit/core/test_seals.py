"""Seals: read by the session that they were made for, while they are good, and by nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.errors import ExpiredToken, InvalidToken
from newsletter.core.keys import Keyring
from newsletter.core.seals import LONGEST, Seals

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=1)
OLD, NEW = b"o" * 32, b"n" * 32
SEALS = Seals(Keyring(b"a" * 32, {1: OLD}, 1))
ROTATED = Seals(Keyring(b"a" * 32, {1: OLD, 2: NEW}, 2))
CONTENT = b"ada@example.org"


@given(st.binary(max_size=1500))
def test_what_was_sealed_is_opened_as_it_was(content: bytes) -> None:
    sealed = SEALS.seal("search", content, "cookie", until=UNTIL)
    assert len(sealed) < LONGEST
    assert SEALS.open("search", sealed, "cookie", now=NOW) == content


def test_its_end_is_exact() -> None:
    sealed = SEALS.seal("search", CONTENT, "cookie", until=UNTIL)
    assert SEALS.open("search", sealed, "cookie", now=UNTIL - timedelta(microseconds=1)) == CONTENT
    with pytest.raises(ExpiredToken):
        SEALS.open("search", sealed, "cookie", now=UNTIL)


def test_another_session_purpose_or_key_opens_nothing() -> None:
    sealed = SEALS.seal("search", CONTENT, "cookie", until=UNTIL)
    _refused(SEALS, sealed, cookie="another")
    _refused(SEALS, sealed, purpose="another")
    _refused(Seals(Keyring(b"a" * 32, {1: NEW}, 1)), sealed)
    _refused(SEALS, ROTATED.seal("search", CONTENT, "cookie", until=UNTIL))
    assert ROTATED.open("search", sealed, "cookie", now=NOW) == CONTENT


def test_each_seal_is_another_and_its_length_tells_little() -> None:
    sealed = {SEALS.seal("search", b"x" * size, "cookie", until=UNTIL) for size in (0, 0, 15, 100)}
    assert len(sealed) == 4
    assert len({len(each) for each in sealed}) == 1


@given(st.text(max_size=300))
def test_whatever_somebody_types_is_refused(text: str) -> None:
    _refused(SEALS, text)


@pytest.mark.parametrize("text", ["", "A", "\ud800", "AQ", "A" * (LONGEST + 1), "AQ" * 30])
def test_what_is_cut_short_or_too_long_is_refused(text: str) -> None:
    _refused(SEALS, text)


def _refused(seals: Seals, sealed: str, *, purpose: str = "search", cookie: str = "cookie") -> None:
    with pytest.raises(InvalidToken) as refused:
        seals.open(purpose, sealed, cookie, now=NOW)
    assert type(refused.value) is InvalidToken
