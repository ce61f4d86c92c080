"""A mail for many, compiled once: what is the same for all is bytes already, and a reader's mail is one join.

    Content with slots --compile_message--> CompiledMessage --fill(headers, values)--> Composed

Headers, MIME, quoted-printable and the layout of lines are settled when compiling. A slot has soft line breaks around it (RFC
2045, section 6.7), so that a reader's value moves nothing else: when it fits the room left on its line it is put there, and
otherwise it is laid out for itself.

What is written is good for the whole way to the reader as it is:
- lines of a body have 76 octets at most, all of them ASCII;
- no line begins with a dot, so that the stuffing of SMTP (RFC 5321, section 4.5.2) has nothing to change;
- a body is its own relaxed canonical form (RFC 6376, section 3.4.4): no tabs, no two blanks in a row, none at the end of a
  line, no empty line at its end. What DKIM signs can be hashed while it is written.

Pure: the same arguments give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from newsletter.core.errors import InvalidInput
from newsletter.delivery.headers import Header, check_names

_WIDTH = 75
"""Octets of a line of a body, without the `=` of a soft line break: 76 with it (RFC 2045, section 6.7, rule 5)."""
_ROOM = 25
"""Octets for a value without which a slot begins a line of its own. Above any escaped octet, so that one always fits."""
_SOFT = "=\r\n"

_BOUNDARY = re.compile(r"[A-Za-z0-9._-]{1,60}")
_BREAK = re.compile(r"\r\n?")
_ENCODED = re.compile(r"[^ !-<>-~]+")
_PLAIN = r"(?:[!-\-/-<>-~][!-<>-~]*(?: [!-<>-~]+)*)?"
_ALL_PLAIN = re.compile(rf"{_PLAIN}(?:\n{_PLAIN})*")
"""Values, one a line, that stand for themselves wherever they stand: no dot at their beginning, blanks between words only."""
_END = re.compile(r"(?:=?\r\n)+\Z")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a part for a reader's value."""

    name: str


Content = Sequence[str | Slot]
"""A part as it is read, before any encoding: texts, and places between them."""


class Composed(NamedTuple):
    """A whole message, in lines that end with CRLF.

    `needs_smtputf8`: some address has a local part outside ASCII, so the relay must know RFC 6531. `body_digest`: SHA-256 of
    the body, which is its own relaxed canonical form, where it was asked for.
    """

    head: bytes
    """The headers, without the empty line after them."""
    body: bytes
    needs_smtputf8: bool
    body_digest: bytes | None = None

    @property
    def data(self) -> bytes:
        return b"".join((self.head, b"\r\n", self.body))


