"""A letter shown in a frame of a page: sandboxed, with a policy of its own, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from html import escape

from aiohttp import web

from newsletter.campaigns.content import RenderedMail
from newsletter.web.context import POLICY, services
from newsletter.web.render import prefix

VIEWS = {"desktop": "Desktop", "telephone": "Telephone", "text": "Text", "dark": "Dark"}
_FRAME_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; "
    "form-action 'none'; frame-ancestors 'self'"
)
_DARK = re.compile(r"@media \(prefers-color-scheme: dark\)")
_PLAIN = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ margin: 0; padding: 16px; background: #fff; color: #1c2330; font: 15px/1.6 sans-serif }}
pre {{ font: 14px/1.6 monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 }}
</style></head><body>{body}</body></html>"""


def letter_frame(request: web.Request, mail: RenderedMail, view: str) -> web.Response:
    """As a mail program shows it. `view` is one of VIEWS; how wide a telephone is, the page around it knows."""
    if view == "text":
        return _answer(request, _PLAIN.format(title="Text", body=f"<pre>{escape(mail.text)}</pre>"))
    # Nobody's own setting is asked for: each view shows the one or the other.
    html = _DARK.sub("@media all" if view == "dark" else "@media not all", mail.html)
    html = html.replace(f"{services(request).links.base_url}/images/", f"{prefix(request)}/images/")
    return _answer(request, html.replace("<head>", '<head><base target="_blank">', 1))


def sentence_frame(request: web.Request, sentence: str) -> web.Response:
    """In place of a letter that cannot be shown."""
    return _answer(request, _PLAIN.format(title="No preview", body=f"<p>{escape(sentence)}</p>"))


def _answer(request: web.Request, html: str) -> web.Response:
    request[POLICY] = _FRAME_POLICY
    return web.Response(text=html, content_type="text/html", charset="utf-8")
