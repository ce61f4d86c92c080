"""A campaign's content: what an operator writes, checked with line and reason, compiled once, rendered for each reader.

    draft --compile_content--> CompiledContent --values(reader)--> what `delivery.compiled` fills in

Pure, apart from reading our two templates. Compiling is work for the processor (milliseconds for a letter, up to
seconds for the largest that is allowed): call it in a thread where a loop must not wait. A reader takes microseconds.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import NamedTuple

from newsletter.campaigns.frame import Frame, framed_html, framed_text, is_right_to_left
from newsletter.campaigns.markup import finished, mark_tags, markdown_to_html
from newsletter.campaigns.merge import READER_FIELDS, Parts, Piece, split
from newsletter.campaigns.plaintext import to_text
from newsletter.campaigns.prepared import Prepared, StandIns, literal_html, literal_text, prepare, printable
from newsletter.campaigns.sanitise import taken_out
from newsletter.core.errors import InvalidContent, InvalidInput
from newsletter.delivery.headers import check_header_text

MAX_BODY = 200_000
"""Octets of a body. Gmail cuts a mail off at 102 KB; above this limit Markdown takes seconds."""
MAX_MARKUP = 1_000_000
"""Characters of the HTML that comes of a body."""
MAX_LINE = 250
"""Characters of a subject or a preheader as written."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8})*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Format(StrEnum):
    """How a body is written."""

    MARKDOWN = "markdown"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Draft:
    """What an operator wrote, in one language (`de`, `pt_BR`): each text with merge fields; the preheader may be empty."""

    language: str
    subject: str
    preheader: str
    format: Format
    body: str


class Reader(NamedTuple):
    """What is one reader's own: the name may be empty, the date is written out in the mail's language."""

    name: str
    confirmed_on: str
    unsubscribe_url: str


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail for one reader. The subject is one line that `check_header_text` accepts."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True)
class CompiledContent:
    """A draft in its frame, ready for any number of readers."""

    subject: Prepared
    html: Prepared
    text: Prepared
    fields: frozenset[str]
    """The merge fields that the operator used: `name` among them means that the mails differ by more than their links."""
    list_name: str

    @property
    def has_logic(self) -> bool:
        """Whether conditions or filters have to be worked out for each reader, which takes several times as long."""
        return self.subject.has_logic or self.html.has_logic or self.text.has_logic

    @functools.cached_property
    def has_own_subjects(self) -> bool:
        """Whether the subject differs from reader to reader."""
        return bool(self.subject.slots)

    def values(self, reader: Reader) -> dict[str, str]:
        """What goes into the slots for `reader`. What a name must not hold is replaced, never refused: no reader is left out.

        Raises InvalidContent when the mail would be too large.
        """
        name, url = printable(reader.name), reader.unsubscribe_url
        confirmed_on, html_date = _printable_twice(reader.confirmed_on)
        values = {
            "name": name,
            "confirmed_on": confirmed_on,
            "links.unsubscribe": url,
            "html.name": (html_name := escape(name)),
            "html.confirmed_on": html_date,
            "html.links.unsubscribe": (html_url := escape(url)),
        }
        longest = len(html_name) + len(html_date) + len(html_url)  # or longer than any of the six
        if self._has_passages or longest > self._most:
            of_reader = {name: values[name] for name in ("name", "confirmed_on", "links.unsubscribe")}
            for prepared in (self.subject, self.html, self.text):
                prepared.work_out(of_reader, values)
        return values

    @functools.cached_property
    def _has_passages(self) -> bool:
        return any(prepared.passages for prepared in (self.subject, self.html, self.text))

    @functools.cached_property
    def _most(self) -> int:
        return min(prepared.most for prepared in (self.subject, self.html, self.text))

    def subject_line(self, values: Mapping[str, str]) -> str:
        """The subject with these values; where nothing is left of it, the name of the list."""
        return _one_line(self.subject.joined(values)) or self.list_name

    def render(self, reader: Reader) -> RenderedMail:
        """The words of the mail for `reader`, as they are sent. Raises InvalidContent as `values` does."""
        values = self.values(reader)
        return RenderedMail(self.subject_line(values), self.html.joined(values), self.text.joined(values))


