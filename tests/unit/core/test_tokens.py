"""A token says what we wrote, for the purpose that we wrote it for, in one spelling; whatever else is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.core.errors import InvalidToken
from newsletter.core.keys import Keyring
from newsletter.core.tokens import LONGEST, Purpose, Tokens

OLD, NEW = b"o" * 32, b"n" * 32
TOKENS = Tokens(Keyring(b"a" * 32, {1: OLD}, 1))
ROTATED = Tokens(Keyring(b"a" * 32, {1: OLD, 2: NEW}, 2))
PAYLOAD = bytes(range(24))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.sampled_from(Purpose), st.binary(max_size=100))
def test_what_was_minted_is_read_again(purpose: Purpose, payload: bytes) -> None:
    assert TOKENS.read(purpose, TOKENS.mint(purpose, payload)) == payload


def test_a_token_can_stand_in_a_link_as_it_is() -> None:
    assert set(TOKENS.mint(Purpose.CONFIRM, bytes(range(256))[:100])) <= set(ALPHABET)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_change_of_any_character_makes_it_invalid(purpose: Purpose) -> None:
    token = TOKENS.mint(purpose, PAYLOAD)
    for place, character in enumerate(token):
        for other in (ALPHABET[(ALPHABET.index(character) + 1) % 64], ALPHABET[ALPHABET.index(character) ^ 32], "=", "\n"):
            _refused(TOKENS, purpose, token[:place] + other + token[place + 1 :])


def test_a_token_that_was_cut_short_or_lengthened_is_invalid() -> None:
    token = TOKENS.mint(Purpose.UNSUBSCRIBE, PAYLOAD)
    for length in range(len(token)):
        _refused(TOKENS, Purpose.UNSUBSCRIBE, token[:length])
        _refused(TOKENS, Purpose.UNSUBSCRIBE, token[length + 1 :])
    for more in ("A", "=", "==", "\n", ".", token):
        _refused(TOKENS, Purpose.UNSUBSCRIBE, token + more)


@pytest.mark.parametrize("made_for", Purpose)
@pytest.mark.parametrize("used_for", Purpose)
def test_a_token_serves_its_own_purpose_alone(made_for: Purpose, used_for: Purpose) -> None:
    token = TOKENS.mint(made_for, PAYLOAD)
    if made_for is used_for:
        assert TOKENS.read(used_for, token) == PAYLOAD
    else:
        _refused(TOKENS, used_for, token)


def test_one_token_has_one_spelling() -> None:
    """base64 has several: unused bits at its end, padding, the other alphabet, line breaks."""
    for size in range(4):
        token = TOKENS.mint(Purpose.CONFIRM, b"\xff" * (20 + size))
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        others = {
            base64.b64encode(raw).decode(),
            base64.urlsafe_b64encode(raw).decode(),
            f" {token}",
            f"{token}=",
            f"{token[:8]}\n{token[8:]}",
        }
        others |= {token[:-1] + last for last in ALPHABET}
        for other in others - {token}:
            _refused(TOKENS, Purpose.CONFIRM, other)


def test_a_key_that_we_do_not_have_opens_nothing() -> None:
    _refused(TOKENS, Purpose.UNSUBSCRIBE, ROTATED.mint(Purpose.UNSUBSCRIBE, PAYLOAD))
    _refused(TOKENS, Purpose.UNSUBSCRIBE, Tokens(Keyring(b"a" * 32, {1: NEW}, 1)).mint(Purpose.UNSUBSCRIBE, PAYLOAD))


def test_the_key_id_cannot_be_exchanged() -> None:
    """It is under the MAC, else a token of a weak key could be passed off as one of another."""
    same = Tokens(Keyring(b"a" * 32, {1: OLD, 2: OLD}, 2))
    token = same.mint(Purpose.CONFIRM, PAYLOAD)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert raw[0] == 2
    _refused(same, Purpose.CONFIRM, base64.urlsafe_b64encode(b"\x01" + raw[1:]).rstrip(b"=").decode())


def test_tokens_of_old_keys_go_on_opening_after_rotation_and_new_ones_are_made_with_the_new_key() -> None:
    before = TOKENS.mint(Purpose.UNSUBSCRIBE, PAYLOAD)
    after = ROTATED.mint(Purpose.UNSUBSCRIBE, PAYLOAD)
    assert ROTATED.read(Purpose.UNSUBSCRIBE, before) == ROTATED.read(Purpose.UNSUBSCRIBE, after) == PAYLOAD
    assert before != after


@given(st.text(max_size=300))
@example("")
@example("A")
@example("\ud800")
@example("Ａ" * 60)
@example("A" * (LONGEST + 1))
@example("\x00" * 60)
def test_whatever_somebody_types_is_refused(text: str) -> None:
    for purpose in Purpose:
        _refused(TOKENS, purpose, text)


@given(st.binary(max_size=150))
def test_bytes_that_we_did_not_sign_are_refused(raw: bytes) -> None:
    _refused(TOKENS, Purpose.UNDO, base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


def _refused(tokens: Tokens, purpose: Purpose, token: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        tokens.read(purpose, token)
    assert type(refused.value) is InvalidToken
    assert str(refused.value) == "This link is not one of ours, or it was cut short."
