"""Operators, API tokens and the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from newsletter.core.keys import sha256
from newsletter.operators import store

PREFIX = "nl_"
"""Begins every API token, so that a leaked one can be told from other secrets."""

ROLES = ("owner", "editor", "viewer")


class Scope(StrEnum):
    """What an API token may do."""

    READ = "campaigns:read"
    WRITE = "campaigns:write"
    SEND = "campaigns:send"


@dataclass(frozen=True)
class Caller:
    """Who is behind a request or a command."""

    operator: str
    scopes: frozenset[str]

    def need(self, scope: Scope) -> None:
        """Raises `Forbidden` when the token does not have the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This token may not do that: it needs the scope {scope}.")


COMMAND_LINE = Caller("command line", frozenset(Scope))
"""Whoever can read the settings may do everything."""


class Operators:
    """Use cases; each owns its transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, name: str, role: str, *, now: datetime) -> int:
        """Raises `InvalidInput`, and `Conflict` when the name is taken."""
        if not 1 <= len(name.strip()) <= 100 or role not in ROLES:
            raise InvalidInput("An operator needs a name of 1 to 100 characters and a role: owner, editor or viewer.")
        operator_id = await store.add_operator(self._db, name=name.strip(), role=role, now=now)
        if operator_id is None:
            raise Conflict("There is an operator of that name already.")
        return operator_id

    async def create_token(
        self, operator: str, name: str, scopes: Sequence[str], *, valid_for: timedelta, now: datetime
    ) -> str:
        """A fresh API token. It is returned here and nowhere else: only its hash is stored."""
        if not scopes or not set(scopes) <= set(Scope):
            raise InvalidInput(f"A token needs scopes out of {', '.join(Scope)}.", field="scopes")
        operator_id = await store.find_operator(self._db, name=operator)
        if operator_id is None:
            raise NotFound(f'There is no operator "{operator[:100]}".')
        token = PREFIX + secrets.token_urlsafe(32)
        await store.add_token(
            self._db,
            operator_id=operator_id,
            name=name,
            digest=sha256(token),
            scopes=sorted(set(scopes)),
            now=now,
            expires_at=now + valid_for,
        )
        return token

    async def first_credentials(self, *, now: datetime) -> str | None:
        """An owner with a token, once in a database's life; None when there was one before."""
        if await store.count_tokens(self._db):
            return None
        await store.add_operator(self._db, name="owner", role="owner", now=now)
        return await self.create_token("owner", "first token", list(Scope), valid_for=timedelta(days=365), now=now)

    async def caller(self, token: str, *, now: datetime) -> Caller | None:
        """Who an API token belongs to; None when it is not valid (any more)."""
        if not token.startswith(PREFIX):
            return None
        found = await store.open_token(self._db, digest=sha256(token), now=now)
        return Caller(found.operator, frozenset(found.scopes)) if found else None

    async def tokens(self) -> list[store.TokenRow]:
        return await store.list_tokens(self._db)

    async def revoke_token(self, token_id: int, *, now: datetime) -> None:
        if not await store.revoke_token(self._db, token_id=token_id, now=now):
            raise NotFound("There is no such token, or it was revoked before.")


async def audit(db: Connection, by: str, action: str, target: str, now: datetime) -> None:
    """Who did what to what, in the transaction of the act itself. Names no reader."""
    await store.add_audit(db, operator=by, action=action, target=target, now=now)
