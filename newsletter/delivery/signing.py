"""DKIM for senders: whose mails are signed with what, and the signing itself.

`Signing` is for who sends: give it slices of mails, it gives the header fields to put before them. `DkimKeys` is for operators:
keys are added, looked at, activated once DNS shows them, and removed. Private keys lie wrapped in table `dkim_key`, bound to
their row; in the clear they are in the memory of the processes that sign, and nowhere else.

A key signs nothing until it is active: a signature that cannot be verified is worse than none. Of each kind a sender has one
active key at most, so that a mail has one signature of each.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dns.exception
import dns.name
import dns.resolver
import idna

from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, InvalidInput, NewsletterError, NotFound
from newsletter.core.keys import hold_secret, unwrap, wrap
from newsletter.core.logs import get_logger
from newsletter.delivery import store
from newsletter.delivery.dkim import (
    KINDS,
    DkimKey,
    Signers,
    dns_record,
    generate_key,
    load_private_key,
    open_private_key,
    prepare,
    published_key,
    signed,
)
from newsletter.delivery.session import Mail
from newsletter.delivery.store import DkimKeyRow

KNOWN_AFTER = timedelta(minutes=1)
"""After which every process that sends has learnt of a key that was activated or removed."""

_DNS_WITHIN = 5.0
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})+")
_LONGEST_NAME = 253

Lookup = Callable[[str], Awaitable[list[str]]]
"""The TXT records of a name, each as one text; none where DNS says that there are none."""

log = get_logger(__name__)


@dataclass
class _Kept:
    at: datetime
    keys: list[DkimKey]


class Signing:
    """Signs for every sender that has active keys. One for each process that sends; `signers` is its opener's to close."""

    def __init__(self, db: Database, secret: str, signers: Signers) -> None:
        self._db = db
        self._secret = secret
        self._signers = signers
        self._kept: dict[int, _Kept] = {}

    async def signs(self, sender_id: int, *, at: datetime) -> bool:
        """Whether mails of this sender get a signature, so that it is worth while to hash their bodies."""
        return bool(await self._keys(sender_id, at))

    async def sign(self, sender_id: int, mails: Sequence[tuple[bytes, bytes]], at: datetime) -> list[bytes]:
        """The header fields to put before each mail, given as head and SHA-256 of its body (see `dkim.prepare`).

        In the order of `mails`; one field for each active key; empty where the sender has none. Raises `SigningFailed`, and
        `WrongSecret` or `DatabaseUnavailable` when keys cannot be had that this process has not known before.
        """
        fields = await asyncio.gather(*(self._fields(mails, key, at) for key in await self._keys(sender_id, at)))
        return [b"".join(each) for each in zip(*fields, strict=True)] if fields else [b""] * len(mails)

    async def put_on(self, mails: Sequence[Mail], at: datetime) -> None:
        """Sign mails of one sender in their places, as far as their bodies were hashed; raises as `sign` does."""
        ready = [(mail, mail.body_digest) for mail in mails if mail.body_digest is not None]
        if ready:
            signatures = await self.sign(
                ready[0][0].sender_id, [(mail.data[: mail.head], digest) for mail, digest in ready], at
            )
            for (mail, _), signature in zip(ready, signatures, strict=True):
                mail.data = signature + mail.data

    async def _fields(self, mails: Sequence[tuple[bytes, bytes]], key: DkimKey, at: datetime) -> list[bytes]:
        unsigned = [prepare(head, body_digest, key, at) for head, body_digest in mails]
        return list(map(signed, unsigned, await self._signers.sign(unsigned, key)))

    async def _keys(self, sender_id: int, at: datetime) -> list[DkimKey]:
        """As they were in the last minute. While they are read anew, or cannot be, those known before go on signing."""
        kept = self._kept.get(sender_id)
        if kept and timedelta(0) <= at - kept.at < KNOWN_AFTER:
            return kept.keys
        if kept:
            kept.at = at
        try:
            rows = await store.dkim_keys(self._db, sender_id=sender_id)
            keys = [_opened(row, self._secret) for row in rows if row.active_at]
        except NewsletterError as error:
            if not kept:
                raise
            log.warning("dkim_keys_not_read", sender_id=sender_id, reason=str(error))
            return kept.keys
        self._kept[sender_id] = _Kept(at, keys)
        return keys