class CompiledMessage:
    """What `compile_message` makes."""

    def __init__(self, common: Sequence[Header], mime: str, body: _Layout, *, single: bool) -> None:
        self._common_names = tuple(header.name for header in common)
        self._own_names: list[str] = []
        check_names(self._common_names)
        self._common = "".join([header.write() for header in common])
        self._mime = f"MIME-Version: 1.0\r\n{mime}"
        self._common_is_ascii = self._common.isascii()
        self._names = [name for name, _ in body.places]
        self._rooms = [room for _, room in body.places]
        self._texts = [body.texts[0], *[each for text in body.texts[1:] for each in ("", text)]]
        self._single = single
        self._constant = None if body.places else self._ended("".join(body.texts))
        # A single part is looked at once more when it is filled: nothing of it is settled before.
        settled = b"" if single else body.texts[0].encode("ascii")
        self._settled = len(settled)
        self._hash = hashlib.sha256(settled)
        self._digest = hashlib.sha256(self._constant).digest() if self._constant is not None else None

    def fill(self, headers: Sequence[Header], values: Mapping[str, str], *, digest: bool = False) -> Composed:
        """The message with `headers` besides the common ones, and `values` by the names of the slots.

        Values are any texts: what goes into an HTML part was escaped by the caller. They may be empty, and may hold line
        breaks of any kind; half of a surrogate pair becomes a question mark.

        Raises InvalidInput, with a header's name as `field`, as `compile_message` does.
        """
        names = [header.name for header in headers]
        if names != self._own_names:  # Those of the mail before are known to be good.
            check_names((*self._common_names, *names))
            self._own_names = names
        own = "".join([header.write() for header in headers])
        head = f"{self._common}{own}{self._mime}".encode()
        body = self._constant if self._constant is not None else self._filled(values)
        needs_smtputf8 = not (self._common_is_ascii and own.isascii())
        return Composed(head, body, needs_smtputf8, self._body_digest(body) if digest else None)

    def _filled(self, values: Mapping[str, str]) -> bytes:
        pieces = [values[name] for name in self._names]
        distinct = set(pieces)
        together = "\n".join(distinct)
        if _ALL_PLAIN.fullmatch(together) and together.count("\n") < len(distinct):
            fit = zip(pieces, self._rooms, strict=True)
            pieces = [value if len(value) <= room else _wrapped(value, room) for value, room in fit]
        else:
            pieces = list(map(_value, pieces, self._rooms))
        out = self._texts.copy()
        out[1::2] = pieces
        return self._ended("".join(out))

    def _ended(self, body: str) -> bytes:
        """The body's octets. A single part must not end in empty lines, which relays may drop and DKIM does not see."""
        if self._single and (found := _END.search(body)) and found[0] != "\r\n":
            rest, empty = body[: found.start()], found[0].count("\n") - found[0].count("=") - 1
            more = _wrapped("=0D=0A" * empty, _WIDTH)
            body = (_SOFT if rest and more else "").join((rest, more)) + "\r\n"
        return b"" if body == "\r\n" else body.encode("ascii")

    def _body_digest(self, body: bytes) -> bytes:
        if self._digest is not None:
            return self._digest
        hashed = self._hash.copy()
        hashed.update(memoryview(body)[self._settled :])
        return hashed.digest()


@dataclass(frozen=True, slots=True)
class _Layout:
    """Encoded texts, and between each two of them a place: the name of its slot, and the room that is left on its line."""

    texts: tuple[str, ...]
    places: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: _Layout) -> _Layout:
        joint = self.texts[-1] + other.texts[0]
        return _Layout((*self.texts[:-1], joint, *other.texts[1:]), self.places + other.places)


