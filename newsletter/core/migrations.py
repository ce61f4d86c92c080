"""Brings a database's schema up to this program, and says whether the two fit.

A migration is a file `sql/migrations/NNNN_what.sql`, applied once, in order, in a transaction, under a lock that makes a second
`newsletter migrate` wait. Two comment lines in it are directives:

    -- oldest-program: N      programs whose newest migration is below N can no longer work on the result
    -- outside-transaction    for a single statement such as CREATE INDEX CONCURRENTLY, which it must be safe to repeat

An index that was not finished stays behind, invalid, and IF NOT EXISTS would take it for good: it is dropped and made anew.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from newsletter.core.database import Connection, Database, translated_errors
from newsletter.core.errors import DatabaseError, DatabaseUnavailable, SchemaBehind, SchemaMismatch
from newsletter.core.keys import sha256
from newsletter.core.queries import Queries
from newsletter.core.resources import resource

LOCK_TIMEOUT_MS = "5000"
PATIENT_MS = "600000"
"""For what holds nobody up while it waits: an index built concurrently waits for every transaction that began before."""
LOOK_AGAIN = 0.1
"""Seconds between two looks at whether another `newsletter migrate` is done."""
_LOCK_NOT_AVAILABLE = "55P03"
_DEADLOCK = "40P01"

_sql = Queries("migrations")


@dataclass(frozen=True)
class Applied:
    number: int
    name: str
    checksum: bytes


@dataclass(frozen=True)
class SchemaState:
    version: int
    oldest_program: int


@_sql.statement
async def create_ledger(db: Connection) -> None: ...


@_sql.statement
async def try_lock_ledger(db: Connection) -> bool: ...


@_sql.statement
async def limit_waiting(db: Connection, *, milliseconds: str) -> None: ...


@_sql.statement
async def is_unfinished_index(db: Connection, *, name: str) -> bool: ...


@_sql.statement
async def has_ledger(db: Connection) -> bool: ...


@_sql.statement
async def applied(db: Connection) -> list[Applied]: ...


@_sql.statement
async def record(db: Connection, *, number: int, name: str, checksum: bytes, oldest_program: int, now: datetime) -> None: ...


@_sql.statement
async def schema_state(db: Connection) -> SchemaState: ...


@dataclass(frozen=True)
class Migration:
    """One file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> bytes:
        return sha256(self.text)

    @property
    def oldest_program(self) -> int:
        directive = re.search(r"^-- oldest-program: (\d+)$", self.text, re.MULTILINE)
        return int(directive[1]) if directive else 0

    @property
    def in_transaction(self) -> bool:
        return not re.search(r"^-- outside-transaction$", self.text, re.MULTILINE)

    @property
    def index(self) -> str | None:
        """That it makes concurrently."""
        found = re.search(r"^create (?:unique )?index concurrently if not exists (\w+) ", self.text, re.MULTILINE)
        return found[1] if found else None


def migrations(folder: Path | None = None) -> list[Migration]:
    """All that this program knows, in order."""
    files = sorted((folder or resource("sql", "migrations")).glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [Migration(int(file.stem[:4]), file.stem[5:], file.read_text()) for file in files]


async def migrate(db: Database, *, now: datetime, known: list[Migration] | None = None) -> list[Migration]:
    """Apply what is missing; returns it.

    Raises `SchemaMismatch` where database and program have parted ways, `DatabaseError` for a migration that fails.
    """
    known = migrations() if known is None else known
    async with db.single() as connection:
        # Without a limit, since the other may take long; before the ledger, since two that create it at once fail.
        await _lock(connection)
        await limit_waiting(connection, milliseconds=LOCK_TIMEOUT_MS)
        await create_ledger(connection)
        missing = _missing(await applied(connection), known, await schema_state(connection))
        for migration in missing:
            await _apply(connection, migration, now)
    return missing


async def _lock(connection: Connection) -> None:
    """By asking again: what waits for the lock in a statement is itself waited for by an index that is built concurrently."""
    while not await try_lock_ledger(connection):  # noqa: ASYNC110  the other may be on another host
        await asyncio.sleep(LOOK_AGAIN)


def _missing(done: list[Applied], known: list[Migration], state: SchemaState) -> list[Migration]:
    by_number = {migration.number: migration for migration in known}
    for entry in done:
        migration = by_number.get(entry.number)
        if migration and migration.checksum != entry.checksum:
            raise SchemaMismatch(
                f"Migration {entry.number:04} ({entry.name}) is not the one that this database was made with: "
                "install the program version that made it, or restore the file."
            )
    check_fit(state, known)
    return [migration for migration in known if migration.number not in {entry.number for entry in done}]


async def _apply(connection: Connection, migration: Migration, now: datetime) -> None:
    limit = LOCK_TIMEOUT_MS if migration.in_transaction else PATIENT_MS
    try:
        with translated_errors():
            await limit_waiting(connection, milliseconds=limit)
            if migration.in_transaction:
                await connection.execute("begin")
            elif migration.index and await is_unfinished_index(connection, name=migration.index):
                await connection.execute(f"drop index concurrently {migration.index}")
            await connection.execute(migration.text)
            await record(
                connection,
                number=migration.number,
                name=migration.name,
                checksum=migration.checksum,
                oldest_program=migration.oldest_program,
                now=now,
            )
            if migration.in_transaction:
                await connection.execute("commit")
    except DatabaseUnavailable:
        raise
    except DatabaseError as error:
        which = f"Migration {migration.number:04} ({migration.name})"
        left = "Nothing of it was applied." if migration.in_transaction else "Part of it may have been applied."
        if error.sqlstate == _LOCK_NOT_AVAILABLE:
            raise DatabaseError(
                f"{which} could not lock its tables within {int(limit) / 1000:g} s. {left} "
                "Try again when no long transaction is running.",
                sqlstate=error.sqlstate,
            ) from None
        if error.sqlstate == _DEADLOCK:
            raise DatabaseError(
                f"{which} and other work each waited for what the other had locked. {left} "
                "Try again when no long transaction is running.",
                sqlstate=error.sqlstate,
            ) from None
        raise DatabaseError(f"{which} failed. {left} {error}", sqlstate=error.sqlstate) from None


def check_fit(state: SchemaState, known: list[Migration]) -> None:
    """Raise `SchemaMismatch` when this program is too old for the database."""
    ours = max((migration.number for migration in known), default=0)
    if state.oldest_program > ours:
        raise SchemaMismatch(
            f"The database has schema {state.version}, which needs a program that knows at least {state.oldest_program}; "
            f"this one knows {ours}. Install a newer version of the program."
        )


async def check_schema(db: Connection) -> SchemaState:
    """For start-up and /readyz: raises `SchemaMismatch` with the remedy when database and program do not fit."""
    state = await schema_state(db) if await has_ledger(db) else SchemaState(0, 0)
    known = migrations()
    check_fit(state, known)
    ours = max(migration.number for migration in known)
    if state.version < ours:
        raise SchemaBehind(
            f"The database has schema {state.version}, this program needs {ours}: run `newsletter migrate` first."
        )
    return state
