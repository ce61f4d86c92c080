"""The bytes of an Internet message (RFC 5322, MIME), made by ourselves.

Python's `email` package must not write headers from what people typed: an encoded-word in a subject or a display name can
carry a line break into its header block, and it turns a long List-Unsubscribe into encoded-words, which kills one-click
unsubscribing (RFC 8058). So each header here has a type that says how its value may be written, and every value is refused
that could end a header line or pose as an encoded-word.

`compose` is a pure function of its arguments: the same headers, texts and boundary give the same bytes. Lines end in CRLF.
Doubling the dots at the start of lines is not done here: that belongs to SMTP (RFC 5321, section 4.5.2).
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

import idna

from newsletter.core.errors import InvalidInput

_LINE = 78
"""Characters a header line should not exceed (RFC 5322, section 2.1.1)."""
_LINE_LIMIT = 998
"""Octets a line must not exceed (RFC 5322, section 2.1.1)."""
_WORD_PAYLOAD = 75 - len("=?utf-8?q??=")
"""Characters of encoded text in one encoded-word (RFC 2047, section 2)."""
_WORD_LINE = 76
"""Characters of a line that holds an encoded-word (RFC 2047, section 2)."""
_ADDRESS_LIMIT = 254
"""Octets of an address in an envelope (RFC 5321, section 4.5.3.1.3)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,49}")
_OURS = re.compile(r"mime-version|content-.*")
_TOKENS = re.compile(r"[!-~]+(?: +[!-~]+)*")
_URL = re.compile(r"(?:https?://|mailto:)[!-;=?-~]+")
_BOUNDARY = re.compile(r"[A-Za-z0-9._-]{1,60}")
_ATOM = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|(?![\x00-\xa0])\S)+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_Q_LITERAL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""What stands for itself in a Q word, also inside a phrase (RFC 2047, section 5, rule 3)."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Somebody mail can go to or come from. `name` may be empty; `address` is one local part, `@`, one domain."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class TextHeader:
    """Unstructured text in any script, such as Subject. Blanks at its ends are not kept."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class MailboxHeader:
    """One or more mailboxes: From, To, Reply-To."""

    name: str
    mailboxes: Sequence[Mailbox]


@dataclass(frozen=True, slots=True)
class UrlHeader:
    """URLs in angle brackets (RFC 2369): List-Unsubscribe, List-Help, List-Archive. Never encoded, never folded inside."""

    name: str
    urls: Sequence[str]


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """Printable ASCII that machines read: Message-ID, List-Id, Feedback-ID, Auto-Submitted. Folded at blanks only."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DateHeader:
    """A moment with its zone (RFC 5322, section 3.3)."""

    name: str
    at: datetime


Header = TextHeader | MailboxHeader | UrlHeader | TokenHeader | DateHeader


@dataclass(frozen=True, slots=True)
class Composed:
    """A whole message. `needs_smtputf8`: some address has a local part outside ASCII, so the relay must know RFC 6531."""

    data: bytes
    needs_smtputf8: bool


def compose(headers: Sequence[Header], *, text: str, html: str | None, boundary: str) -> Composed:
    """Make a message of `headers`, in their order, and one or two parts: the text first, then the HTML if there is one.

    `text` and `html` may hold any line breaks and lines of any length; both are sent as UTF-8 in quoted-printable, at most
    76 characters a line (RFC 2045, section 6.7), and each ends with a line break. `boundary` is 1 to 60 letters, digits,
    dots, dashes or underscores; it cannot occur in a part, since we put `=_` before it, which quoted-printable never has.

    Raises InvalidInput, with the header's name or `text`, `html`, `boundary` as `field`, for whatever would not be one well
    formed message: a header twice, a header that is ours to write (MIME), a value that its type does not allow.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidInput("A boundary is 1 to 60 ASCII letters, digits, dots, dashes or underscores.", field="boundary")
    _check_names(headers)
    lines = [_written(header) for header in headers]
    lines.append("MIME-Version: 1.0\r\n")
    head = "".join(lines).encode()
    body = _part("plain", text) if html is None else _alternatives(text, html, f"=_{boundary}".encode())
    return Composed(head + body, needs_smtputf8=not head.isascii())


def check_header_text(value: str, *, field: str) -> str:
    """Return `value` when it may go into a header named to people as `field`.

    Raises InvalidInput for a control character or line separator (it could end the header and begin another one), half of a
    surrogate pair (it cannot be written in UTF-8), and `=?` (it could be read as an encoded-word, RFC 2047).
    """
    if found := _CONTROL.search(value):
        code = f"U+{ord(found[0]):04X}"
        raise InvalidInput(
            f"{field} holds a line break or another control character ({code}, at character {found.start() + 1}): delete it.",
            field=field,
        )
    if "=?" in value:
        raise InvalidInput(
            f"{field} holds “=?”, with which mail programs begin encoded text: put a blank between the two, or leave it out.",
            field=field,
        )
    return value


def _check_names(headers: Sequence[Header]) -> None:
    seen: set[str] = set()
    for header in headers:
        key = header.name.lower()
        if not _FIELD_NAME.fullmatch(header.name) or _OURS.fullmatch(key):
            raise InvalidInput("This is not a header that can be set: use letters, digits and dashes.", field=header.name)
        if key in seen:
            raise InvalidInput(f"{header.name} is there twice: a message has one of each (RFC 5322).", field=header.name)
        seen.add(key)


def _written(header: Header) -> str:
    """Return the header's lines, each ending in CRLF."""
    match header:
        case TextHeader(name, value):
            written = _text(name, value)
        case MailboxHeader(name, mailboxes):
            written = _mailboxes(name, mailboxes)
        case UrlHeader(name, urls):
            written = _urls(name, urls)
        case TokenHeader(name, value):
            written = _tokens(name, value)
        case DateHeader(name, at):
            written = f"{name}: {_date(name, at)}"
        case _:
            assert_never(header)
    return written + "\r\n"


