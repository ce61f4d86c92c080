"""Reading what was sent: never more than we want, whatever its length claims to be, and as text or not at all.

Bodies are read here and not by aiohttp's own parsers, since each route has its own limit, a body may come in chunks without a
length, and RFC 8058 senders spell their content types in more ways than a strict parser takes.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from email.message import Message
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict
from pydantic import BaseModel, ValidationError

from newsletter.core.errors import InvalidInput
from newsletter.core.i18n import N_

LARGEST = 64 * 1024
"""Octets that a public page takes."""
LARGEST_FOR_PROGRAMS = 1024 * 1024
"""Octets of a body that the API and the console take; the application's own limit, while public pages read less."""
LARGEST_FILE = 40 * 1024 * 1024
"""Octets of a form with a file that are read, so that one which is too large can be answered in words. What is done with it has
a limit of its own."""
SLOWEST = 30
"""Seconds in which a body has to be here."""

URLENCODED, MULTIPART, JSON = "application/x-www-form-urlencoded", "multipart/form-data", "application/json"
_MOST_FIELDS = 200
_LATIN = ("iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252", "us-ascii", "ascii")
_LONGEST_HEAD = 2000
"""Octets of a header that parameters are read from: Python's reader of them takes the square of the time for many of them."""
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")

Model = TypeVar("Model", bound=BaseModel)


class Malformed(InvalidInput):
    """What was sent cannot even be read, as opposed to being read and found wanting."""


class DoesNotFit(InvalidInput):
    """It was read, and has not the shape that is wanted here; `reason` says why in the words of a schema, for programmers."""

    def __init__(self, message: str, *, field: str, reason: str) -> None:
        super().__init__(message, field=field)
        self.reason = reason


class Unsupported(InvalidInput):
    """It was sent as something that we do not read at all."""


async def read_body(request: web.Request, largest: int = LARGEST) -> bytes:
    """The body. Raises `HTTPRequestEntityTooLarge` as soon as it is known to be larger, `Malformed` when it does not arrive."""
    check_length(request, largest)
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > largest:
                    raise web.HTTPRequestEntityTooLarge(largest, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):
        raise Malformed(N_("What you sent arrived cut short or damaged. Please send it again.")) from None
    return bytes(body)


def check_length(request: web.Request, largest: int = LARGEST) -> None:
    """Refuse by the length that is announced, before a byte is read."""
    announced = request.content_length or 0
    if announced > largest:
        raise web.HTTPRequestEntityTooLarge(largest, announced)


def media_type(request: web.Request) -> str:
    """In lower case, without parameters; empty when it is not said."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class File:
    """What was chosen in a form's field for a file; the name is whatever the sender says."""

    name: str
    content: bytes


async def read_form(request: web.Request, largest: int = LARGEST) -> MultiDict[str]:
    """The fields of an HTML form; uploaded files are ignored.

    Raises `Malformed` where the body is not what its Content-Type says, `Unsupported` for another Content-Type.
    """
    fields, _ = await read_form_with_files(request, largest)
    return fields


async def read_form_with_files(request: web.Request, largest: int) -> tuple[MultiDict[str], MultiDict[File]]:
    """The same, and the files by the name of their field. A field for which no file was chosen is not among them."""
    if media_type(request) not in (URLENCODED, MULTIPART):
        raise Unsupported(N_("This Content-Type is not read here. Please send a form, or JSON as application/json."))
    body = await read_body(request, largest)
    fields = _parsed(request, body)
    if fields is None:
        raise Malformed(N_("What was sent is not what its Content-Type says. Please send a form, or JSON as application/json."))
    files = MultiDict[File]()
    if media_type(request) == MULTIPART:
        for part in _parts(body, _content_type(request)) or ():
            if part.filename:
                files.add(part.name, File(part.filename, part.content))
    return fields, files


async def read_fields(request: web.Request) -> MultiDict[str]:
    """The same for pages with one button and for one-click requests: what cannot be read has no fields, which is no error."""
    return _parsed(request, await read_body(request)) or MultiDict()


