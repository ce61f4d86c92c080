"""PostgreSQL: the pool, transactions, and errors that say nothing about rows.

The only room that knows asyncpg. Store functions take a `Connection`: somebody's transaction, or the `Database` itself, which
runs one statement in a transaction of its own. What PostgreSQL says of a failing row (its DETAIL, and values quoted in
messages) never leaves this file, since it holds addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg

from newsletter.core.errors import DatabaseError, DatabaseUnavailable, NewsletterError, SettingsError, StatementTimeout

OLDEST_SERVER = 15
"""Oldest major version of PostgreSQL that the statements are written for."""

CLOSE_WITHIN = 5.0
"""Seconds that running statements are waited for."""

ANSWER_WITHIN = 60.0
"""Seconds that a statement may take, so that a hung server is noticed."""

_PLANS = "force_custom_plan"
"""A plan is made for each execution, by the size that tables have then. One that was made while a table was empty would be kept
until statistics are renewed: measured while 50,000 people were erased, the codes that stay took a campaign's next chunk from
15 ms to 6 s. Planning takes a millisecond for a chunk of 250 readers."""

_GONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.exceptions.ClientConfigurationError,
)


class Connection(Protocol):
    """What a statement runs on. Rows can be read by position and by name."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]: ...

    async def fetchrow(self, query: str, *args: Any) -> Any: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...

    async def execute(self, query: str, *args: Any) -> str: ...


@contextlib.contextmanager
def translated_errors(*, connecting: bool = False) -> Iterator[None]:
    """Turn asyncpg's errors into ours. The original is dropped on purpose: its text may quote a row.

    Around statements alone: of anything else, every OSError would be said to be PostgreSQL's. `connecting`: there is no
    connection yet, so that one which takes too long means that there is no server.
    """
    try:
        yield
    except NewsletterError:  # Ours already; some of them are OSErrors, and not all of those are about PostgreSQL.
        raise
    except _REFUSED as error:
        raise SettingsError(
            f"PostgreSQL refused the connection ({type(error).__name__}): "
            "check user, password, database name and options in NEWSLETTER_DATABASE_URL."
        ) from None
    except _GONE as error:
        if isinstance(error, TimeoutError) and error.errno is None and not connecting:  # asyncpg's own, not the network's.
            raise StatementTimeout(
                "PostgreSQL did not finish a statement in its time: look there for locks and for load."
            ) from None
        raise DatabaseUnavailable(
            f"PostgreSQL cannot be reached ({type(error).__name__}): "
            "check host and port in NEWSLETTER_DATABASE_URL, and whether the server runs."
        ) from None
    except asyncpg.PostgresError as error:
        raise DatabaseError(
            f"PostgreSQL refused a statement ({type(error).__name__}, {error.sqlstate}).", sqlstate=error.sqlstate
        ) from None


@contextlib.contextmanager
def _translated_body() -> Iterator[None]:
    """For what a caller does while it has a connection: only what PostgreSQL itself said is translated, the rest is theirs."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        with translated_errors():
            raise


class Database:
    """A pool of connections. Opens none before the first statement, so that a process can start while PostgreSQL is away."""

    def __init__(self, pool: asyncpg.Pool, url: str) -> None:
        self._pool = pool
        self._url = url

    @classmethod
    async def connect(
        cls, url: str, *, size: int = 10, name: str = "newsletter", answer_within: float = ANSWER_WITHIN
    ) -> Database:
        """`name` is what pg_stat_activity shows."""
        with translated_errors(connecting=True):
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=size,
                timeout=5,
                command_timeout=answer_within,
                init=_prepare_connection,
                reset=_nothing_to_reset,
                server_settings={"application_name": name, "timezone": "UTC", "plan_cache_mode": _PLANS},
            )
        return cls(pool, url)

    async def close(self) -> None:
        """Waits for running statements, five seconds at most."""
        try:
            await asyncio.wait_for(self._pool.close(), CLOSE_WITHIN)
        except _GONE:
            self._pool.terminate()

    @asynccontextmanager
    async def transaction(self, *, snapshot: bool = False) -> AsyncIterator[Connection]:
        """All or nothing. Raises `DatabaseUnavailable` when there is no server to talk to.

        `snapshot`: every statement sees what was there at the first (REPEATABLE READ); to change what another has changed
        meanwhile raises `DatabaseError`.

        What the body raises passes as it is: that a file or a relay is missing says nothing of PostgreSQL.
        """
        async with self._lent() as connection:
            transaction = connection.transaction(isolation="repeatable_read" if snapshot else None)
            with translated_errors():
                await transaction.start()
            try:
                with _translated_body():
                    yield connection
            except BaseException:
                # Without a connection there is nothing to undo; over one, the pool undoes what is open, or ends it.
                with contextlib.suppress(*_GONE, asyncpg.PostgresError):
                    await transaction.rollback()
                raise
            with translated_errors():
                await transaction.commit()

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        async with self._one() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        async with self._one() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        async with self._one() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        async with self._one() as connection:
            return await connection.execute(query, *args)

    @asynccontextmanager
    async def _one(self) -> AsyncIterator[Connection]:
        """For one statement."""
        async with self._lent() as connection:
            with translated_errors():
                yield connection

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[asyncpg.Connection]:
        with translated_errors(connecting=True):
            connection = await self._pool.acquire(timeout=5)
        try:
            yield connection
        except BaseException:
            # What went wrong before is what matters; a connection that could not be cleared asyncpg has ended.
            with contextlib.suppress(*_GONE, asyncpg.PostgresError):
                await self._pool.release(connection)
            raise
        with translated_errors():
            await self._pool.release(connection)

    @asynccontextmanager
    async def single(self) -> AsyncIterator[Connection]:
        """One connection outside the pool and outside a transaction: for migrations, which bring their own."""
        with translated_errors(connecting=True):
            connection = await asyncpg.connect(self._url, timeout=5, server_settings={"timezone": "UTC"})
        try:
            with _translated_body():
                yield connection
        finally:
            with contextlib.suppress(*_GONE, asyncpg.PostgresError):  # It ends either way.
                await connection.close(timeout=5)

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard(payload)` for each NOTIFY until cancelled or the connection breaks (then `DatabaseUnavailable`).

        On a connection of its own, since a pooled one would be handed back. A notification is a hint that there may be work,
        never the only way to learn of it.
        """
        with translated_errors(connecting=True):
            connection = await asyncpg.connect(self._url, timeout=5, server_settings={"application_name": "newsletter listen"})
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _: closed.set())
            try:
                await connection.add_listener(channel, lambda _con, _pid, _channel, payload: heard(payload))
                await closed.wait()
            finally:
                connection.terminate()
        raise DatabaseUnavailable("The connection that listens for new work broke.")


async def _nothing_to_reset(_: asyncpg.Connection) -> None:
    """Statements leave nothing behind in their session: settings and advisory locks end with a transaction, and what listens or
    migrates has a connection of its own. asyncpg would ask the server to forget it all the same, a round trip for each."""


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    version = connection.get_server_version().major
    if version < OLDEST_SERVER:
        raise SettingsError(f"PostgreSQL {version} is too old: use version {OLDEST_SERVER} or later.")
