"""Every page of the console, with its address filled in: for tests and benches that are about all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from newsletter.app import House
from newsletter.web.console import PARTS
from newsletter.web.console.guard import Guarded

_PARAMETER = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")

TABLES: Mapping[str, str] = {"campaigns": "campaign", "layouts": "layout", "images": "image", "operators": "operator"}
"""Whose numbers stand in addresses below that word, where the key is called otherwise."""


@dataclass(frozen=True)
class Address:
    """A page: the route, and where it is."""

    route: str
    path: str


async def addresses(house: House) -> list[Address]:
    """Of all guarded GET routes; those with a choice in their address once for each."""
    ids = await _ids(house)
    found = []
    for part in PARTS:
        for route in part.guarded:
            if route.method == "GET" and route.right is not None:
                found += [Address(route.path, path) for path in _filled(route, ids)]
    return found + [Address(f"{each.partition('?')[0]} (further)", each) for each in await _further(house, found)]


def _filled(route: Guarded, ids: Mapping[str, str]) -> Iterator[str]:
    """What each parameter may be: a choice out of words, somebody's id, a list's name, or a number."""
    parts = list(_PARAMETER.finditer(route.path))
    choices = [_values(match[1], match[2] or "[^/]+", route.path[: match.start()], ids) for match in parts]
    for chosen in product(*choices):
        path, end = "", 0
        for match, value in zip(parts, chosen, strict=True):
            path += route.path[end : match.start()] + value
            end = match.end()
        yield path + route.path[end:]


def _values(name: str, pattern: str, before: str, ids: Mapping[str, str]) -> Sequence[str]:
    words = pattern.strip("()").removeprefix("?:").split("|")
    if len(words) > 1 and all(re.fullmatch(r"[\w-]+", word) for word in words):
        return words
    place = before.rstrip("/").rpartition("/")[2]
    for value in (ids.get(place), ids.get(name), ids["list"], ids["subscriber"], "1", "en", "0" * 32):
        if value is not None and re.fullmatch(pattern, value):
            return [value]
    raise LookupError(f"Nothing fits {name} in {before}")


async def _ids(house: House) -> dict[str, str]:
    """Newest of each kind, by the word that its number stands behind."""
    ids = {
        "list": str(await house.db.fetchval("select slug from list order by list_id limit 1")),
        "subscriber": str(await house.db.fetchval("select subscriber_id from subscriber order by subscriber_id limit 1")),
    }
    for word, table in TABLES.items():
        if await house.db.fetchval("select to_regclass($1) is not null", table):
            column = await house.db.fetchval(
                """select a.attname::text
                   from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                   where i.indrelid = $1::text::regclass and i.indisprimary""",
                table,
            )
            newest = await house.db.fetchval(f"select {column}::text from {table} order by {column} desc limit 1")
            if newest is not None:
                ids[word] = str(newest)
    return ids


async def _further(house: House, found: Sequence[Address]) -> list[str]:
    """Pages of long lists: filtered, in the middle and near the end."""
    known = {each.path for each in found}
    middle, end = "7fffffff-ffff-8fff-bfff-ffffffffffff", "ffff0000-0000-8000-8000-000000000000"
    further: list[str] = []
    if "/console/subscribers" in known:
        filters = ("", "list=crowd-3", "state=pending", "state=paused", "list=crowd-3&state=confirmed", "state=unsubscribed")
        for chosen in filters:
            base = f"/console/subscribers?{chosen}&"
            further += [f"{base}", f"{base}after={middle}", f"{base}after={end}", f"{base}before={middle}"]
    for path in ("/console/campaigns", "/console/audit"):
        if path in known:
            further += [f"{path}?before={number}" for number in (400, 30)]
    if "/console/audit" in known:
        narrowed = (
            "operator=Editor",
            "action=subscriber.show",
            "from=2026-03-01&to=2026-03-31",
            "operator=Editor&to=2026-03-31",
        )
        further += [f"/console/audit?{chosen}{before}" for chosen in narrowed for before in ("", "&before=400")]
    return further
