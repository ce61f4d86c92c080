"""Who helps us and may see addresses (GDPR Art. 28): kept by name, and named in the policy."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.privacy import store
from newsletter.privacy.policy import Subprocessor

_LONGEST = {"name": 100, "purpose": 300, "country": 100, "safeguard": 300}
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]+")


class Subprocessors:
    """Use cases; each owns its transaction. `by` names the operator, for the audit log."""

    def __init__(self, db: Database, audit: Audit) -> None:
        self._db = db
        self._audit = audit

    async def all(self) -> list[Subprocessor]:
        """By name."""
        return await store.subprocessors(self._db)

    async def add(self, new: Subprocessor, *, by: str, now: datetime) -> None:
        """Raises `InvalidInput`, and `Conflict` when the name is taken."""
        async with self._db.transaction() as db:
            added = await store.add_subprocessor(
                db,
                name=_checked("name", new.name),
                purpose=_checked("purpose", new.purpose),
                country=_checked("country", new.country),
                safeguard=_checked("safeguard", new.safeguard),
                hosts=_hosts(new.hosts),
                now=now,
            )
            if added is None:
                raise Conflict(f'There is a subprocessor "{new.name}" already: use `newsletter subprocessor edit`.')
            await self._audit(db, by, "subprocessor.add", f"subprocessor {added}", now)

    async def edit(
        self,
        name: str,
        *,
        by: str,
        now: datetime,
        purpose: str | None = None,
        country: str | None = None,
        safeguard: str | None = None,
        hosts: Sequence[str] | None = None,
    ) -> None:
        """What is None stays as it is. Raises `InvalidInput` and `NotFound`."""
        async with self._db.transaction() as db:
            edited = await store.edit_subprocessor(
                db,
                name=name.strip(),
                purpose=_checked("purpose", purpose) if purpose is not None else None,
                country=_checked("country", country) if country is not None else None,
                safeguard=_checked("safeguard", safeguard) if safeguard is not None else None,
                hosts=_hosts(hosts) if hosts is not None else None,
            )
            await self._changed(db, edited, "edit", name, by, now)

    async def remove(self, name: str, *, by: str, now: datetime) -> None:
        """Raises `NotFound`."""
        async with self._db.transaction() as db:
            removed = await store.remove_subprocessor(db, name=name.strip())
            await self._changed(db, removed, "remove", name, by, now)

    async def _changed(self, db: Connection, found: int | None, verb: str, name: str, by: str, now: datetime) -> None:
        if found is None:
            raise NotFound(f'There is no subprocessor "{name[:100]}": `newsletter subprocessor list` shows all.')
        await self._audit(db, by, f"subprocessor.{verb}", f"subprocessor {found}", now)


def _checked(field: str, given: str) -> str:
    """One line of text that a page, a mail and a terminal can show. Raises `InvalidInput`."""
    text = " ".join(given.split())
    longest = _LONGEST[field]
    if not 1 <= len(text) <= longest:
        raise InvalidInput(f"A subprocessor's {field} has 1 to {longest} characters.", field=field)
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in text):
        raise InvalidInput(
            f"A subprocessor's {field} may not hold characters that cannot be seen: leave them out.", field=field
        )
    return text


def _hosts(given: Sequence[str]) -> list[str]:
    hosts = list(dict.fromkeys(each.strip().lower() for each in given if each.strip()))
    if wrong := [each for each in hosts if not _HOST.fullmatch(each) or len(each) > 253]:
        raise InvalidInput(f'"{wrong[0][:100]}" is not a host name such as smtp.example.net.', field="host")
    return hosts
