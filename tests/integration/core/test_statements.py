"""Every statement fits the real schema, and every signature fits its statement."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

import newsletter
from newsletter.core.queries import REGISTRY, Queries, parameters_of, shape_of
from newsletter.core.resources import resource

for _module in pkgutil.walk_packages(newsletter.__path__, "newsletter."):
    if _module.name.endswith("store"):
        importlib.import_module(_module.name)

POSTGRES: dict[Any, set[str]] = {
    int: {"int2", "int4", "int8"},
    float: {"float8"},
    str: {"text"},
    bool: {"bool"},
    bytes: {"bytea"},
    UUID: {"uuid"},
    datetime: {"timestamptz"},
    date: {"date"},
    timedelta: {"interval"},
}
ARRAYS = {f"_{name}": name for names in POSTGRES.values() for name in names} | {
    f"{name}[]": name for names in POSTGRES.values() for name in names
}
TEXT_LIKE = {"inet": "text"}
"""Types that a parameter gives as text, with a cast in the statement."""


def _without_none(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType):
        (annotation,) = (part for part in typing.get_args(annotation) if part is not type(None))
    return annotation


def fits(annotation: Any, postgres: str) -> bool:
    """Whether a Python annotation and PostgreSQL's name of a type mean the same."""
    annotation = _without_none(annotation)
    if typing.get_origin(annotation) in (list, Sequence):
        element = ARRAYS.get(postgres)
        return element is not None and fits(typing.get_args(annotation)[0], element)
    return TEXT_LIKE.get(postgres, postgres) in POSTGRES.get(annotation, set())


async def test_every_statement_takes_and_gives_what_its_signature_says(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    for name in sorted(REGISTRY):
        await _check(connection, name)
    await connection.close()


async def _check(connection: asyncpg.Connection, name: str) -> None:
    statement, function = REGISTRY[name]
    prepared = await connection.prepare(statement.text)
    offered = parameters_of(function)
    for parameter, postgres in zip(statement.parameters, prepared.get_parameters(), strict=True):
        assert fits(offered[parameter], postgres.name), (name, parameter, offered[parameter], postgres.name)
    columns = {column.name: column.type.name for column in prepared.get_attributes()}
    shape = shape_of(function)
    if shape.is_record:
        fields = typing.get_type_hints(shape.row)
        assert {field.name for field in dataclasses.fields(shape.row)} == set(columns), name
        assert {key: kind for key, kind in columns.items() if not fits(fields[key], kind)} == {}, name
    elif shape.row is not type(None):
        assert fits(shape.row, next(iter(columns.values()))), name


def test_only_migrations_leave_something_behind_in_their_session() -> None:
    """Pooled connections are handed on as they are."""
    lasting = re.compile(
        r"pg_(try_)?advisory_lock|\b(listen|unlisten|prepare|declare|load|discard)\b|set_config\([^()]*,\s*false|^\s*(re)?set\b"
        r"|\bcreate\s+temp|with\s+hold",
        re.IGNORECASE,
    )
    found = {name for name, (statement, _) in REGISTRY.items() if lasting.search(statement.text)}
    assert found == {"migrations.try_lock_ledger", "migrations.limit_waiting"}


def test_every_statement_is_bound_and_every_parameter_is_used() -> None:
    bound = set(REGISTRY)
    written = {
        f"{file.stem}.{name}" for file in resource("sql", "queries").glob("*.sql") for name in Queries(file.stem).statements
    }
    assert written == bound
    for name, (statement, function) in REGISTRY.items():
        signature = inspect.signature(function).parameters.values()
        keywords = {parameter.name for parameter in signature if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
        assert keywords <= set(statement.parameters) <= set(parameters_of(function)), name
