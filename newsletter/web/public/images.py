"""The images of letters. Mail programs load them, so every site may show them; the content of an address never changes."""

from __future__ import annotations

from aiohttp import web

from newsletter.web.context import services

_TYPES = {"jpg": "image/jpeg", "png": "image/png"}
_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "Cross-Origin-Resource-Policy": "cross-origin"}

routes = web.RouteTableDef()


@routes.get("/images/{name}")
async def image(request: web.Request) -> web.Response:
    """`{hash}.{jpg|png}`."""
    name = request.match_info["name"]
    content = await services(request).images.content(name)
    headers = _HEADERS | {"ETag": f'"{name}"'}
    if any(tag.value == name for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, content_type=_TYPES[name.rpartition(".")[2]], headers=headers)