async def read_json(request: web.Request, model: type[Model], largest: int = LARGEST) -> Model:
    """A JSON object of that shape.

    Raises `Unsupported` for another Content-Type, `Malformed` for what is no JSON object of text, and `DoesNotFit` for one that
    has not that shape, with the field that is wrong (`contents.0.format`).
    """
    if media_type(request) != JSON:
        raise Unsupported(N_("This Content-Type is not read here. Please send JSON as application/json."))
    try:
        given = json.loads((await read_body(request, largest)).decode("utf-8"))
    except (ValueError, RecursionError):
        raise Malformed(N_("This is not JSON. Please send one JSON object in UTF-8.")) from None
    if not isinstance(given, dict):
        raise Malformed(N_("This is JSON, but no object. Please send one JSON object."))
    if not _is_text(given):
        raise Malformed(N_("It holds a character that no text has (U+0000, or half of a pair). Please leave it out."))
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in problem["loc"])[:100]
    sentence = N_("This field is missing or of the wrong type. Please correct it.")
    if problem["type"] == "extra_forbidden":
        sentence = N_("There is no such field. Please leave it out.")
    raise DoesNotFit(sentence, field=field, reason=problem["msg"])


def _is_text(given: object) -> bool:
    """Whether PostgreSQL can hold every string in it: no NUL, no lone surrogate. Without recursion: a body may nest deeply."""
    waiting = [given]
    while waiting:
        match waiting.pop():
            case str() as text:
                if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
                    return False
            case dict() as members:
                waiting += [*members.keys(), *members.values()]
            case list() as members:
                waiting += members
    return True


def _content_type(request: web.Request) -> Message:
    kind = Message()
    kind["Content-Type"] = request.headers.get("Content-Type", "")[:_LONGEST_HEAD].encode("ascii", "replace").decode()
    return kind


def _parsed(request: web.Request, body: bytes) -> MultiDict[str] | None:
    """The fields; None when there are none to be found in what is there."""
    kind = _content_type(request)
    charset = _charset(kind)
    if media_type(request) == MULTIPART:
        parts = _parts(body, kind)
        if parts is None:
            return None
        return MultiDict((part.name, part.content.decode(charset, "replace")) for part in parts if part.filename is None)
    if body and (b"=" not in body or body.lstrip().startswith((b"{", b"[", b"<"))):
        return None
    text = body.decode(charset, "replace")
    try:
        return MultiDict(
            parse_qsl(text, keep_blank_values=True, encoding=charset, errors="replace", max_num_fields=_MOST_FIELDS)
        )
    except ValueError:
        return None


@dataclass(frozen=True)
class _Part:
    """`filename` None: a field like others; empty: a field for a file, and none was chosen."""

    name: str
    filename: str | None
    content: bytes


def _parts(body: bytes, kind: Message) -> list[_Part] | None:
    """RFC 7578, without nesting, since a parser that nests can be made to nest for ever."""
    boundary = _boundary(kind)
    if not boundary:
        return None
    _, *parts = re.split(rb"(?:\A|\r?\n)--" + re.escape(boundary), body, maxsplit=_MOST_FIELDS)
    if not parts or not parts[-1].startswith(b"--"):
        return None
    found = []
    for part in parts[:-1]:
        head, *value = _HEAD_ENDS.split(part, maxsplit=1)
        named = _named(head) if len(head) <= _LONGEST_HEAD else None
        if named and value:
            found.append(_Part(*named, value[0]))
    return found


_UNREADABLE = (UnicodeError, LookupError, ValueError)
"""What Python's reader of parameters raises on those that name an encoding of their own (RFC 2231) which is none."""


def _boundary(kind: Message) -> bytes:
    try:
        return (kind.get_boundary() or "").encode("ascii")
    except _UNREADABLE:
        return b""


def _named(head: bytes) -> tuple[str, str | None] | None:
    """Name and file name from a part's Content-Disposition."""
    for line in head.splitlines():
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            said = Message()
            said["Content-Disposition"] = value.decode("ascii", "replace").strip()
            try:
                name = said.get_param("name", header="Content-Disposition")
                filename = said.get_param("filename", header="Content-Disposition")
            except _UNREADABLE:
                return None
            if not isinstance(name, str):
                return None
            return name, filename if isinstance(filename, str) or filename is None else filename[2]
    return None


def _charset(kind: Message) -> str:
    """UTF-8, unless the form says that it comes from a Latin page; browsers mean windows-1252 by that (WHATWG Encoding)."""
    try:
        charset = kind.get_param("charset")
    except _UNREADABLE:
        return "utf-8"
    return "cp1252" if isinstance(charset, str) and charset.strip().lower() in _LATIN else "utf-8"
