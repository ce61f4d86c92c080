"""`newsletter list welcome` and `newsletter list wording`: what a list says in the operator's own words, in each language."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from newsletter.cli.house import as_json, command, open_house, print_json, print_wrapped, settings
from newsletter.core.errors import InvalidInput
from newsletter.operators.service import COMMAND_LINE
from newsletter.subscribing.editing import digest
from newsletter.subscribing.lists import ListText, MailingList, NewList, list_by_slug, paragraphs
from newsletter.subscribing.mails import consent_wording

SUBJECT = "Subject:"

Change = Callable[[ListText], ListText]

slug_argument = click.argument("slug", metavar="LIST")
language_option = click.option("--language", metavar="LANG", help="Which of the list's languages.")


@dataclass(frozen=True)
class Welcome:
    """Of one language; None: no mail is sent."""

    language: str
    subject: str | None
    text: str | None


@dataclass(frozen=True)
class Wording:
    """Of one language. `own`: the operator's sentence, None: ours stands there. `shown`: all that stands beside the button."""

    language: str
    own: str | None
    shown: str


@click.command("welcome")
@slug_argument
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@language_option
@click.option("--off", is_flag=True, help="Send none: in that language, or in any.")
@as_json
@command
async def welcome(*, slug: str, file: Path | None, language: str | None, off: bool, as_json: bool) -> None:
    """The mail that whoever confirms is sent, once.

    Without FILE it is shown. FILE, or - for standard input, begins with a
    line "Subject: ...", then an empty line, then the text, plain, with blank
    lines between paragraphs.
    """
    if off and file:
        raise InvalidInput("Give a file, or --off, but not both.")
    change = _with_welcome("", "") if off else _with_welcome(*_read(file)) if file else None
    found = await _words(slug, language, change, is_for_all=off)
    shown = [Welcome(each, text.welcome_subject or None, text.welcome_text or None) for each, text in _texts(found)]
    if as_json:
        print_json(shown)
        return
    for each in shown:
        print_wrapped(f"{each.language}: {each.subject or 'no welcome mail is sent'}")
        if each.text:
            print_wrapped(each.text, indent="  ")


@click.command("wording")
@slug_argument
@language_option
@click.option("--text", metavar="SENTENCE", help="In place of ours; what is said of unsubscribing is added.")
@click.option("--ours", is_flag=True, help="Go back to our sentence: in that language, or in all.")
@as_json
@command
async def wording(*, slug: str, language: str | None, text: str | None, ours: bool, as_json: bool) -> None:
    """The sentence beside the button, which readers agree to.

    Without --text or --ours it is shown. Evidence keeps the words that each
    reader saw.
    """
    if ours and text is not None:
        raise InvalidInput("Give --text, or --ours, but not both.")
    if text is not None and not text.strip():
        raise InvalidInput("The sentence is empty: write one, or use --ours to go back to our own.")
    own = " ".join((text or "").split())
    found = await _words(slug, language, _with_wording(own) if ours or own else None, is_for_all=ours)
    shown = [Wording(each, text.wording or None, consent_wording([found], each)) for each, text in _texts(found)]
    if as_json:
        print_json(shown)
        return
    for each in shown:
        print_wrapped(f"{each.language}{' (your own)' if each.own else ''}: {each.shown}", more="  ")


async def _words(slug: str, language: str | None, change: Change | None, *, is_for_all: bool) -> MailingList:
    """The list as it is after that. `is_for_all`: where no language is named, in each.

    Raises `NotFound`, `Conflict`, and `InvalidInput` for a language that has to be named, or that the list does not have.
    """
    async with open_house(settings(), name="list") as house:
        found = await list_by_slug(house.db, slug)
        if change is None:
            return found
        chosen = found.languages if language is None and is_for_all else (_one_of(found, language),)
        texts = {each: change(text) if each in chosen else text for each, text in _texts(found)}
        new = replace(NewList.of(found), texts=texts)
        return await house.list_editing.edit(
            slug, new, found.sender.name, seen=digest(found), by=COMMAND_LINE, now=house.clock.now()
        )


def _one_of(found: MailingList, language: str | None) -> str:
    """Where a list has one language, it need not be named."""
    if language is None and len(found.languages) == 1:
        return found.languages[0]
    if language not in found.languages:
        had = ", ".join(found.languages)
        said = "Say the language" if language is None else f"{found.slug} is not written in {language[:20]}: name another"
        raise InvalidInput(f"{said}, with --language; the list has {had}.", field="language")
    return language


def _texts(found: MailingList) -> list[tuple[str, ListText]]:
    """In the order of its languages."""
    return [(each, found.texts[each]) for each in found.languages]


def _with_welcome(subject: str, text: str) -> Change:
    return lambda before: replace(before, welcome_subject=subject, welcome_text=text)


def _with_wording(own: str) -> Change:
    return lambda before: replace(before, wording=own)


def _read(file: Path) -> tuple[str, str]:
    """Subject and text. Raises `InvalidInput` for what is no such file."""
    try:
        with click.open_file(str(file), encoding="utf-8-sig") as opened:
            first, _, text = opened.read().partition("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read as UTF-8 text ({type(error).__name__}): name another file.") from None
    if not first.startswith(SUBJECT):
        raise InvalidInput(f'The first line has to be "{SUBJECT} …", then an empty line, then the text.')
    return " ".join(first.removeprefix(SUBJECT).split()), paragraphs(text)


COMMANDS = [welcome, wording]
