"""A statement's parameters are bound by name, and its rows become what the signature says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from newsletter.core.database import Connection
from newsletter.core.queries import REGISTRY, Shape, Statement, parameters_of, parse, shape_of
from tests.signatures import Row, done, maybe_id, maybe_row, nothing, number, numbers, row, rows


def one(body: str) -> Statement:
    return parse(f"-- name: it\n{body}")["it"]


def test_parameters_are_numbered_in_the_order_of_their_first_use() -> None:
    statement = one("select a from t where b = :beta and c = :alpha;")
    assert statement.text == "select a from t where b = $1 and c = $2"
    assert statement.parameters == ("beta", "alpha")


def test_a_parameter_that_is_used_twice_is_given_once() -> None:
    statement = one("select :now, :id where :now > x and :id_2 = :id")
    assert statement.text == "select $1, $2 where $1 > x and $3 = $2"
    assert statement.parameters == ("now", "id", "id_2")


def test_a_cast_is_no_parameter() -> None:
    statement = one("select a::text, :ids::integer[], (:now)::timestamptz, '{}'::text[]")
    assert statement.text == "select a::text, $1::integer[], ($2)::timestamptz, '{}'::text[]"
    assert statement.parameters == ("ids", "now")


def test_comments_are_left_out_with_what_looks_like_a_parameter_in_them() -> None:
    statement = one("-- Since :then; not 'now'.\nselect :now -- and :never\nfrom t;\n\n-- The end.\n")
    assert statement.text == "select $1 \nfrom t"
    assert statement.parameters == ("now",)


def test_more_than_nine_parameters_keep_their_numbers() -> None:
    names = [f"p{number}" for number in range(1, 13)]
    statement = one("select " + ", ".join(f":{name}" for name in names))
    assert statement.text == "select " + ", ".join(f"${number}" for number in range(1, 13))


def test_a_file_holds_many_statements_and_a_head() -> None:
    found = parse("-- What this file is about: :nothing.\n\n-- name: first\n-- Why.\nselect 1;\n\n-- name: second\nselect 2")
    assert {name: statement.text for name, statement in found.items()} == {"first": "select 1", "second": "select 2"}


def test_every_statement_of_the_program_is_well_formed() -> None:
    """What the pattern took for a parameter is a name of the signature, and no literal holds a colon or two dashes."""
    for name, (statement, function) in REGISTRY.items():
        assert set(statement.parameters) <= set(parameters_of(function)), name
        assert ":" not in statement.text.replace("::", ""), name
        for literal in statement.text.split("'")[1::2]:
            assert not any(character in literal for character in ":-"), (name, literal)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (nothing, Shape(type(None), many=False, optional=True)),
        (row, Shape(Row, many=False, optional=False)),
        (maybe_row, Shape(Row, many=False, optional=True)),
        (rows, Shape(Row, many=True, optional=False)),
        (number, Shape(int, many=False, optional=False)),
        (maybe_id, Shape(UUID, many=False, optional=True)),
        (done, Shape(bool, many=False, optional=True)),
        (numbers, Shape(int, many=True, optional=False)),
    ],
)
def test_the_return_annotation_says_what_comes_back(function: Callable[..., Any], shape: Shape) -> None:
    assert shape_of(function) == shape


def test_a_record_given_by_position_stands_for_its_fields() -> None:
    async def function(db: Connection, record: Row, *, size: int) -> None: ...

    assert parameters_of(function) == {"number": int, "name": str, "size": int}