# Unstructured text and encoded-words.


def _text(name: str, value: str) -> str:
    value = check_header_text(value, field=name).strip(" ")
    column = len(name) + 2
    if value.isascii() and _widest(folded := _folded(value, column), column) <= _LINE:
        return f"{name}: " + "\r\n".join(folded)
    return f"{name}: {_encoded_words(value, column)}"


def _folded(value: str, column: int) -> list[str]:
    """`value`, which starts at `column`, broken before blanks only: unfolding (RFC 5322, section 2.2.3) gives the same back."""
    if column + len(value) < _LINE:
        return [value]
    lines = [""]
    for word in re.findall(r" *[^ ]+", value):
        used = len(lines[-1]) + (column if len(lines) == 1 else 0)
        if used + len(word) < _LINE or not lines[-1]:
            lines[-1] += word
        else:
            lines.append(word)
    return lines


def _widest(lines: list[str], column: int) -> int:
    return max(column + len(lines[0]), *map(len, lines))


def _encoded_words(value: str, column: int) -> str:
    """`value` as encoded-words, the first of which starts at `column` of its line; readers drop the folds between them.

    Words are cut between characters, never inside one (RFC 2047, section 5): each is valid UTF-8 by itself.
    """
    as_q = [1 if c in _Q_LITERAL or c == " " else 3 * len(c.encode()) for c in value]
    if sum(as_q) <= len(value.encode()) * 4 // 3 + 2:
        return "\r\n ".join(f"=?utf-8?q?{_q(chunk)}?=" for chunk in _chunks(value, column, as_q, 1))
    as_octets = [len(c.encode()) for c in value]
    chunks = _chunks(value, column, as_octets, 0.75)
    return "\r\n ".join(f"=?utf-8?b?{b64encode(chunk.encode()).decode()}?=" for chunk in chunks)


def _chunks(value: str, column: int, widths: list[int], density: float) -> list[str]:
    """Cut `value`, whose characters have `widths`, so that each piece fits one word, and the first one the rest of its line.

    `density` is the width that one letter of encoded text carries: 1 for Q, three octets in four letters for B.
    """
    room = max(12, min(_WORD_PAYLOAD, _WORD_LINE - column - len("=?utf-8?q??=")))
    chunks: list[str] = []
    start = used = 0
    for index, width in enumerate(widths):
        if used + width > room // 4 * 4 * density:
            chunks.append(value[start:index])
            start, used, room = index, 0, _WORD_PAYLOAD
        used += width
    chunks.append(value[start:])
    return chunks


def _q(chunk: str) -> str:
    return "".join(
        "_" if c == " " else c if c in _Q_LITERAL else "".join(f"={octet:02X}" for octet in c.encode()) for c in chunk
    )


# Mailboxes.


def _mailboxes(name: str, mailboxes: Sequence[Mailbox]) -> str:
    if not mailboxes:
        raise InvalidInput(f"{name} needs at least one address.", field=name)
    first, *others = mailboxes
    written = [_mailbox(name, first, len(name) + 2), *(_mailbox(name, other, 1) for other in others)]
    return f"{name}: " + ",\r\n ".join(written)


