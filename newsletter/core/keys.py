"""The keys that everything keyed stands on, and what is made with them: subscriber ids, and codes that stand in for addresses.

They lie in table `key`, wrapped by AES-256-GCM under a key derived from NEWSLETTER_SECRET. Whoever has a dump but not the
secret can match no subscriber id with an address and forge no link.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseError, WrongSecret
from newsletter.core.queries import Queries

_NONCE = 12
_SUBSCRIBER, _LIMIT, _INSTALLATION = b"\x01", b"\x02", b"\x03"
"""What a keyed code is for: the first byte under the HMAC, so that no code of one kind is one of another."""

KNOWN_AFTER = timedelta(minutes=5)
"""After which all running processes have reloaded their keys (they do it each minute) and links may be made with a new one."""

_CHECK_VIOLATION = "23514"
_LOST = "The address key of this database is missing or was exchanged: restore table key from a backup of the same database."

_sql = Queries("core")


@dataclass(frozen=True)
class WrappedKey:
    key_id: int
    purpose: str
    wrapped: bytes
    created_at: datetime
    current: bool


@_sql.statement
async def load_keys(db: Connection) -> list[WrappedKey]: ...


@_sql.statement
async def lock_keys(db: Connection) -> None: ...


@_sql.statement
async def knows_people(db: Connection) -> bool: ...


@_sql.statement
async def insert_key(db: Connection, *, purpose: str, wrapped: bytes, now: datetime) -> None: ...


@_sql.statement
async def retire_token_keys(db: Connection, *, now: datetime) -> None: ...


@_sql.statement
async def rewrap_key(db: Connection, *, key_id: int, wrapped: bytes) -> None: ...


@dataclass
class Keyring:
    """The opened keys. `repr` shows none of them. Long-lived processes `reload` it, so that they learn of a rotation."""

    address_key: bytes = field(repr=False)
    token_keys: dict[int, bytes] = field(repr=False)
    current_token_key: int

    def subscriber_id(self, normal: str) -> UUID:
        """The id of the person behind a normal form (see `core.addresses`), marked as UUID version 8 (RFC 9562)."""
        return UUID(bytes=_as_version_8(self._code(_SUBSCRIBER, normal)))

    def limit_code(self, thing: str) -> bytes:
        """16 bytes that stand for an address or a network in the counters against abuse."""
        return self._code(_LIMIT, thing)

    @property
    def installation(self) -> str:
        """What tells this installation's files from those of another, in hexadecimal. Gives nothing away of the key."""
        return self._code(_INSTALLATION, "withdrawals").hex()

    def _code(self, kind: bytes, text: str) -> bytes:
        return hmac.digest(self.address_key, kind + text.encode(), "sha256")[:16]


def id_parts(count: int) -> list[tuple[UUID, UUID]]:
    """All ids in so many equal parts: first and last of each. Ids are uniform, so a part of them is a share of the people."""
    edges = [(number << 128) // count for number in range(count + 1)]
    return [(UUID(int=first), UUID(int=after - 1)) for first, after in pairwise(edges)]


def _as_version_8(code: bytes) -> bytes:
    marked = bytearray(code)
    marked[6] = 0x80 | marked[6] & 0x0F
    marked[8] = 0x80 | marked[8] & 0x3F
    return bytes(marked)


def _wrapping_key(secret: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt=None, info=b"newsletter key wrapping").derive(secret.encode()))


