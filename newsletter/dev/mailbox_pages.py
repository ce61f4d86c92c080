"""The mailbox's pages: a list, and each mail as HTML, text, headers and source.

What is shown came from anywhere, so all of it is escaped, and HTML is shown in a sandboxed frame whose own policy allows
nothing but its inline styles and pictures. Nothing here changes anything. Other sites' pages could reach this port through a
name of theirs that resolves to 127.0.0.1; hence the look at `Host`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler
from markupsafe import Markup, escape

from newsletter.core.resources import resource
from newsletter.dev.letters import Envelope, Letter

VIEWS = {"html": "HTML", "text": "Text", "headers": "Headers", "source": "Source"}
SHOWN = 500_000
"""Characters of a text or source that a page shows; the rest is in the file to download."""

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_FRAME_POLICY = (  # pictures of our own web app, which runs on this machine as well; none from elsewhere
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data: http://127.0.0.1:* http://localhost:*; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OUR_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_LINK = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_AFTER_LINK = ".,;:!?'*)]}"
_BASE = '<base target="_blank">'
_HEAD = re.compile(r"<head(\s[^>]{0,500})?>|<html(\s[^>]{0,500})?>|<!doctype[^>]{0,500}>", re.IGNORECASE)


class Shelf(Protocol):
    """What the pages need of the mailbox."""

    def envelopes(self) -> list[Envelope]: ...
    def letter(self, id_: str) -> Letter | None: ...
    async def messages(self) -> list[Letter]: ...


def make_app(shelf: Shelf) -> web.Application:
    """The application; it is meant for a loopback address only."""
    pages = _Pages(shelf)
    app = web.Application(middlewares=[_only_our_host])
    app.on_response_prepare.append(_secure)
    app.router.add_get("/", pages.index)
    app.router.add_get("/messages.json", pages.messages)
    app.router.add_get("/style.css", pages.style)
    app.router.add_get(r"/mail/{id:\d+}", pages.mail)
    app.router.add_get(r"/mail/{id:\d+}/frame", pages.frame)
    app.router.add_get(r"/mail/{id:\d+}/file", pages.file)
    return app


def links(text: str) -> Markup:
    """The text escaped, with its web addresses as links that open beside."""
    done, at = Markup(), 0
    for found in _LINK.finditer(text):
        address = found[0].rstrip(_AFTER_LINK)
        done += escape(text[at : found.start()])
        done += Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(address)
        at = found.start() + len(address)
    return done + escape(text[at:])


def with_base(html: str) -> str:
    """The document with a <base> that lets its links open outside the frame; behind the doctype, to keep the rendering mode."""
    first = {match[0][:5].lower(): match for match in reversed(list(_HEAD.finditer(html[:100_000])))}
    match = first.get("<head") or first.get("<html") or first.get("<!doc")
    at = match.end() if match else 0
    return html[:at] + _BASE + html[at:]


class _Pages:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(resource("templates", "dev")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["links"] = links
        self._templates.filters["day_and_time"] = _day_and_time

    async def index(self, request: web.Request) -> web.Response:
        live = request.query.get("refresh") != "no"
        return self._page("list.html", {"envelopes": self._shelf.envelopes(), "live": live})

    async def mail(self, request: web.Request) -> web.Response:
        letter = self._shelf.letter(request.match_info["id"])
        if letter is None:
            return self._page("gone.html", {}, status=404)
        view = request.query.get("view", "html" if letter.html is not None else "text")
        if view not in VIEWS:
            return self._page("gone.html", {}, status=404)
        body = letter.text if view == "text" else letter.source.decode("utf-8", "replace") if view == "source" else None
        shown = {"letter": letter, "view": view, "views": VIEWS, "body": (body or "")[:SHOWN], "cut": len(body or "") > SHOWN}
        return self._page("mail.html", shown)

    async def frame(self, request: web.Request) -> web.Response:
        letter = self._letter(request)
        if letter.html is None:
            raise web.HTTPNotFound
        answer = web.Response(text=with_base(letter.html), content_type="text/html", charset="utf-8")
        answer.headers["Content-Security-Policy"] = _FRAME_POLICY
        return answer

    async def file(self, request: web.Request) -> web.Response:
        letter = self._letter(request)
        name = {"Content-Disposition": f'attachment; filename="{letter.id}.eml"'}
        return web.Response(body=letter.source, content_type="message/rfc822", headers=name)

    async def messages(self, _: web.Request) -> web.Response:
        found = [_as_json(letter) for letter in await self._shelf.messages()]
        return web.json_response(found, dumps=lambda value: json.dumps(value, ensure_ascii=False))

    async def style(self, _: web.Request) -> web.Response:
        return web.Response(text=resource("templates", "static", "style.css").read_text(), content_type="text/css")

    def _letter(self, request: web.Request) -> Letter:
        letter = self._shelf.letter(request.match_info["id"])
        if letter is None:
            raise web.HTTPNotFound
        return letter

    def _page(self, template: str, shown: Mapping[str, object], *, status: int = 200) -> web.Response:
        return web.Response(text=self._templates.get_template(template).render(shown), content_type="text/html", status=status)


def _day_and_time(moment: datetime) -> str:
    """By the clock on the wall of whoever looks, who is at this machine: `5 December 2026, 09:30:12 CET`."""
    local = moment.astimezone()
    return f"{local.day} {local:%B %Y, %H:%M:%S %Z}"


def _as_json(letter: Letter) -> dict[str, object]:
    return {
        "id": letter.id,
        "received": letter.envelope.received.isoformat(),
        "sender": letter.envelope.sender,
        "recipients": letter.recipients,
        "to": letter.to,
        "subject": letter.subject,
        "text": letter.text,
        "html": letter.html,
        "headers": letter.headers,
    }


@web.middleware
async def _only_our_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not _OUR_HOST.fullmatch(request.headers.get("Host", "")):
        raise web.HTTPMisdirectedRequest(text="This mailbox answers only as localhost.\n")
    return await handler(request)


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
