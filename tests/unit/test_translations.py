"""Every sentence that people see is there in every language that we speak, and says the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

from newsletter.core.addresses import parse_address
from newsletter.core.errors import InvalidAddress
from newsletter.core.i18n import LOCALES, SOURCE_LANGUAGE, languages, translations

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [language for language in languages() if language != SOURCE_LANGUAGE]
_SLOT = re.compile(r"%\(\w+\)[sd]|\{\w+\}|</?\w+>")


def forms(message: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    """Singular and plural."""
    return (message,) if isinstance(message, str) else tuple(message or ())


def written() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every sentence in code and templates, with where it stands."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    for folder in ("newsletter", "templates"):
        # Patterns are relative to the root, hence the walk from there.
        for name, line, message, *_ in extract_from_dir(
            ROOT,
            methods,
            options,
            keywords=DEFAULT_KEYWORDS | {"N_": None},
            directory_filter=lambda path, folder=folder: Path(path).relative_to(ROOT).parts[:1] == (folder,),  # type: ignore[misc]
        ):
            yield f"{name}:{line}", forms(message)


def catalogue(language: str) -> Catalog:
    with (LOCALES / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def test_german_is_spoken() -> None:
    assert languages() == ("en", "de")


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_translated(language: str) -> None:
    found = catalogue(language)
    sentences = list(written())
    assert len({message for _, message in sentences}) > 100
    for place, message in sentences:
        entry = found.get(message[0])
        assert entry is not None, f"{place}: {message[0]}"
        assert all(forms(entry.string)), f"{place}: {message[0]}"
        assert len(forms(entry.string)) == (found.num_plurals if len(message) > 1 else 1), place


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_fuzzy_or_left_over(language: str) -> None:
    found = catalogue(language)
    wanted = {message[0] for _, message in written()}
    assert not [entry.id for entry in found if entry.id and entry.fuzzy]
    assert {forms(entry.id)[0] for entry in found if entry.id} == wanted
    assert not found.obsolete


@pytest.mark.parametrize("language", OTHERS)
def test_slots_and_markup_of_a_translation_are_those_of_its_sentence(language: str) -> None:
    for entry in catalogue(language):
        slots = sorted(_SLOT.findall(forms(entry.id)[-1]))
        for form in forms(entry.string) if entry.id else ():
            assert sorted(_SLOT.findall(form)) == slots, form


@pytest.mark.parametrize("language", OTHERS)
def test_what_a_visitor_is_told_of_an_address_is_translated(language: str) -> None:
    for address in ("", "a" * 300, "a\x00@example.org", "a@b@example.org", "reader"):
        with pytest.raises(InvalidAddress) as raised:
            parse_address(address)
        sentence = str(raised.value)
        assert translations(language).gettext(sentence) != sentence
