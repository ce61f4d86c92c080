"""Links say exactly what they are about, and no token of ours is read as another kind."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.errors import InvalidToken
from newsletter.core.keys import Keyring
from newsletter.core.tokens import Purpose, Tokens
from newsletter.subscribing.links import ConfirmToken, Links, UndoToken, UnsubscribeToken

TOKENS = Tokens(Keyring(b"a" * 32, {1: b"k" * 32}, 1))
LINKS = Links(TOKENS, "https://news.example.org")
numbers = st.integers(1, 2**31 - 1)


def token_of(link: str, page: str) -> str:
    before, _, token = link.rpartition("/")
    assert before == f"https://news.example.org/{page}"
    return token


@given(st.uuids(), st.uuids(), numbers, st.none() | numbers)
def test_a_link_says_again_what_it_was_made_for(person: UUID, other: UUID, list_id: int, campaign_id: int | None) -> None:
    confirm = token_of(LINKS.confirm(person, other), "confirm")
    assert LINKS.read_confirm(confirm) == ConfirmToken(person, other)
    unsubscribe = token_of(LINKS.unsubscribe(person, list_id, campaign_id), "unsubscribe")
    assert LINKS.read_unsubscribe(unsubscribe) == UnsubscribeToken(person, list_id, campaign_id)
    undo = LINKS.undo_token(person, list_id, other)
    assert LINKS.read_undo(undo) == UndoToken(person, list_id, other)
    for read, own in ((LINKS.read_confirm, confirm), (LINKS.read_unsubscribe, unsubscribe), (LINKS.read_undo, undo)):
        for token in {confirm, unsubscribe, undo} - {own}:
            with pytest.raises(InvalidToken):
                read(token)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 100])
def test_a_token_of_another_length_is_none_of_these(length: int) -> None:
    """An older or newer program may have made it."""
    for purpose, read in (
        (Purpose.CONFIRM, LINKS.read_confirm),
        (Purpose.UNSUBSCRIBE, LINKS.read_unsubscribe),
        (Purpose.UNDO, LINKS.read_undo),
    ):
        with pytest.raises(InvalidToken, match="not one of ours, or it was cut short"):
            read(TOKENS.mint(purpose, bytes(length)))


def test_pages_without_a_token_have_addresses_too() -> None:
    assert LINKS.privacy == "https://news.example.org/privacy"
    assert LINKS.subscribe("letter") == "https://news.example.org/subscribe/letter"
