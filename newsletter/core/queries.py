"""SQL is the store: binds a typed signature to the statement of the same name in `sql/queries/<room>.sql`.

    sql = Queries("subscribing")

    @sql.statement
    async def subscription_state(db: Connection, *, subscriber_id: UUID, list_id: int) -> State | None: ...

The statement is the paragraph that begins with `-- name: subscription_state`; `:subscriber_id` in it is the parameter of that
name. A dataclass given by position after `db` stands for its fields: `take_fresh(db, batch, size=250, now=now)` fills
`:campaign_id` from `batch.campaign_id`. What comes back follows from the return annotation:

    None            nothing is read
    Row             exactly one row, as that frozen dataclass (its fields are the columns, by name)
    Row | None      at most one
    list[Row]       all of them
    int, UUID, ...  the first column of the first row; `... | None` where there may be no row or a null
    bool            the same, false where there is no row: for guarded updates with `returning true`
    list[UUID]      the first column of all rows
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from newsletter.core.database import translated_errors
from newsletter.core.resources import resource

P = ParamSpec("P")
T = TypeVar("T")

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True)
class Statement:
    """One named statement with its parameters numbered for PostgreSQL."""

    name: str
    text: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """How the rows of a statement become the function's result."""

    row: Any
    many: bool
    optional: bool

    @property
    def is_record(self) -> bool:
        return dataclasses.is_dataclass(self.row)


REGISTRY: dict[str, tuple[Statement, Callable[..., Any]]] = {}
"""Every bound statement by `room.name`: the tests prepare each against the real schema."""


def parse(text: str) -> dict[str, Statement]:
    """The named statements of one file."""
    parts = _NAME.split(text)
    return {name: _numbered(name, body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _numbered(name: str, body: str) -> Statement:
    code = _COMMENT.sub("", body).strip().rstrip(";")
    order = tuple(dict.fromkeys(_PARAMETER.findall(code)))
    return Statement(name, _PARAMETER.sub(lambda match: f"${order.index(match[1]) + 1}", code), order)


def shape_of(function: Callable[..., Any]) -> Shape:
    """What the return annotation asks for."""
    annotation = typing.get_type_hints(function)["return"]
    if typing.get_origin(annotation) is list:
        return Shape(typing.get_args(annotation)[0], many=True, optional=False)
    if isinstance(annotation, types.UnionType):
        (row,) = (part for part in typing.get_args(annotation) if part is not type(None))
        return Shape(row, many=False, optional=True)
    return Shape(annotation, many=False, optional=annotation in (type(None), bool))


class Queries:
    """The statements of one room."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.statements = parse(resource("sql", "queries", f"{room}.sql").read_text())

    def statement(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Decorator: the function's body is never run, the statement is."""
        statement = self.statements[function.__name__]
        REGISTRY[f"{self.room}.{statement.name}"] = (statement, function)
        shape = functools.cache(lambda: shape_of(function))

        @functools.wraps(function)
        async def run(db: Any, *records: Any, **values: Any) -> Any:
            arguments = [_value(name, values, records) for name in statement.parameters]
            with translated_errors():
                return await _run(db, statement, arguments, shape())

        return typing.cast("Callable[P, Awaitable[T]]", run)


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Name and type of each value that a call can fill: the keyword arguments, and the fields of dataclasses by position."""
    hints = typing.get_type_hints(function)
    offered: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        annotation = hints[parameter.name]
        if parameter.kind is parameter.KEYWORD_ONLY:
            offered[parameter.name] = annotation
        else:
            offered |= {field.name: typing.get_type_hints(annotation)[field.name] for field in dataclasses.fields(annotation)}
    return offered


def _value(name: str, values: dict[str, Any], records: tuple[Any, ...]) -> Any:
    if name in values:
        return values[name]
    return next(getattr(record, name) for record in records if hasattr(record, name))


async def _run(db: Any, statement: Statement, arguments: list[Any], shape: Shape) -> Any:
    if shape.row is type(None):
        await db.execute(statement.text, *arguments)
        return None
    if shape.many:
        rows = await db.fetch(statement.text, *arguments)
        return _records(shape.row, rows) if shape.is_record else [row[0] for row in rows]
    row = await db.fetchrow(statement.text, *arguments)
    if row is None and not shape.optional:
        raise LookupError(f"statement {statement.name} gave no row")
    if shape.is_record:
        return None if row is None else shape.row(**row)
    value = None if row is None else row[0]
    return bool(value) if shape.row is bool else value


def _records(made: Any, rows: Sequence[Any]) -> list[Any]:
    """By position where the columns stand in the order of the fields, which takes half as long."""
    if rows and tuple(rows[0].keys()) == tuple(made.__dataclass_fields__):
        return [made(*row) for row in rows]
    return [made(**row) for row in rows]
