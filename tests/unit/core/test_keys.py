"""Keys open with their secret alone, and what is made with them is stable, marked, and tells nothing."""

from __future__ import annotations

from collections import Counter
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.errors import WrongSecret
from newsletter.core.keys import Keyring, sha256, unwrap, wrap

SECRET = "a secret for tests, 32 characters or more"
KEY = bytes(range(32))
KEYRING = Keyring(b"a" * 32, {1: b"k" * 32}, 1)


def test_a_key_opens_with_the_secret_that_wrapped_it() -> None:
    wrapped = wrap(KEY, SECRET, "address")
    assert unwrap(wrapped, SECRET, "address") == KEY
    assert KEY not in wrapped
    assert len(wrapped) == 12 + 32 + 16


def test_wrapping_twice_gives_two_texts() -> None:
    assert wrap(KEY, SECRET, "token") != wrap(KEY, SECRET, "token")


def test_another_secret_is_refused_and_the_remedy_is_said() -> None:
    with pytest.raises(WrongSecret, match="set NEWSLETTER_SECRET to the one that the database was made with") as refused:
        unwrap(wrap(KEY, SECRET, "address"), SECRET + "!", "address")
    assert SECRET not in str(refused.value)


def test_a_key_cannot_be_passed_off_as_one_for_another_purpose() -> None:
    with pytest.raises(WrongSecret):
        unwrap(wrap(KEY, SECRET, "token"), SECRET, "address")


@given(st.integers(0, 59), st.integers(1, 255))
def test_a_wrapped_key_that_was_changed_does_not_open(place: int, change: int) -> None:
    wrapped = bytearray(wrap(KEY, SECRET, "token"))
    wrapped[place] ^= change
    with pytest.raises(WrongSecret):
        unwrap(bytes(wrapped), SECRET, "token")


@given(st.text(min_size=1, max_size=50))
def test_a_subscriber_id_is_a_uuid_of_version_8(normal: str) -> None:
    """RFC 9562, section 5.8: ours to fill, marked so that nobody takes it for random."""
    found = KEYRING.subscriber_id(normal)
    assert found.version == 8
    assert found.variant == RFC_4122


def test_a_subscriber_id_never_changes() -> None:
    """An erased person's suppression is found again by computing this: were it to change, nobody would stay suppressed."""
    assert KEYRING.subscriber_id("ada@example.org") == UUID("5bf4965a-0afd-877d-9d08-861a97f7c8af")


def test_subscriber_ids_differ_by_person_and_by_installation() -> None:
    other = Keyring(b"b" * 32, {1: b"k" * 32}, 1)
    ids = [
        KEYRING.subscriber_id("ada@example.org"),
        KEYRING.subscriber_id("ben@example.org"),
        other.subscriber_id("ada@example.org"),
    ]
    assert len(set(ids)) == 3


def test_token_keys_have_no_say_in_ids() -> None:
    rotated = Keyring(b"a" * 32, {1: b"k" * 32, 2: b"l" * 32}, 2)
    assert rotated.subscriber_id("ada@example.org") == KEYRING.subscriber_id("ada@example.org")


def test_a_limit_code_is_no_prefix_of_an_id() -> None:
    code = KEYRING.limit_code("ada@example.org")
    assert len(code) == 16
    assert code[:6] != KEYRING.subscriber_id("ada@example.org").bytes[:6]


def test_ids_are_uniform_so_that_slices_of_the_id_space_are_alike() -> None:
    """Audiences are cut into batches by id range without counting anybody. Five standard deviations are allowed."""
    people, slices = 20_000, 16
    counts = Counter(KEYRING.subscriber_id(f"reader{number}@example.org").int >> 124 for number in range(people))
    mean = people / slices
    assert all(abs(counts[number] - mean) < 5 * mean**0.5 for number in range(slices))


def test_a_keyring_shows_no_key() -> None:
    assert repr(KEYRING) == "Keyring(current_token_key=1)"


def test_texts_are_known_by_their_sha256() -> None:
    assert sha256("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