def _mailbox(field: str, mailbox: Mailbox, column: int) -> str:
    address = _address(field, mailbox.address)
    name = check_header_text(mailbox.name, field=field).strip(" ")
    if not name:
        return address
    phrase = _phrase(name, column)
    lines = phrase.split("\r\n")
    used = len(lines[-1]) + (column if len(lines) == 1 else 0)
    blank = " " if used + len(address) + len(" <>,") <= _WORD_LINE else "\r\n "
    return f"{phrase}{blank}<{address}>"


def _phrase(name: str, column: int) -> str:
    """A display name as atoms, a quoted-string (RFC 5322, section 3.2.4) or, where neither serves, encoded-words."""
    if name.isascii():
        plain = _PLAIN_PHRASE.fullmatch(name)
        folded = _folded(name if plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"', column)
        if _widest(folded, column) < _LINE:
            return "\r\n".join(folded)
    return _encoded_words(name, column)


def _address(field: str, address: str) -> str:
    """`address` with its domain as A-labels. A local part outside ASCII stays as it is: no encoding exists for it."""
    check_header_text(address, field=field)
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local):
        raise InvalidInput(f"{field} needs one plain address such as reader@example.org.", field=field)
    written = f"{local}@{_a_labels(field, domain)}"
    if len(written.encode()) > _ADDRESS_LIMIT:
        raise InvalidInput(f"The address in {field} is longer than {_ADDRESS_LIMIT} octets: use a shorter one.", field=field)
    return written


def _a_labels(field: str, domain: str) -> str:
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError:
            domain = ""
    if not _DOMAIN.fullmatch(domain):
        raise InvalidInput(f"{field} has an address whose domain cannot exist: check what stands after the @.", field=field)
    return domain


# What machines read.


def _urls(name: str, urls: Sequence[str]) -> str:
    if not urls:
        raise InvalidInput(f"{name} needs at least one URL.", field=name)
    for url in urls:
        check_header_text(url, field=name)
        if not _URL.fullmatch(url):
            raise InvalidInput(
                f"{name} takes https, http and mailto URLs in printable ASCII without blanks or angle brackets:"
                " percent-encode the rest.",
                field=name,
            )
        if len(name) + len(url) + len(": <>,") > _LINE_LIMIT:
            raise InvalidInput(f"A URL in {name} must fit one line of {_LINE_LIMIT} octets: use a shorter one.", field=name)
    return f"{name}: " + ",\r\n ".join(f"<{url}>" for url in urls)


def _tokens(name: str, value: str) -> str:
    check_header_text(value, field=name)
    if not _TOKENS.fullmatch(value):
        raise InvalidInput(f"{name} takes printable ASCII only, with blanks only between words.", field=name)
    folded = _folded(value, len(name) + 2)
    if _widest(folded, len(name) + 2) > _LINE_LIMIT:
        raise InvalidInput(f"A word in {name} is longer than a line of {_LINE_LIMIT} octets: shorten it.", field=name)
    return f"{name}: " + "\r\n".join(folded)


def _date(name: str, at: datetime) -> str:
    offset = at.utcoffset()
    if offset is None:
        raise InvalidInput(f"{name} needs a time with its zone.", field=name)
    minutes = round(offset / timedelta(minutes=1))
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    day = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year:04d}"
    return f"{day} {at.hour:02d}:{at.minute:02d}:{at.second:02d} {zone}"


# The parts.


def _alternatives(text: str, html: str, boundary: bytes) -> bytes:
    """multipart/alternative, the plainest part first (RFC 2046, section 5.1.4)."""
    return b"".join(
        (
            b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n\r\n',
            b"--" + boundary + b"\r\n" + _part("plain", text),
            b"\r\n--" + boundary + b"\r\n" + _part("html", html),
            b"\r\n--" + boundary + b"--\r\n",
        )
    )


def _part(subtype: str, content: str) -> bytes:
    """The MIME headers of a text part, an empty line, and `content` in quoted-printable."""
    try:
        octets = _lines(content).encode()
    except UnicodeEncodeError as error:
        field = "text" if subtype == "plain" else subtype
        raise InvalidInput(
            f"The {field} part holds half of a character (character {error.start + 1}): type it again.", field=field
        ) from None
    # b2a_qp takes the kind of its line breaks, the soft ones too, from the first break that it meets: hence CRLF throughout.
    # It also protects blanks before a break and a dot that stands alone.
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n".encode()
        + b2a_qp(octets, istext=True)
    )


def _lines(content: str) -> str:
    """`content` with CRLF for each CRLF, CR and LF, and one at its end."""
    if "\r" in content:
        content = content.replace("\r\n", "\n").replace("\r", "\n")
    if not content.endswith("\n"):
        content += "\n"
    return content.replace("\n", "\r\n")
