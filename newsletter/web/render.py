"""Pages: templates/public/*.html in the language of whoever looks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2
from aiohttp import web

from newsletter.consent.rules import LEFT_FOR, REFUSED_FOR
from newsletter.core.i18n import choose_language, language_name, languages, translations
from newsletter.core.resources import resource
from newsletter.subscribing.lists import Sender
from newsletter.web.context import services
from newsletter.web.static import assets


def language_of(request: web.Request, offered: Sequence[str] | None = None, *, asked: str | None = None) -> str:
    """What to speak, out of what is offered: `?lang=`, else what was asked for elsewhere, else what the browser prefers."""
    known = tuple(offered or languages())
    for wanted in (request.query.get("lang"), asked):
        if wanted in known:
            return wanted
    return choose_language(request.headers.get("Accept-Language", ""), known)


def page(
    request: web.Request,
    template: str,
    language: str,
    *,
    status: int = 200,
    sender: Sender | None = None,
    switch_to: Sequence[str] = (),
    **shown: Any,
) -> web.Response:
    """A whole page. `sender` heads it and answers for it; `switch_to` are the languages that the same page can be had in."""
    base = prefix(request)
    text = _template(language, template).render(
        shown,
        sender=sender,
        language=language,
        base=base,
        others=[(each, language_name(each)) for each in switch_to if each != language],
        asset=lambda name: f"{base}/static/{name}?v={assets()[name].version}",
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def prefix(request: web.Request) -> str:
    """What stands before our paths where a reverse proxy serves us below a path of its own; usually nothing."""
    return urlsplit(services(request).links.base_url).path.rstrip("/")


def _template(language: str, name: str) -> jinja2.Template:
    return _environment(language).get_template(name)


@functools.cache
def _environment(language: str) -> jinja2.Environment:
    """One for each language, since a template's sentences are bound to a catalogue when it is compiled."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates", "public")),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals |= {"refused_days": REFUSED_FOR.days, "left_years": LEFT_FOR.days // 365}
    environment.filters["tag"] = lambda code: code.replace("_", "-")
    environment.filters["mailto"] = lambda address: quote(address, safe="@")
    return environment