def compile_content(draft: Draft, *, frame: Frame) -> CompiledContent:
    """Compile `draft` into `frame`.

    Raises InvalidContent, with `field` (`subject`, `preheader`, `body` or `language`), `line` where it is about a line, and a
    message that says what to do.
    """
    ready = _checked(draft)
    subject = prepare(_liquid(ready.subject, literal_text), where="subject", constants=frame.constants)
    nameless = dict.fromkeys(READER_FIELDS, "")
    subject.work_out(nameless, nameless)
    if not _one_line(subject.joined(nameless)):
        raise InvalidContent(
            "The subject is empty for readers without a name: add words, or a value such as {{ name | default: 'Hello' }}.",
            field="subject",
        )
    html = framed_html(
        frame,
        draft.language,
        subject=_liquid(ready.subject, _literal),
        preheader=_liquid(ready.preheader, _literal),
        content=ready.stand_ins.restore(ready.markup, literal_html),
    )
    text = framed_text(frame, draft.language, content=ready.stand_ins.restore(ready.text, literal_text))
    return CompiledContent(
        subject,
        prepare(html, where="html", constants=frame.constants),
        prepare(text, where="text", constants=frame.constants),
        ready.fields,
        frame.list_name,
    )


def taken_out_of(draft: Draft) -> Mapping[str, int]:
    """What the sanitiser takes out of a body in HTML, by kind and how often. Raises InvalidContent as compiling it does."""
    if draft.format != Format.HTML:
        return {}
    return taken_out(StandIns(repr(draft)).protect(split(_body(draft.body), where="body")))


@dataclass(frozen=True, slots=True)
class _Ready:
    subject: Parts
    preheader: Parts
    stand_ins: StandIns
    markup: str
    text: str

    @property
    def fields(self) -> frozenset[str]:
        pieces = (*self.subject, *self.preheader, *self.stand_ins.pieces.values())
        return frozenset().union(*(piece.fields for piece in pieces if isinstance(piece, Piece)))


def _checked(draft: Draft) -> _Ready:
    if not _LANGUAGE.fullmatch(draft.language):
        raise InvalidContent("The language is a code such as en, de or pt_BR.", field="language")
    subject, preheader = _line(draft.subject, "subject"), _line(draft.preheader, "preheader")
    if not draft.subject.strip():
        raise InvalidContent("There is no subject: write one.", field="subject")
    body = _body(draft.body)
    parts = split(body, where="body")
    stand_ins = StandIns(repr(draft))
    protected = stand_ins.protect(parts)
    is_markdown = draft.format == Format.MARKDOWN
    markup = finished(
        markdown_to_html(protected, stand_ins) if is_markdown else mark_tags(protected, stand_ins),
        stand_ins,
        markdown=is_markdown,
        right_to_left=is_right_to_left(draft.language),
        body=body,
    )
    text = to_text(markup, stand_ins)
    if not text.strip() and "<img" not in markup:
        raise InvalidContent("Nothing is left of the body that a mail can show: write some text.", field="body")
    if len(markup) > MAX_MARKUP:
        raise InvalidContent("The HTML of the body becomes too large for a mail: shorten it.", field="body")
    return _Ready(subject, preheader, stand_ins, markup, text)


def _line(written: str, where: str) -> Parts:
    """The subject or preheader, fit for a header (both, since the one is as short as the other), and split."""
    try:
        check_header_text(written, field=f"The {where}")
    except InvalidInput as error:
        raise InvalidContent(str(error), field=where) from None
    if len(written) > MAX_LINE:
        raise InvalidContent(f"The {where} is longer than {MAX_LINE} characters: shorten it.", field=where)
    return split(written, where=where)


def _body(written: str) -> str:
    if len(written.encode("utf-8", "replace")) > MAX_BODY:
        raise InvalidContent(f"The body is larger than {MAX_BODY // 1000} KB: shorten it, or link to the rest.", field="body")
    body = written.replace("\r\n", "\n").replace("\r", "\n")
    if not body.strip():
        raise InvalidContent("There is no body: write the letter first.", field="body")
    if found := _CONTROL.search(body):
        line = body.count("\n", 0, found.start()) + 1
        raise InvalidContent(
            f"Line {line} of the body holds a control character (U+{ord(found[0]):04X}): delete it.", field="body", line=line
        )
    return body


def _liquid(parts: Parts, literal: Callable[[str], str]) -> str:
    return "".join(literal(part) if isinstance(part, str) else part.source for part in parts)


def _literal(text: str) -> str:
    return literal_html(escape(text))


@functools.lru_cache  # Many readers have confirmed on one day.
def _printable_twice(date: str) -> tuple[str, str]:
    return printable(date), escape(printable(date))


def _one_line(subject: str) -> str:
    return re.sub(r" {2,}", " ", printable(subject).replace("=?", "= ?")).strip()
