"""What stands in a link and may be read by one browser alone: sealed for a session, for a while.

    key id (1 byte) ‖ nonce (12 bytes) ‖ AES-256-GCM of (end in seconds since 1970 ‖ length ‖ content ‖ padding)    in base64url

The key is derived from a token key and from the session's cookie, of which the database holds only a hash: once the cookie is
gone nobody opens the seal, not even with the secret. So a link in a history or in a proxy's log says nothing, and its length
only roughly how much is in it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from newsletter.core.errors import ExpiredToken, InvalidToken
from newsletter.core.keys import Keyring

LONGEST = 4000
"""Characters; nothing longer is looked at."""
_NONCE = 12
_BLOCK = 128
"""Octets that the content is filled up to, or a multiple of them."""
_HEAD = struct.Struct(">QH")


class Seals:
    """Seals and opens with the keys of one database. `purpose` says what for; what is sealed for one opens for no other."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, purpose: str, content: bytes, cookie: str, *, until: datetime) -> str:
        key_id, nonce = self._keyring.current_token_key, secrets.token_bytes(_NONCE)
        plain = _HEAD.pack(int(until.timestamp()), len(content)) + content
        padded = plain.ljust(-(-len(plain) // _BLOCK) * _BLOCK, b"\0")
        raw = bytes([key_id]) + nonce + self._cipher(key_id, cookie).encrypt(nonce, padded, purpose.encode())
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def open(self, purpose: str, sealed: str, cookie: str, *, now: datetime) -> bytes:
        """The content. Raises `ExpiredToken`, and `InvalidToken` for what we did not seal for this purpose and session."""
        raw = _decoded(sealed)
        key_id, nonce, hidden = raw[:1], raw[1 : 1 + _NONCE], raw[1 + _NONCE :]
        if not hidden or key_id[0] not in self._keyring.token_keys:
            raise InvalidToken("This link is not one of this session, or it was cut short.")
        try:
            plain = self._cipher(key_id[0], cookie).decrypt(nonce, hidden, purpose.encode())
        except InvalidTag:
            raise InvalidToken("This link is not one of this session, or it was cut short.") from None
        until, length = _HEAD.unpack_from(plain)
        if now >= datetime.fromtimestamp(0, UTC) + timedelta(seconds=until):
            raise ExpiredToken("The time of this link is over.")
        return plain[_HEAD.size : _HEAD.size + length]

    def _cipher(self, key_id: int, cookie: str) -> AESGCM:
        derive = HKDF(SHA256(), 32, salt=None, info=b"newsletter seal\0" + cookie.encode())
        return AESGCM(derive.derive(self._keyring.token_keys[key_id]))


def _decoded(sealed: str) -> bytes:
    if len(sealed) > LONGEST or not sealed.isascii():
        return b""
    try:
        return base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
