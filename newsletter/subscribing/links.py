"""The links in our mails, and what their tokens say.

confirm       subscriber id (16) ‖ confirmation id (16)                      lives as long as the confirmation's row says
unsubscribe   subscriber id (16) ‖ list id (4) ‖ campaign id or 0 (4)        for ever
undo          subscriber id (16) ‖ list id (4) ‖ undo id (16)                one hour, once, as the subscription's row says
data          subscriber id (16) ‖ second in which it was minted (8)         one hour
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from newsletter.core.errors import ExpiredToken, InvalidToken
from newsletter.core.i18n import N_
from newsletter.core.tokens import Purpose, Tokens

_CONFIRM = struct.Struct(">16s16s")
_UNSUBSCRIBE = struct.Struct(">16sII")
_UNDO = struct.Struct(">16sI16s")
_DATA = struct.Struct(">16sQ")

DATA_LINK_LIVES = timedelta(hours=1)
"""Mails get forwarded and mailboxes get read by others: what shows everything works for so long."""


class DataLinkLapsed(ExpiredToken):
    """A link to somebody's data whose hour is over."""


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

    @property
    def data_page(self) -> str:
        """Where anybody may ask for the link to their data; shows nothing itself."""
        return f"{self.base_url}/data"

    def data(self, subscriber_id: UUID, *, now: datetime) -> str:
        payload = _DATA.pack(subscriber_id.bytes, int(now.timestamp()))
        return f"{self.base_url}/data/{self._tokens.mint(Purpose.DATA, payload)}"

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

    def read_data(self, token: str, *, now: datetime) -> UUID:
        """Whose data it shows. Raises `DataLinkLapsed` from an hour after it was minted on, to the second."""
        subscriber, minted = self._unpack(Purpose.DATA, _DATA, token)
        if datetime.fromtimestamp(minted, UTC) + DATA_LINK_LIVES <= now:
            raise DataLinkLapsed(N_("This link worked for one hour. Please ask for a new one; it comes by mail."))
        return UUID(bytes=subscriber)

    def _unpack(self, purpose: Purpose, layout: struct.Struct, token: str) -> tuple[Any, ...]:
        payload = self._tokens.read(purpose, token)
        if len(payload) != layout.size:
            raise InvalidToken("This link is not one of ours, or it was cut short.")
        return layout.unpack(payload)
