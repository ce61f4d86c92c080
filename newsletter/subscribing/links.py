"""The links in our mails, and what their tokens say.

confirm       subscriber id (16) ‖ confirmation id (16)                      lives as long as the confirmation's row says
unsubscribe   subscriber id (16) ‖ list id (4) ‖ campaign id or 0 (4)        for ever
undo          subscriber id (16) ‖ list id (4) ‖ undo id (16)                one hour, once, as the subscription's row says
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from newsletter.core.errors import InvalidToken
from newsletter.core.tokens import Purpose, Tokens

_CONFIRM = struct.Struct(">16s16s")
_UNSUBSCRIBE = struct.Struct(">16sII")
_UNDO = struct.Struct(">16sI16s")


@dataclass(frozen=True, slots=True)
class ConfirmToken:
    subscriber_id: UUID
    confirmation_id: UUID


@dataclass(frozen=True, slots=True)
class UnsubscribeToken:
    subscriber_id: UUID
    list_id: int
    campaign_id: int | None


@dataclass(frozen=True, slots=True)
class UndoToken:
    subscriber_id: UUID
    list_id: int
    undo_id: UUID


class Links:
    """Makes the addresses that stand in mails and reads their tokens. Reading raises `InvalidToken`."""

    def __init__(self, tokens: Tokens, base_url: str) -> None:
        self._tokens = tokens
        self.base_url = base_url

    @property
    def privacy(self) -> str:
        return f"{self.base_url}/privacy"

    def subscribe(self, slug: str) -> str:
        return f"{self.base_url}/subscribe/{slug}"

    def confirm(self, subscriber_id: UUID, confirmation_id: UUID) -> str:
        payload = _CONFIRM.pack(subscriber_id.bytes, confirmation_id.bytes)
        return f"{self.base_url}/confirm/{self._tokens.mint(Purpose.CONFIRM, payload)}"

    def unsubscribe(self, subscriber_id: UUID, list_id: int, campaign_id: int | None = None) -> str:
        payload = _UNSUBSCRIBE.pack(subscriber_id.bytes, list_id, campaign_id or 0)
        return f"{self.base_url}/unsubscribe/{self._tokens.mint(Purpose.UNSUBSCRIBE, payload)}"

    def undo_token(self, subscriber_id: UUID, list_id: int, undo_id: UUID) -> str:
        return self._tokens.mint(Purpose.UNDO, _UNDO.pack(subscriber_id.bytes, list_id, undo_id.bytes))

    def read_confirm(self, token: str) -> ConfirmToken:
        subscriber, confirmation = self._unpack(Purpose.CONFIRM, _CONFIRM, token)
        return ConfirmToken(UUID(bytes=subscriber), UUID(bytes=confirmation))

    def read_unsubscribe(self, token: str) -> UnsubscribeToken:
        subscriber, list_id, campaign_id = self._unpack(Purpose.UNSUBSCRIBE, _UNSUBSCRIBE, token)
        return UnsubscribeToken(UUID(bytes=subscriber), list_id, campaign_id or None)

    def read_undo(self, token: str) -> UndoToken:
        subscriber, list_id, undo = self._unpack(Purpose.UNDO, _UNDO, token)
        return UndoToken(UUID(bytes=subscriber), list_id, UUID(bytes=undo))

    def _unpack(self, purpose: Purpose, layout: struct.Struct, token: str) -> tuple[Any, ...]:
        payload = self._tokens.read(purpose, token)
        if len(payload) != layout.size:
            raise InvalidToken("This link is not one of ours, or it was cut short.")
        return layout.unpack(payload)
