"""The headers of an Internet message (RFC 5322), written by ourselves.

Python's `email` package must not write headers from what people typed: an encoded-word in a subject or a display name can
carry a line break into its header block, and it turns a long List-Unsubscribe into encoded-words, which kills one-click
unsubscribing (RFC 8058). So each header here has a type that says how its value may be written, and every value is refused
that could end a header line or pose as an encoded-word.

    Header --write--> its lines, each ending in CRLF
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

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
_ATOM = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|(?![\x00-\xa0])\S)+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@" + _DOMAIN.pattern)
"""An address that is written as it is, as nearly all are."""
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_Q_LITERAL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""What stands for itself in a Q word, also inside a phrase (RFC 2047, section 5, rule 3)."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Mailbox(NamedTuple):
    """Somebody mail can go to or come from. `name` may be empty; `address` is one local part, `@`, one domain."""

    name: str
    address: str


class TextHeader(NamedTuple):
    """Unstructured text in any script, such as Subject. Blanks at its ends are not kept."""

    name: str
    value: str

    def write(self) -> str:
        return _text(self.name, self.value)


class MailboxHeader(NamedTuple):
    """One or more mailboxes: From, To, Reply-To."""

    name: str
    mailboxes: Sequence[Mailbox]

    def write(self) -> str:
        return _mailboxes(self.name, self.mailboxes)


class UrlHeader(NamedTuple):
    """URLs in angle brackets (RFC 2369): List-Unsubscribe, List-Help, List-Archive. Never encoded, never folded inside."""

    name: str
    urls: Sequence[str]

    def write(self) -> str:
        return _urls(self.name, self.urls)


class TokenHeader(NamedTuple):
    """Printable ASCII that machines read: Message-ID, List-Id, Feedback-ID, Auto-Submitted. Folded at blanks only."""

    name: str
    value: str

    def write(self) -> str:
        return _tokens(self.name, self.value)


class DateHeader(NamedTuple):
    """A moment with its zone (RFC 5322, section 3.3)."""

    name: str
    at: datetime

    def write(self) -> str:
        return _date(self.name, self.at)


Header = TextHeader | MailboxHeader | UrlHeader | TokenHeader | DateHeader
"""`write` gives its lines, each ending in CRLF: ASCII, but for the local part of an address that needs SMTPUTF8. It raises
InvalidInput, with the header's name as `field`, for a value that its type does not allow."""


class Written(NamedTuple):
    """Headers as they stand in a message: their names, and their lines."""

    names: tuple[str, ...]
    lines: str

    def followed_by(self, other: Written) -> Written:
        return Written(self.names + other.names, self.lines + other.lines)


def written(*headers: Header) -> Written:
    """These headers, in their order. Raises InvalidInput as they do."""
    return Written(tuple(header.name for header in headers), "".join([header.write() for header in headers]))


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


def check_names(names: Sequence[str]) -> None:
    """Raise InvalidInput for a header that is ours to write (MIME), a name that is none, and for one that is there twice."""
    seen: set[str] = set()
    for name in names:
        key = name.lower()
        if not _FIELD_NAME.fullmatch(name) or _OURS.fullmatch(key):
            raise InvalidInput("This is not a header that can be set: use letters, digits and dashes.", field=name)
        if key in seen:
            raise InvalidInput(f"{name} is there twice: a message has one of each (RFC 5322).", field=name)
        seen.add(key)


# Unstructured text and encoded-words.


def _text(name: str, value: str) -> str:
    value = check_header_text(value, field=name).strip(" ")
    column = len(name) + 2
    if value.isascii() and _widest(folded := _folded(value, column), column) <= _LINE:
        return f"{name}: " + "\r\n".join(folded) + "\r\n"
    return f"{name}: {_encoded_words(value, column)}\r\n"


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
    if len(mailboxes) == 1 and not mailboxes[0].name:
        return f"{name}: {written_address(name, mailboxes[0].address)}\r\n"
    if not mailboxes:
        raise InvalidInput(f"{name} needs at least one address.", field=name)
    first, *others = mailboxes
    written = [_mailbox(name, first, len(name) + 2), *(_mailbox(name, other, 1) for other in others)]
    return f"{name}: " + ",\r\n ".join(written) + "\r\n"


def _mailbox(field: str, mailbox: Mailbox, column: int) -> str:
    address = written_address(field, mailbox.address)
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


def written_address(field: str, address: str) -> str:
    """`address` as it stands in a header named `field`: its domain as A-labels, a local part outside ASCII as it is, since no
    encoding exists for that. Raises InvalidInput."""
    if len(address) <= _ADDRESS_LIMIT and _PLAIN_ADDRESS.fullmatch(address) and "=?" not in address:
        return address
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
        if not _URL.fullmatch(url) or "=?" in url:
            check_header_text(url, field=name)
            raise InvalidInput(
                f"{name} takes https, http and mailto URLs in printable ASCII without blanks or angle brackets:"
                " percent-encode the rest.",
                field=name,
            )
        if len(name) + len(url) + len(": <>,") > _LINE_LIMIT:
            raise InvalidInput(f"A URL in {name} must fit one line of {_LINE_LIMIT} octets: use a shorter one.", field=name)
    return f"{name}: <" + ">,\r\n <".join(urls) + ">\r\n"


def _tokens(name: str, value: str) -> str:
    if not _TOKENS.fullmatch(value) or "=?" in value:
        check_header_text(value, field=name)
        raise InvalidInput(f"{name} takes printable ASCII only, with blanks only between words.", field=name)
    if len(name) + 2 + len(value) < _LINE:
        return f"{name}: {value}\r\n"
    folded = _folded(value, len(name) + 2)
    if _widest(folded, len(name) + 2) > _LINE_LIMIT:
        raise InvalidInput(f"A word in {name} is longer than a line of {_LINE_LIMIT} octets: shorten it.", field=name)
    return f"{name}: " + "\r\n".join(folded) + "\r\n"


def _date(name: str, at: datetime) -> str:
    offset = at.utcoffset()
    if offset is None:
        raise InvalidInput(f"{name} needs a time with its zone.", field=name)
    minutes = round(offset / timedelta(minutes=1))
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    day = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year:04d}"
    return f"{name}: {day} {at.hour:02d}:{at.minute:02d}:{at.second:02d} {zone}\r\n"
