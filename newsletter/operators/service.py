"""Operators, API tokens and the audit log."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from newsletter.campaigns.scheduling import SCHEDULE
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from newsletter.core.keys import sha256
from newsletter.operators import store
from newsletter.operators.rules import ROLES, Scope, scopes_of

PREFIX = "nl_"
"""Begins every API token, so that a leaked one can be told from other secrets."""

LONGEST_NAME = 100


@dataclass(frozen=True)
class Caller:
    """Who is behind a request or a command."""

    operator: str
    scopes: frozenset[str]

    def need(self, scope: Scope) -> None:
        """Raises `Forbidden` when the token does not have the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This token may not do that: it needs the scope {scope}.")


@dataclass(frozen=True)
class LogFilter:
    """Which lines of the log; None: whatever it is. From `since` on, and before `until`."""

    operator: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = LogFilter()

COMMAND_LINE = "command line"
"""Who is said to have done what was done there: whoever can read the settings may do everything."""
FIRST_START = "first start"
"""Who makes the first owner, and the first token."""
NOBODY = "nobody"
"""Who signs in with an address that is no operator's."""
DEMO = "demo"
"""Who writes the campaign that a newcomer finds."""
NO_OPERATORS = (COMMAND_LINE, FIRST_START, SCHEDULE, NOBODY, DEMO)
"""Whom the log names where it was no operator; it says `operator 7` where a name is not known."""


class Operators:
    """Use cases; each owns its transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create_token(
        self,
        operator: str,
        name: str,
        scopes: Sequence[str],
        *,
        valid_for: timedelta,
        now: datetime,
        by: str = COMMAND_LINE,
        form: UUID | None = None,
    ) -> str:
        """A fresh API token. It is returned here and nowhere else: only its hash is stored.

        `form`: the number of the form that asks for it, which makes one and no more.

        Raises `InvalidInput`, `NotFound` when there is no such operator, and `Conflict` when that form has made its token.
        """
        if not scopes or not set(scopes) <= set(Scope):
            raise InvalidInput(f"A token needs scopes out of {', '.join(Scope)}.", field="scopes")
        if not _is_name(name):
            raise InvalidInput(f"A token needs {_NAME}.", field="name")
        if valid_for <= timedelta(0):
            raise InvalidInput("A token has to be valid for some time.", field="days")
        async with self._db.transaction() as db:
            return await self._add_token(db, operator, name.strip(), scopes, valid_for=valid_for, now=now, by=by, form=form)

    async def _add_token(
        self,
        db: Connection,
        operator: str,
        name: str,
        scopes: Sequence[str],
        *,
        valid_for: timedelta,
        now: datetime,
        by: str,
        form: UUID | None = None,
    ) -> str:
        operator_id = await store.find_operator(db, name=operator)
        owner = await store.operator_by_id(db, operator_id=operator_id) if operator_id is not None else None
        if operator_id is None or owner is None:
            raise NotFound(f'There is no operator "{operator[:100]}".')
        if not set(scopes) <= (allowed := scopes_of(owner.role)):
            may = ", ".join(sorted(allowed)) or "nothing"
            raise InvalidInput(f"A token of {owner.name}, {owner.role}, may have: {may}.", field="scopes")
        token = PREFIX + secrets.token_urlsafe(32)
        token_id = await store.add_token(
            db,
            operator_id=operator_id,
            name=name,
            digest=sha256(token),
            scopes=sorted(set(scopes)),
            now=now,
            expires_at=now + valid_for,
            form=form,
        )
        if token_id is None:
            raise Conflict(
                "This form has made its token, which was shown then and never again. If it is lost, revoke it and make another."
            )
        await audit(db, by, "token.create", f"token {token_id} of {owner.name}", now)
        return token

    async def first_credentials(self, *, now: datetime) -> str | None:
        """An owner with a token, once in a database's life; None when there was one before."""
        if await store.count_tokens(self._db):
            return None
        async with self._db.transaction() as db:
            # Of two processes that start at once, the second waits here until the first has its token.
            operator_id = await store.add_operator(db, name="owner", role="owner", now=now)
            if await store.count_tokens(db):
                return None
            by, year = FIRST_START, timedelta(days=365)
            if operator_id is not None:
                await audit(db, by, "operator.create", f"operator {operator_id}", now)
            return await self._add_token(db, "owner", "first token", list(Scope), valid_for=year, now=now, by=by)

    async def caller(self, token: str, *, now: datetime) -> Caller | None:
        """Who an API token belongs to, and what their role lets it do today; None when it is not valid (any more)."""
        if not token.startswith(PREFIX) or not token.isascii():
            return None
        found = await store.open_token(self._db, digest=sha256(token), now=now)
        return Caller(found.operator, frozenset(found.scopes) & scopes_of(found.role)) if found else None

    async def log(self, wanted: LogFilter = EVERYTHING, *, before: int | None = None, size: int = 50) -> list[store.Entry]:
        """The audit log, newest first; `before` is the last number of the page before, None: from the newest on.

        The name of an operator is found whatever its case.
        """
        asked = asdict(wanted)
        if wanted.operator:
            asked["operator"] = await self._spelled(wanted.operator)
        return await store.audit_page(self._db, before=before, size=size, **asked)

    async def _spelled(self, name: str) -> str:
        """As the log spells it, which knows people by their names alone; a name that is not known stays as it is."""
        known = await store.spelling(self._db, name=name)
        ours = name.casefold()
        return known or (ours if ours in NO_OPERATORS or _NUMBERED.fullmatch(ours) else name)

    async def actions(self) -> list[str]:
        """What the log has lines of, by the alphabet."""
        return [each for each in await store.audit_actions(self._db) if each]

    async def note_refused(self, caller: Caller, what: str, *, now: datetime) -> None:
        """A program tried what its token is not good for."""
        await audit(self._db, caller.operator, "request.refuse", what, now)

    async def tokens(self) -> list[store.TokenRow]:
        return await store.list_tokens(self._db)

    async def revoke_token(self, token_id: int, *, now: datetime, by: str = COMMAND_LINE) -> None:
        """Useless at once. Raises `NotFound`."""
        async with self._db.transaction() as db:
            if token_id >= 2**31 or not await store.revoke_token(db, token_id=token_id, now=now):
                raise NotFound("There is no such token, or it was revoked before.")
            await audit(db, by, "token.revoke", f"token {token_id}", now)


_NUMBERED = re.compile(r"operator\s*\d*")
_NAME = f"a name of 1 to {LONGEST_NAME} characters that can be seen"


def checked_name(name: str, role: str) -> str:
    """Without blanks around it. Raises `InvalidInput`."""
    if not _is_name(name):
        raise InvalidInput(f"An operator needs {_NAME}.", field="name")
    folded = " ".join(unicodedata.normalize("NFKC", name.strip()).casefold().split())
    if folded in NO_OPERATORS or _NUMBERED.fullmatch(folded):
        raise InvalidInput("This name stands in the log for something else: choose another.", field="name")
    if role not in ROLES:
        raise InvalidInput(f"An operator needs a role: {', '.join(ROLES)}.", field="role")
    return name.strip()


def _is_name(text: str) -> bool:
    """Names are shown on terminals, where a control character is a command."""
    unseen = any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in text)
    return 1 <= len(text.strip()) <= LONGEST_NAME and not unseen


async def audit(db: Connection, by: str, action: str, target: str, now: datetime, /, *, about: UUID | None = None) -> None:
    """Who did what to what, in the transaction of the act itself: see `core.audit`."""
    await store.add_audit(db, operator=by, action=action, target=target, about=about, now=now)
