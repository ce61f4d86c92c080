"""What stands in a link: a payload that only we can have written, for one purpose.

    key id (1 byte) ‖ payload ‖ first 16 bytes of HMAC-SHA256(token key, purpose ‖ 0 ‖ key id ‖ payload)    in base64url

The purpose is under the HMAC and not in the token, so a token presented for another purpose is simply forged. 128 bits of MAC
cannot be guessed online. Whether a token's time is over is the caller's to decide: the payload or the database says.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from enum import StrEnum

from newsletter.core.errors import InvalidToken
from newsletter.core.keys import Keyring
from newsletter.core.mac import Mac

_MAC = 16
_URLSAFE = bytes.maketrans(b"+/", b"-_")
LONGEST = 200
"""Characters; nothing of ours is longer, and nothing longer is looked at."""


class Purpose(StrEnum):
    """What a token is good for, and for nothing else."""

    CONFIRM = "confirm"
    UNSUBSCRIBE = "unsubscribe"
    UNDO = "undo"
    DATA = "data"
    OPERATOR = "operator"
    SESSION = "session"
    WRITER = "writer"


class Tokens:
    """Makes and reads tokens with the keys of one database."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._macs: dict[tuple[bytes, Purpose], Mac] = {}
        """Prepared, one for each key that was used and purpose."""

    def mint(self, purpose: Purpose, payload: bytes) -> str:
        key_id = self._keyring.current_token_key
        head = bytes([key_id]) + payload
        return _encoded(head + self._mac(key_id, purpose, head))

    def read(self, purpose: Purpose, token: str) -> bytes:
        """The payload. Raises `InvalidToken` for anything that we did not mint for this purpose."""
        raw = _decoded(token)
        head, mac = raw[:-_MAC], raw[-_MAC:]
        if not head or head[0] not in self._keyring.token_keys:
            raise InvalidToken("This link is not one of ours, or it was cut short.")
        if not hmac.compare_digest(mac, self._mac(head[0], purpose, head)):
            raise InvalidToken("This link is not one of ours, or it was cut short.")
        return head[1:]

    def _mac(self, key_id: int, purpose: Purpose, head: bytes) -> bytes:
        key = self._keyring.token_keys[key_id]
        mac = self._macs.get((key, purpose))
        if mac is None:
            mac = self._macs[key, purpose] = Mac(key, purpose.encode() + b"\0")
        return mac.digest(head)[:_MAC]


def _encoded(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).translate(_URLSAFE, b"=").decode()


def _decoded(token: str) -> bytes:
    """Strict: one token has one spelling, so that a link cannot be varied and still work."""
    if len(token) > LONGEST or not token.isascii():
        return b""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if _encoded(raw) == token else b""