def wrap(key: bytes, secret: str, purpose: str) -> bytes:
    """Nonce and ciphertext; the purpose is bound in, so that a key cannot be passed off as another kind."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + _wrapping_key(secret).encrypt(nonce, key, purpose.encode())


def unwrap(wrapped: bytes, secret: str, purpose: str) -> bytes:
    """Raises `WrongSecret`."""
    try:
        return _wrapping_key(secret).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], purpose.encode())
    except InvalidTag:
        raise WrongSecret(
            "This secret does not belong to this database: set NEWSLETTER_SECRET to the one that the database was made with."
        ) from None


async def open_keyring(db: Database, secret: str, *, now: datetime) -> Keyring:
    """The keys of this database; made here at the very first start.

    Raises `WrongSecret`, also when the address key is missing in a database that knows people: a new one would match nobody.
    """
    kept = await load_keys(db)
    if _missing(kept):
        async with db.transaction() as transaction:
            kept = await _complete(transaction, secret, now)
    return _keyring(kept, secret, now)


async def _complete(db: Connection, secret: str, now: datetime) -> list[WrappedKey]:
    """Each on its own: a first start that was cut short leaves one key without the other."""
    kept = await _locked_keys(db, secret)
    missing = _missing(kept)
    if "address" in missing and await knows_people(db):
        raise WrongSecret(_LOST)
    for purpose in sorted(missing):
        await _add_key(db, secret, purpose, now)
    return await load_keys(db)


async def _locked_keys(db: Connection, secret: str) -> list[WrappedKey]:
    """Nobody else changes keys until the transaction ends: of a change of secret and a new key at once, the new key would be
    left under the old secret. Opened to see that the secret is still the one that they are under."""
    await lock_keys(db)
    kept = await load_keys(db)
    _opened(kept, secret)
    return kept


def _missing(kept: Sequence[WrappedKey]) -> set[str]:
    return {"address", "token"} - {key.purpose for key in kept if key.current}


def _keyring(kept: Sequence[WrappedKey], secret: str, now: datetime) -> Keyring:
    opened = _opened(kept, secret)
    address_key = next((opened[key.key_id] for key in kept if key.purpose == "address"), None)
    token_keys = [key for key in kept if key.purpose == "token"]
    if address_key is None or not token_keys:
        raise WrongSecret(_LOST)
    return Keyring(address_key, {key.key_id: opened[key.key_id] for key in token_keys}, _minting_key(token_keys, now))


def _minting_key(token_keys: Sequence[WrappedKey], now: datetime) -> int:
    """The newest that every process has had the time to learn of: a link must open wherever it is followed."""
    known_to_all = [key.key_id for key in token_keys if key.created_at <= now - KNOWN_AFTER]
    return max(known_to_all, default=min(key.key_id for key in token_keys))


async def reload(keyring: Keyring, db: Connection, secret: str, *, now: datetime) -> None:
    """Learn of token keys that were made since, in place; makes none.

    Raises `WrongSecret` when the address key is not the one that this process started with: its ids would be nobody's.
    """
    fresh = _keyring(await load_keys(db), secret, now)
    if fresh.address_key != keyring.address_key:
        raise WrongSecret(_LOST)
    keyring.token_keys, keyring.current_token_key = fresh.token_keys, fresh.current_token_key


def _opened(kept: Sequence[WrappedKey], secret: str) -> dict[int, bytes]:
    return {key.key_id: unwrap(key.wrapped, secret, key.purpose) for key in kept}


async def rotate_token_key(db: Connection, secret: str, *, now: datetime) -> None:
    """New links are made with a fresh key; old ones go on working. In a transaction of the caller's.

    Raises `WrongSecret`, and `Conflict` when all numbers that a token has room for are used up.
    """
    await _locked_keys(db, secret)
    await retire_token_keys(db, now=now)
    await _add_key(db, secret, "token", now)


async def _add_key(db: Connection, secret: str, purpose: str, now: datetime) -> None:
    try:
        await insert_key(db, purpose=purpose, wrapped=wrap(secrets.token_bytes(32), secret, purpose), now=now)
    except DatabaseError as error:
        if error.sqlstate != _CHECK_VIOLATION:
            raise
        raise Conflict("A link has room for 255 numbers of keys, and they are used up: go on with the newest key.") from None


async def change_secret(db: Connection, old: str, new: str) -> int:
    """Wrap all keys anew, in a transaction of the caller's; returns how many.

    Raises `WrongSecret` when `old` does not open them.
    """
    kept = await _locked_keys(db, old)
    opened = _opened(kept, old)
    for key in kept:
        await rewrap_key(db, key_id=key.key_id, wrapped=wrap(opened[key.key_id], new, key.purpose))
    return len(kept)


def sha256(content: str) -> bytes:
    """The hash that texts are stored once by."""
    return hashlib.sha256(content.encode()).digest()


async def hold_secret(db: Connection, secret: str) -> None:
    """For whoever wraps something of its own, in the same transaction: until that ends, nobody changes the secret.

    Raises `WrongSecret` when `secret` is not the one that the keys are under (any more).
    """
    await _locked_keys(db, secret)
