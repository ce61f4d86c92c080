"""Reading what was sent: never more than we want, whatever its length claims to be, and as text or not at all.

Bodies are read here and not by aiohttp's own parsers, since each route has its own limit, a body may come in chunks without a
length, and RFC 8058 senders spell their content types in more ways than a strict parser takes.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from itertools import islice, pairwise
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict
from pydantic import BaseModel, ValidationError

from newsletter.core.errors import InvalidInput, TooMany
from newsletter.core.i18n import N_

LARGEST = 64 * 1024
"""Octets that a public page takes."""
LARGEST_FOR_PROGRAMS = 1024 * 1024
"""Octets of a body that the API and the console take; the application's own limit, while public pages read less."""
LARGEST_FILE = 40 * 1024 * 1024
"""Octets of a form with a file that are read, so that one which is too large can be answered in words. What is done with it has
a limit of its own."""
LARGE_AT_ONCE = 3
"""Forms with files that a process holds in memory at a time; each takes twice its size for a moment."""
LONGEST_WAIT = 20.0
"""Seconds until it is such a form's turn."""
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


class TooLarge(web.HTTPRequestEntityTooLarge):
    """More octets than `largest` were sent, or announced."""

    def __init__(self, largest: int, sent: int) -> None:
        super().__init__(largest, sent)
        self.largest = largest


LARGE = web.AppKey("large", asyncio.Semaphore)


def prepare(app: web.Application) -> None:
    """Large bodies take turns."""
    app[LARGE] = asyncio.Semaphore(LARGE_AT_ONCE)


@asynccontextmanager
async def _turn(request: web.Request, largest: int) -> AsyncIterator[None]:
    """To read a body that may be so large. Raises `TooMany` when many others are at it."""
    if largest <= LARGEST_FOR_PROGRAMS:
        yield
        return
    try:
        await asyncio.wait_for(request.app[LARGE].acquire(), LONGEST_WAIT)
    except TimeoutError:
        sentence = "Several files are being taken in at the moment: send this one again in a minute."
        raise TooMany(sentence, retry_after=60) from None
    try:
        yield
    finally:
        request.app[LARGE].release()


async def read_body(request: web.Request, largest: int = LARGEST) -> bytes:
    """The body. Raises `TooLarge` as soon as it is known to be larger, `Malformed` when it does not arrive."""
    check_length(request, largest)
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > largest:
                    raise TooLarge(largest, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):
        raise Malformed(N_("What you sent arrived cut short or damaged. Please send it again.")) from None
    return bytes(body)


def check_length(request: web.Request, largest: int = LARGEST) -> None:
    """Refuse by the length that is announced, before a byte is read."""
    announced = request.content_length or 0
    if announced > largest:
        raise TooLarge(largest, announced)


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
    async with _turn(request, largest):
        found = _parsed(request, await read_body(request, largest))
    if found is None:
        raise Malformed(N_("What was sent is not what its Content-Type says. Please send a form, or JSON as application/json."))
    return found


async def read_fields(request: web.Request) -> MultiDict[str]:
    """The same for pages with one button and for one-click requests: what cannot be read has no fields, which is no error."""
    fields, _ = _parsed(request, await read_body(request)) or (MultiDict[str](), MultiDict[File]())
    return fields


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


def _parsed(request: web.Request, body: bytes) -> tuple[MultiDict[str], MultiDict[File]] | None:
    """Fields and files; None when there are none to be found in what is there."""
    kind = _content_type(request)
    charset = _charset(kind)
    if media_type(request) == MULTIPART:
        return _from_parts(body, kind, charset)
    if body and (b"=" not in body or body.lstrip().startswith((b"{", b"[", b"<"))):
        return None
    text = body.decode(charset, "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, encoding=charset, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
    return MultiDict(pairs), MultiDict()


def _from_parts(body: bytes, kind: Message, charset: str) -> tuple[MultiDict[str], MultiDict[File]] | None:
    """RFC 7578, without nesting, since a parser that nests can be made to nest for ever. What is in a part is copied once."""
    boundary = _boundary(kind)
    if not boundary:
        return None
    marks = list(islice(re.finditer(rb"(?:\A|\r?\n)--" + re.escape(boundary), body), _MOST_FIELDS))
    if not marks or not body.startswith(b"--", marks[-1].end()):
        return None
    fields, files = MultiDict[str](), MultiDict[File]()
    for begin, end in pairwise(marks):
        head_ends = _HEAD_ENDS.search(body, begin.end(), min(begin.end() + _LONGEST_HEAD, end.start()))
        named = _named(body[begin.end() : head_ends.start()]) if head_ends else None
        if head_ends is None or named is None:
            continue
        (name, filename), content = named, body[head_ends.end() : end.start()]
        if filename is None:
            fields.add(name, content.decode(charset, "replace"))
        elif filename:  # Else a field for a file, and none was chosen.
            files.add(name, File(filename, content))
    return fields, files


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
