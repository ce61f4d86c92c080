"""Words that people see, in their language.

Sentences are English in the code and the templates; `newsletter/locale/<language>/LC_MESSAGES/messages.po` has the others. The
catalogues are compiled in memory at first use, so that no built file can lag behind.
"""

from __future__ import annotations

import functools
import gettext
import io
from datetime import date, datetime
from gettext import NullTranslations
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.dates import format_date, format_time, get_timezone_name
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES = Path(__file__).parent.parent / "locale"
SOURCE_LANGUAGE = "en"


@functools.cache
def languages() -> tuple[str, ...]:
    """All that we speak, English first."""
    return (SOURCE_LANGUAGE, *sorted(path.parent.parent.name for path in LOCALES.glob("*/LC_MESSAGES/messages.po")))


@functools.cache
def translations(language: str) -> NullTranslations:
    """The catalogue of a language; English for one that we do not speak."""
    file = LOCALES / language / "LC_MESSAGES" / "messages.po"
    if not file.is_file():
        return NullTranslations()
    compiled = io.BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def N_(sentence: str) -> str:  # noqa: N802  gettext's own name for it
    """Mark a sentence that is translated later, where it is shown: a service's error does not know who will read it."""
    return sentence


def choose_language(accept_language: str, offered: tuple[str, ...]) -> str:
    """The best of `offered` for an Accept-Language header (RFC 9110 section 12.5.4); the first of them where none fits."""
    wanted = sorted(_weighted(accept_language), key=lambda pair: -pair[1])
    preferred = [tag.replace("-", "_") for tag, weight in wanted if weight > 0]
    best = negotiate_locale(preferred, offered, sep="_") or ""
    # It comes in the header's spelling, in which case does not matter.
    return next((language for language in offered if language.lower() == best.lower()), offered[0])


def _weighted(header: str) -> list[tuple[str, float]]:
    pairs = []
    for part in header[:500].split(","):
        tag, _, parameter = part.strip().partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            pairs.append((tag.strip(), float(weight) if name.strip() == "q" else 1.0))
        except ValueError:
            continue
    return [(tag, weight) for tag, weight in pairs if tag]


def language_name(language: str) -> str:
    """What the language calls itself."""
    return Locale.parse(language).get_display_name() or language


def long_date(moment: date, language: str) -> str:
    """5 December 2026."""
    return format_date(moment, "d MMMM y" if language == "en" else "long", locale=language)


def long_time(moment: datetime, language: str) -> str:
    """21 November 2026 at 14:05 (UTC), in the zone that the moment is in."""
    clock = format_time(moment, "HH:mm", locale=language)
    return translations(language).gettext("%(date)s at %(time)s (%(zone)s)") % {
        "date": long_date(moment, language),
        "time": clock,
        "zone": _zone_name(moment, language),
    }


def _zone_name(moment: datetime, language: str) -> str:
    """Such as CET, in German MEZ. English has the tz database's own names, as have languages that know no name for a zone."""
    name = get_timezone_name(moment, "short", locale=language)
    return (moment.tzname() or "") if language == SOURCE_LANGUAGE or name.startswith(("+", "-")) else name