@dataclass(frozen=True)
class KeyShown:
    """A key without what is secret about it."""

    selector: str
    domain: str
    kind: str
    created_at: datetime
    active_at: datetime | None
    record_name: str
    record: str
    """Value of the TXT record `record_name`."""


class DkimKeys:
    """Use cases of operators; each owns its transaction. `by` names the operator, for the audit log."""

    def __init__(self, db: Database, secret: str, audit: Audit, lookup: Lookup | None = None) -> None:
        self._db = db
        self._secret = secret
        self._audit = audit
        self._lookup = lookup or txt_records

    async def add(
        self, sender_id: int, *, selector: str, domain: str, kind: str | None, pem: bytes | None, by: str, now: datetime
    ) -> KeyShown:
        """A key that signs nothing yet: the one in `pem`, or a fresh one of `kind` (`rsa` where that is not said).

        Raises `InvalidInput`, `Conflict` when the sender has that selector already, `WrongSecret`.
        """
        selector, domain = _checked_name(selector, domain)
        if pem is None:
            if kind not in (None, *KINDS):
                raise InvalidInput(f"A key is of one of these kinds: {', '.join(KINDS)}.", field="kind")
            pem = await asyncio.to_thread(generate_key, kind or KINDS[0])
        key = DkimKey(domain, selector, await asyncio.to_thread(load_private_key, pem))
        if kind not in (None, key.kind):
            raise InvalidInput(f"The key that was given is of the kind {key.kind}: leave --kind out.", field="kind")
        async with self._db.transaction() as db:
            await hold_secret(db, self._secret)
            wrapped = wrap(key.der, self._secret, _purpose(sender_id, selector, domain))
            if not await store.add_dkim_key(
                db, sender_id=sender_id, selector=selector, domain=domain, kind=key.kind, wrapped=wrapped, now=now
            ):
                raise Conflict(f"This sender has a key with the selector {selector} already: choose another name for it.")
            await self._audit(db, by, "dkim.add", _target(sender_id, selector), now)
        return _shown(key, now, None)

    async def shown(self, sender_id: int) -> list[KeyShown]:
        """The keys of a sender. Raises `WrongSecret`."""
        rows = await store.dkim_keys(self._db, sender_id=sender_id)
        return [_shown(_opened(row, self._secret), row.created_at, row.active_at) for row in rows]

    async def activate(self, sender_id: int, selector: str, *, force: bool = False, by: str, now: datetime) -> KeyShown | None:
        """Sign with this key from now on, in place of the sender's active one of its kind, which is returned.

        DNS is asked first, unless `force` says not to. Raises `NotFound`, and `Conflict` when DNS does not show the same public
        key, or could not be asked.
        """
        before = {key.selector: key for key in await self.shown(sender_id)}
        key = before.get(selector)
        if key is None:
            raise NotFound(f'This sender has no key with the selector "{selector[:64]}".')
        if not force:
            await self._check_published(key)
        async with self._db.transaction() as db:
            await store.retire_dkim_keys(db, sender_id=sender_id, kind=key.kind, selector=selector)
            if not await store.activate_dkim_key(db, sender_id=sender_id, selector=selector, now=now):
                raise NotFound(f"The key with the selector {selector} was removed meanwhile.")
            await self._audit(db, by, "dkim.activate", _target(sender_id, selector), now)
        replaced = (other for other in before.values() if other.kind == key.kind and other.active_at and other != key)
        return next(replaced, None)

    async def remove(self, sender_id: int, selector: str, *, by: str, now: datetime) -> None:
        """Forget a key; mails are not signed with it any more. Raises `NotFound`."""
        async with self._db.transaction() as db:
            if not await store.remove_dkim_key(db, sender_id=sender_id, selector=selector):
                raise NotFound(f'This sender has no key with the selector "{selector[:64]}".')
            await self._audit(db, by, "dkim.remove", _target(sender_id, selector), now)

    async def _check_published(self, key: KeyShown) -> None:
        records = await self._lookup(key.record_name)
        if not records:
            raise Conflict(
                f"DNS has no TXT record {key.record_name} yet: publish it, wait until it can be seen, and try again."
            )
        if len(records) > 1:  # Which one counts is undefined (RFC 6376, section 3.6.2.2).
            raise Conflict(f"DNS has {len(records)} TXT records {key.record_name}: delete all but the one for this key.")
        if published_key(records[0]) != published_key(key.record):
            raise Conflict(f"The TXT record {key.record_name} in DNS has another key: publish the one that is shown for it.")


