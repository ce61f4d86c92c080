"""What a statement gives becomes what its signature says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from newsletter.core.database import Connection, Database
from newsletter.core.errors import DatabaseError, DatabaseUnavailable
from newsletter.core.queries import Queries, parse
from tests.signatures import Numbered, Row, done, maybe_id, maybe_row, nothing, number, numbers, row, rows

Bind = Callable[[Callable[..., Awaitable[Any]], str], Callable[..., Awaitable[Any]]]


@pytest.fixture
def bind(monkeypatch: pytest.MonkeyPatch) -> Bind:
    """Binds a signature to a statement, and leaves no trace in the registry."""
    monkeypatch.setattr("newsletter.core.queries.REGISTRY", {})

    def bind(function: Callable[..., Awaitable[Any]], text: str) -> Callable[..., Awaitable[Any]]:
        queries = Queries("core")
        queries.statements |= parse(f"-- name: {function.__name__}\n{text}")
        return queries.statement(function)

    return bind


ID = UUID("5bf4965a-0afd-877d-9d08-861a97f7c8af")


async def test_rows_become_what_the_signature_promises(bind: Bind, db: Database) -> None:
    two = "select * from (values (1, 'a'), (2, 'b')) as t(number, name)"
    none = f"{two} where number > 2"
    promised: list[tuple[Callable[..., Awaitable[Any]], str, object]] = [
        (nothing, two, None),
        (row, two, Row(1, "a")),
        (maybe_row, two, Row(1, "a")),
        (maybe_row, none, None),
        (rows, two, [Row(1, "a"), Row(2, "b")]),
        (rows, "select * from (values ('a', 1), ('b', 2)) as t(name, number)", [Row(1, "a"), Row(2, "b")]),
        (rows, none, []),
        (number, two, 1),
        (maybe_id, f"select '{ID}'::uuid", ID),
        (maybe_id, "select null::uuid", None),
        (maybe_id, "select null::uuid where false", None),
        (done, "select true", True),
        (done, "select false", False),
        (done, "select true where false", False),
        (numbers, two, [1, 2]),
        (numbers, none, []),
    ]
    for function, text, result in promised:
        assert await bind(function, text)(db) == result, (function.__name__, text)


@pytest.mark.parametrize("function", [row, number])
async def test_a_row_that_must_be_there_and_is_not_is_an_error(
    bind: Bind, db: Database, function: Callable[..., Awaitable[Any]]
) -> None:
    with pytest.raises(LookupError, match=f"statement {function.__name__} gave no row"):
        await bind(function, "select 1 where false")(db)


async def test_values_come_from_keywords_and_from_the_fields_of_records(bind: Bind, db: Database) -> None:
    async def name(db: Connection, first: Numbered, second: Row, *, size: int) -> str: ...  # type: ignore[empty-body]

    bound = bind(name, "select :name::text || :number::integer || :size::integer || :name")
    assert await bound(db, Numbered(1), Row(2, "b"), size=3) == "b13b"


async def test_a_value_that_the_database_cannot_take_is_refused_without_quoting_it(bind: Bind, db: Database) -> None:
    async def name(db: Connection, *, number: int) -> str: ...  # type: ignore[empty-body]

    for given in ("ada@example.org", 2**80):
        with pytest.raises(DatabaseError, match="PostgreSQL refused a statement") as refused:
            await bind(name, "select :number::integer::text")(db, number=given)
        assert not isinstance(refused.value, DatabaseUnavailable)
        assert str(given) not in str(refused.value)


async def test_a_function_without_a_statement_of_its_name_is_refused_at_import() -> None:
    async def unwritten(db: Connection) -> None: ...

    with pytest.raises(KeyError, match="unwritten"):
        Queries("core").statement(unwritten)
