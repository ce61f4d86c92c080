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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from newsletter.core.errors import InvalidInput
from newsletter.delivery.headers import Header, Written, check_names, written

_WIDTH = 75
"""Octets of a line of a body, without the `=` of a soft line break: 76 with it (RFC 2045, section 6.7, rule 5)."""
_ROOM = 25
"""Octets for a value without which a slot begins a line of its own. Above any escaped octet, so that one always fits."""
_SOFT = b"=\r\n"
_DOT = ord(".")

_BOUNDARY = re.compile(r"[A-Za-z0-9._-]{1,60}")
_BREAK = re.compile(r"\r\n?|\n")
_ENCODED = re.compile(r"[^ !-<>-~]+")
_END = re.compile(rb"(?:=?\r\n)+\Z")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a part for a reader's value."""

    name: str


Content = Sequence[str | Slot]
"""A part as it is read, before any encoding: texts, and places between them."""


class Composed(NamedTuple):
    """A whole message, in lines that end with CRLF.

    `head`: octets of its header block, without the empty line after it; `needs_smtputf8`: some address has a local part outside
    ASCII, so the relay must know RFC 6531; `body_digest`: SHA-256 of the body, which is its own relaxed canonical form, where
    it was asked for.
    """

    data: bytes
    head: int
    needs_smtputf8: bool
    body_digest: bytes | None = None


class CompiledMessage:
    """What `compile_message` makes."""

    def __init__(self, common: Written, mime: str, body: _Layout, *, single: bool) -> None:
        check_names(common.names)
        self._common = common
        self._common_is_ascii = common.lines.isascii()
        self._mime = f"MIME-Version: 1.0\r\n{mime}\r\n"
        self._single = single
        self._own_names: tuple[str, ...] = ()
        self._pieces = [b"", body.texts[0], *[each for text in body.texts[1:] for each in (b"", text)]]
        """The headers, then the texts of the body with a reader's value between each two."""
        self._names = list(dict.fromkeys(name for name, _ in body.places))
        self._places = [
            [(2 * index + 2, room) for index, (name, room) in enumerate(body.places) if name == wanted]
            for wanted in self._names
        ]
        """Of each slot, where its values go among the pieces, and the room that is left on the line there."""
        if not body.places:
            self._pieces[1] = self._ended(self._pieces[1])
        # A single part is looked at once more when it is filled: nothing of it is settled before.
        self._settled = 0 if single and body.places else len(self._pieces[1])
        self._hash = hashlib.sha256(self._pieces[1][: self._settled])

    def fill(self, own: Written, values: Mapping[str, str], *, digest: bool = False) -> Composed:
        """The message with its `own` headers after the common ones, and `values` by the names of the slots.

        Values are any texts: what goes into an HTML part was escaped by the caller. They may be empty, and may hold line
        breaks of any kind; half of a surrogate pair becomes a question mark.

        Raises InvalidInput, with a header's name as `field`, for one that is there twice or is ours to write.
        """
        if own.names != self._own_names:  # Those of the mail before are known to be good.
            check_names(self._common.names + own.names)
            self._own_names = own.names  # Only now: a bad one is refused each time.
        pieces = self._pieces.copy()
        head = pieces[0] = f"{self._common.lines}{own.lines}{self._mime}".encode()
        if self._names:
            self._put(pieces, [values[name] for name in self._names])
            if self._single:
                pieces = [head, self._ended(b"".join(pieces[1:]))]
        data = b"".join(pieces)
        needs_smtputf8 = not (self._common_is_ascii and own.lines.isascii())
        return Composed(data, len(head) - 2, needs_smtputf8, self._body_digest(data, len(head)) if digest else None)

    def _put(self, pieces: list[bytes], values: list[str]) -> None:
        """Each value in the places of its slot. Most stand for themselves, which one look at all of them tells."""
        distinct = set(values)
        plain = _stand_for_themselves(distinct)
        lines = {value: value.encode("ascii") if plain else _line(value) for value in distinct}
        for value, places in zip(values, self._places, strict=True):
            line = lines[value]
            if line is None:
                for place, room in places:
                    pieces[place] = _laid_out(_BREAK.sub("\n", value), room)
            elif plain and len(line) <= _ROOM:
                for place, _ in places:
                    pieces[place] = line
            else:
                for place, room in places:
                    pieces[place] = _wrapped_plain(line, room) if plain else _wrapped(line, room)

    def _ended(self, body: bytes) -> bytes:
        """The body's octets. A single part must not end in empty lines, which relays may drop and DKIM does not see."""
        if self._single and (found := _END.search(body)) and found[0] != b"\r\n":
            rest, empty = body[: found.start()], found[0].count(b"\n") - found[0].count(b"=") - 1
            more = _wrapped(b"=0D=0A" * empty, _WIDTH)
            body = (_SOFT if rest and more else b"").join((rest, more)) + b"\r\n"
        return b"" if body == b"\r\n" else body

    def _body_digest(self, data: bytes, begin: int) -> bytes:
        hashed = self._hash.copy()
        hashed.update(memoryview(data)[begin + self._settled :])
        return hashed.digest()


