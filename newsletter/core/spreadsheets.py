"""CSV for people (RFC 4180), who open it in a spreadsheet: what begins like a formula is made harmless."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """One line for each row; None is an empty cell."""
    written = io.StringIO()
    csv.writer(written).writerows(["" if value is None else harmless(value) for value in row] for row in rows)
    return written.getvalue()


def harmless(value: object) -> object:
    """A stranger may have typed it, and a spreadsheet takes a text for a formula that begins like one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
