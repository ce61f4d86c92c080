"""The files beside the pages: the stylesheet, the icon, the console's script. Read once; whoever edits one restarts."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from aiohttp import web

from newsletter.core.errors import NotFound
from newsletter.core.resources import resource

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_EACH_TIME = "public, no-cache"

routes = web.RouteTableDef()


@dataclass(frozen=True)
class Asset:
    content: bytes
    content_type: str
    version: str
    """Of its content: stands in the address, so that it can be cached for ever."""


@functools.cache
def assets() -> dict[str, Asset]:
    """All there are, by name; nothing else is served, whatever path is asked for."""
    files = [path for path in resource("templates", "static").iterdir() if path.suffix in _TYPES]
    return {path.name: _asset(path.read_bytes(), _TYPES[path.suffix]) for path in files}


def _asset(content: bytes, content_type: str) -> Asset:
    return Asset(content, content_type, hashlib.sha256(content).hexdigest()[:12])


@routes.get("/static/{name}")
async def static(request: web.Request) -> web.Response:
    asset = assets().get(request.match_info["name"])
    if asset is None:
        raise NotFound("There is no such file.")
    current = request.query.get("v") == asset.version
    headers = {"Cache-Control": _FOR_EVER if current else _ASK_EACH_TIME, "ETag": f'"{asset.version}"'}
    if any(tag.value == asset.version for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8", headers=headers)


@routes.get("/favicon.ico")
async def favicon(_: web.Request) -> web.Response:
    """Browsers ask for it whatever the page says, and for a letter in a page of its own, whose sandbox has no origin, too."""
    asset = assets()["icon.svg"]
    headers = {"Cache-Control": "public, max-age=86400", "Cross-Origin-Resource-Policy": "cross-origin"}
    return web.Response(body=asset.content, content_type=asset.content_type, headers=headers)