def compile_message(common: Sequence[Header], *, text: Content, html: Content | None, boundary: str) -> CompiledMessage:
    """Make ready a message whose `common` headers are the same for all, of one or two parts: the text first.

    Parts are UTF-8 in quoted-printable. A part ends with a line break: one is added where it does not end in a text that has
    one; a text of nothing but one line break, without HTML, gives an empty body. Line breaks may be of any kind, texts and
    values each by themselves: a CR and an LF with a slot between are two.
    `boundary` is 1 to 60 letters, digits, dots, dashes or underscores; it cannot occur in a part, since we put `=_` before it,
    which quoted-printable never has.

    Raises InvalidInput, with the header's name or `text`, `html`, `boundary` as `field`, for whatever would not be one well
    formed message: a header twice, a header that is ours to write (MIME), a value that its type does not allow.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidInput("A boundary is 1 to 60 ASCII letters, digits, dots, dashes or underscores.", field="boundary")
    if html is None:
        return CompiledMessage(common, _mime("plain"), _layout(text, "text"), single=True)
    # multipart/alternative, the plainest part first (RFC 2046, section 5.1.4).
    mime = f'Content-Type: multipart/alternative;\r\n boundary="=_{boundary}"\r\n'
    body = _Layout((f"--=_{boundary}\r\n{_mime('plain')}\r\n",)) + _layout(text, "text")
    body += _Layout((f"\r\n--=_{boundary}\r\n{_mime('html')}\r\n",)) + _layout(html, "html")
    return CompiledMessage(common, mime, body + _Layout((f"\r\n--=_{boundary}--\r\n",)), single=False)


def compose(headers: Sequence[Header], *, text: str, html: str | None, boundary: str) -> Composed:
    """Make a message of `headers`, in their order, and one or two parts: the text first, then the HTML if there is one.

    A pure function of its arguments. `text` and `html` may hold any line breaks and lines of any length, and each ends with a
    line break. Raises InvalidInput as `compile_message` does.
    """
    return compile_message(headers, text=[text], html=None if html is None else [html], boundary=boundary).fill(
        (), {}, digest=True
    )


def _mime(subtype: str) -> str:
    return f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"


def _layout(content: Content, field: str) -> _Layout:
    """Lay a part out. Whatever follows a slot begins at the beginning of a line, and so do the texts that are encoded here."""
    pieces = list(_tidy(content, field))
    texts = [""]
    places: list[tuple[str, int]] = []
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        if isinstance(piece, str):
            texts[-1] += _text(piece)
            continue
        column = len(texts[-1]) - texts[-1].rfind("\n") - 1
        if _WIDTH - column < _ROOM:
            texts[-1] += _SOFT
            column = 0
        places.append((piece.name, _WIDTH - column))
        texts.append("" if isinstance(following, str) and following.startswith("\n") else _SOFT)
    return _Layout(tuple(texts), tuple(places))


def _tidy(content: Content, field: str) -> Iterator[str | Slot]:
    """`content` with one kind of line break, one text between two slots, none of them empty, and a line break at its end."""
    run = ""
    for piece in content:
        if isinstance(piece, str):
            run += piece
            continue
        if run:
            yield _checked(run, field)
        yield piece
        run = ""
    run = _checked(run, field)
    yield run if run.endswith("\n") else f"{run}\n"


def _checked(text: str, field: str) -> str:
    """`text` with LF for each kind of line break."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The {field} part holds half of a character (character {error.start + 1}): type it again.", field=field
        ) from None
    return _BREAK.sub("\n", text) if "\r" in text else text


# Quoted-printable.


def _text(text: str) -> str:
    return "\r\n".join(map(_line, text.split("\n")))


def _value(value: str, room: int) -> str:
    """A value that begins where `room` is left on a line."""
    if "\n" not in value and "\r" not in value:
        return _line(value, room)
    first, *others = _BREAK.sub("\n", value).split("\n")
    return "\r\n".join((_line(first, room), *map(_line, others)))


def _line(line: str, room: int = _WIDTH) -> str:
    """A line without its break, encoded. No blank at its end, since it is not known what follows, if anything does."""
    if _ENCODED.search(line):
        line = _ENCODED.sub(_octets, line)
    if "  " in line:
        line = line.replace("  ", " =20")
    if line.endswith(" "):
        line = f"{line[:-1]}=20"
    return line if len(line) <= room and not line.startswith(".") else _wrapped(line, room)


def _octets(found: re.Match[str]) -> str:
    return "=" + found[0].encode("utf-8", "replace").hex("=").upper()


def _wrapped(line: str, room: int) -> str:
    """An encoded line with soft line breaks: `room` octets first, then lines of their own. No encoded octet is cut."""
    if room < len(line) <= room + _WIDTH and "=" not in line and line[0] != "." != line[room]:
        return f"{line[:room]}{_SOFT}{line[room:]}"  # as a link, mostly
    out: list[str] = []
    start = 0
    while True:
        dot = ""
        if room == _WIDTH and line.startswith(".", start):
            dot, start, room = "=2E", start + 1, _WIDTH - 3
        if len(line) - start <= room:
            out.append(dot + line[start:])
            return _SOFT.join(out)
        cut = start + room
        begun = line.find("=", cut - 2, cut)
        cut = begun if begun >= 0 else cut
        out.append(dot + line[start:cut])
        start, room = cut, _WIDTH