@dataclass(frozen=True, slots=True)
class _Layout:
    """Encoded texts, and between each two of them a place: the name of its slot, and the room that is left on its line."""

    texts: tuple[bytes, ...]
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
        return CompiledMessage(written(*common), _mime("plain"), _layout(text, "text"), single=True)
    # multipart/alternative, the plainest part first (RFC 2046, section 5.1.4).
    mime = f'Content-Type: multipart/alternative;\r\n boundary="=_{boundary}"\r\n'
    body = _alike(f"--=_{boundary}\r\n{_mime('plain')}\r\n") + _layout(text, "text")
    body += _alike(f"\r\n--=_{boundary}\r\n{_mime('html')}\r\n") + _layout(html, "html")
    return CompiledMessage(written(*common), mime, body + _alike(f"\r\n--=_{boundary}--\r\n"), single=False)


def compose(headers: Sequence[Header], *, text: str, html: str | None, boundary: str) -> Composed:
    """Make a message of `headers`, in their order, and one or two parts: the text first, then the HTML if there is one.

    A pure function of its arguments. `text` and `html` may hold any line breaks and lines of any length, and each ends with a
    line break. Raises InvalidInput as `compile_message` does.
    """
    message = compile_message(headers, text=[text], html=None if html is None else [html], boundary=boundary)
    return message.fill(written(), {}, digest=True)


def _alike(text: str) -> _Layout:
    return _Layout((text.encode("ascii"),))


def _mime(subtype: str) -> str:
    return f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"


def _layout(content: Content, field: str) -> _Layout:
    """Lay a part out. Whatever follows a slot begins at the beginning of a line, and so do the texts that are encoded here."""
    pieces = list(_tidy(content, field))
    texts = [b""]
    places: list[tuple[str, int]] = []
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        if isinstance(piece, str):
            texts[-1] += _laid_out(piece, _WIDTH)
            continue
        column = len(texts[-1]) - texts[-1].rfind(b"\n") - 1
        if _WIDTH - column < _ROOM:
            texts[-1] += _SOFT
            column = 0
        places.append((piece.name, _WIDTH - column))
        texts.append(b"" if isinstance(following, str) and following.startswith("\n") else _SOFT)
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


def _laid_out(text: str, room: int) -> bytes:
    """Lines as they stand in a body, the first of which begins where `room` is left on its line."""
    first, *others = text.split("\n")
    return b"\r\n".join((_wrapped(_encoded(first), room), *[_wrapped(_encoded(line), _WIDTH) for line in others]))


def _line(value: str) -> bytes | None:
    """A value that is one line, encoded; None when it is several."""
    if _BREAK.search(value):
        return None
    return value.encode("ascii") if _stand_for_themselves([value]) else _encoded(value)


def _stand_for_themselves(values: Collection[str]) -> bool:
    """Whether nothing of them needs to be encoded, wherever they stand. May say no without need: to one with a bar in it."""
    whole = f"|{'|'.join(values)}|"
    return (
        whole.isascii()
        and whole.isprintable()
        and "=" not in whole
        and "  " not in whole
        and " |" not in whole
        and "|." not in whole
    )


def _encoded(line: str) -> bytes:
    """A line without its break, of any length. No blank at its end, since it is not known what follows, if anything does."""
    if _ENCODED.search(line):
        line = _ENCODED.sub(_octets, line)
    if "  " in line:
        line = line.replace("  ", " =20")
    if line.endswith(" "):
        line = f"{line[:-1]}=20"
    return line.encode("ascii")


def _octets(found: re.Match[str]) -> str:
    return "=" + found[0].encode("utf-8", "replace").hex("=").upper()


def _wrapped_plain(line: bytes, room: int) -> bytes:
    """`_wrapped`, for a line that stands for itself: a link, mostly."""
    if len(line) <= room:
        return line
    if len(line) <= room + _WIDTH and line[room] != _DOT:
        return b"%b=\r\n%b" % (line[:room], line[room:])
    return _wrapped(line, room)


def _wrapped(line: bytes, room: int) -> bytes:
    """An encoded line with soft line breaks: `room` octets first, then lines of their own. No encoded octet is cut."""
    out: list[bytes] = []
    start = 0
    while True:
        dot = b""
        if room == _WIDTH and line.startswith(b".", start):
            dot, start, room = b"=2E", start + 1, _WIDTH - 3
        if len(line) - start <= room:
            out.append(dot + line[start:])
            return _SOFT.join(out)
        cut = start + room
        begun = line.find(b"=", cut - 2, cut)
        cut = begun if begun >= 0 else cut
        out.append(dot + line[start:cut])
        start, room = cut, _WIDTH
