"""Drafts as operators keep them: a file for each language.

It begins with `Subject: …` and perhaps `Preheader: …`, then an empty line, then the body: Markdown in `*.md`, HTML in
`*.html`. The language is in the name (`november.de.md`) or the list's first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newsletter.campaigns.content import Draft, Format
from newsletter.core.errors import InvalidContent

_HEADER = re.compile(r"^(Subject|Preheader):[ \t]*(.*)$", re.IGNORECASE)
_LANGUAGE = re.compile(r"\.([a-z]{2,3}(?:[_-](?:[a-z]{2}|[a-z]{4}|[0-9]{3}))*)$", re.IGNORECASE)
"""What looks like a language tag (BCP 47), however it is spelled."""
_BODY_LINE = re.compile(r" \(line \d+ of the body\)")


@dataclass(frozen=True)
class DraftFile:
    """A draft and where it stands."""

    name: str
    draft: Draft
    before: int
    """Lines that stand before its body."""

    def explain(self, error: InvalidContent) -> InvalidContent:
        """The same error with the file's name, and with its line counted from the file's top."""
        line = error.line + self.before if error.line else None
        place = f"{self.name}, line {line}" if line else self.name
        return InvalidContent(f"{place}: {_BODY_LINE.sub('', str(error))}", field=error.field, line=line)


def read_draft(path: Path, languages: Sequence[str]) -> DraftFile:
    """The draft in a file, for a list with these languages. Raises `InvalidContent` for what cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # Windows' editors begin a file with a byte order mark.
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidContent(f"{path} cannot be read as UTF-8 text ({type(error).__name__}).") from None
    head: dict[str, str] = {}
    used = 0
    for line in lines:
        matched = _HEADER.match(line)
        if not matched:
            break
        head[matched[1].lower()] = matched[2].strip()
        used += 1
    used += used < len(lines) and not lines[used].strip()
    draft = Draft(
        language=_language(path, languages),
        subject=head.get("subject", ""),
        preheader=head.get("preheader", ""),
        format=Format.HTML if path.suffix.lower() in (".html", ".htm") else Format.MARKDOWN,
        body="\n".join(lines[used:]),
    )
    return DraftFile(path.name, draft, used)


def _language(path: Path, languages: Sequence[str]) -> str:
    said = _LANGUAGE.search(path.stem)
    if not said:
        return languages[0]
    tag = said[1].replace("-", "_").lower()
    for language in languages:
        if language.lower() == tag:
            return language
    raise InvalidContent(
        f'{path.name}: its name says the language "{said[1]}", and the list has {", ".join(languages)}. Name the file after '
        "one of these, such as november.en.md, or without a language for the first of them.",
        field="language",
    )
