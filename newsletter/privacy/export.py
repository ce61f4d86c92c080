"""A person's data to take along, in forms that machines read (GDPR Art. 20): JSON for all of it, CSV as a table of the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from newsletter.core import spreadsheets
from newsletter.core.i18n import translations
from newsletter.privacy.my_data import Holdings
from newsletter.privacy.receipts import receipts
from newsletter.privacy.words import ACTS, MAILS, SENTENCES_OF_DISCLOSURE, SENTENCES_OF_ORIGIN


def as_record(held: Holdings, language: str) -> dict[str, Any]:
    """Plain values alone: texts, numbers, times in ISO 8601 with their zone, lists and objects. Keys are in English."""
    words = translations(language)
    record = {
        "taken_at": held.taken_at,
        "code": str(held.subscriber_id),
        "person": asdict(held.person) | {"to_be_deleted_at": held.erase_at} if held.person else None,
        "subscriptions": _rows(held, held.subscriptions, language),
        "consent": _rows(held, held.events, language),
        "receipts": [asdict(each) for each in receipts(held, language)],
        "letters": _rows(held, held.deliveries, language),
        "refusals_and_pauses": _rows(held, held.suppressions, language),
        "withdrawals": _rows(held, held.withdrawals, language),
        "sealed_evidence": _rows(held, held.evidence, language),
        "confirmation_links": _rows(held, held.confirmations, language),
        "mails_waiting": [
            {"about": words.gettext(MAILS.get(row["kind"], row["kind"])), **row} for row in _rows(held, held.mails, language)
        ],
        "requests_waiting": _rows(held, held.handed_in, language),
        "done_by_our_staff": [
            {"what": words.gettext(ACTS.get(row["action"], row["action"])), **row} for row in _rows(held, held.acts, language)
        ],
        "mails_counted_against_abuse": list(held.counted),
        "where_it_came_from": [words.gettext(each) for each in SENTENCES_OF_ORIGIN],
        "disclosed_to": [words.gettext(each) for each in SENTENCES_OF_DISCLOSURE],
    }
    plain: dict[str, Any] = json.loads(json.dumps(record, default=_plain))
    return plain


def as_json(held: Holdings, language: str) -> str:
    return json.dumps(as_record(held, language), ensure_ascii=False, indent=2) + "\n"


def as_csv(held: Holdings, language: str) -> str:
    """RFC 4180, one value a line: of what, the number of the item, the field, the value."""
    rows: list[tuple[object, ...]] = [("about", "number", "field", "value")]
    for about, content in as_record(held, language).items():
        items = content if isinstance(content, list) else [content]
        for number, item in enumerate(items, 1):
            rows.extend((about, number, field, value) for field, value in _fields(item))
    return spreadsheets.as_csv(rows)


def _rows(held: Holdings, rows: Sequence[Any], language: str) -> list[dict[str, Any]]:
    return [_named(held, asdict(row), language) for row in rows]


def _named(held: Holdings, row: dict[str, Any], language: str) -> dict[str, Any]:
    """A list by its short name and its name; our numbers say nothing to others."""
    if "list_id" not in row:
        return row
    list_id = row.pop("list_id")
    found = held.lists.get(list_id) if list_id else None
    return {"list": found.slug if found else None, "list_name": held.list_name(list_id, language) or None, **row}


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _fields(item: Any) -> Iterator[tuple[str, str]]:
    if isinstance(item, dict):
        yield from ((name, "" if value is None else str(value)) for name, value in item.items())
    elif item is not None:
        yield "value", str(item)