async def rewrap_keys(db: Connection, old: str, new: str) -> int:
    """Wrap the keys of all senders anew, in the transaction in which `core.keys.change_secret` was; returns how many.

    Raises `WrongSecret` when `old` does not open them.
    """
    rows = await store.dkim_keys(db, sender_id=None)
    opened = [unwrap(row.wrapped, old, _purpose(row.sender_id, row.selector, row.domain)) for row in rows]
    for row, der in zip(rows, opened, strict=True):
        wrapped = wrap(der, new, _purpose(row.sender_id, row.selector, row.domain))
        await store.rewrap_dkim_key(db, sender_id=row.sender_id, selector=row.selector, wrapped=wrapped)
    return len(rows)


async def txt_records(name: str) -> list[str]:
    """What DNS has now. Raises `Conflict` when it could not be asked."""
    try:
        return await asyncio.to_thread(_txt_records, name)
    except dns.exception.DNSException as error:
        raise Conflict(
            f"DNS could not be asked for {name} ({type(error).__name__}): try again where it can,"
            " or say --force when you know that the record is right."
        ) from None


def _txt_records(name: str) -> list[str]:
    try:
        answer = dns.resolver.Resolver().resolve(dns.name.from_text(name), "TXT", lifetime=_DNS_WITHIN)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


def _checked_name(selector: str, domain: str) -> tuple[str, str]:
    selector = selector.strip().lower()
    try:
        domain = idna.encode(domain.strip().removesuffix("."), uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        domain = ""
    if not _SELECTOR.fullmatch(selector):
        raise InvalidInput("A selector has letters, digits and hyphens, such as 2026-11 or news1.", field="selector")
    if not _DOMAIN.fullmatch(domain):
        raise InvalidInput("The domain must be one such as example.org: --domain says which.", field="domain")
    if len(f"{selector}._domainkey.{domain}") > _LONGEST_NAME:
        raise InvalidInput("Selector and domain are too long for a name in DNS: choose a shorter selector.", field="selector")
    return selector, domain


def _purpose(sender_id: int, selector: str, domain: str) -> str:
    """Binds a wrapped key to its row, so that none can be passed off as another's."""
    return f"dkim {sender_id} {selector} {domain}"


def _target(sender_id: int, selector: str) -> str:
    return f"sender {sender_id}, key {selector}"


def _opened(row: DkimKeyRow, secret: str) -> DkimKey:
    der = unwrap(row.wrapped, secret, _purpose(row.sender_id, row.selector, row.domain))
    return DkimKey(row.domain, row.selector, open_private_key(der))


def _shown(key: DkimKey, created_at: datetime, active_at: datetime | None) -> KeyShown:
    return KeyShown(key.selector, key.domain, key.kind, created_at, active_at, key.record_name, dns_record(key))
