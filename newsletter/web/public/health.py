"""For whatever watches the process: is it alive, and can it do its work."""

from __future__ import annotations

from aiohttp import web

from newsletter.core.health import readiness
from newsletter.web.context import services
from newsletter.web.problems import RETRY_AFTER

routes = web.RouteTableDef()


@routes.get("/healthz")
async def healthz(_: web.Request) -> web.Response:
    """Alive; asks nobody else, so that a database that is away restarts no web app."""
    return web.Response(text="ok\n")


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    found = await readiness(services(request).db)
    told = {"ready": found.ready, "database": found.database, "schema": found.schema}
    if found.ready:
        return web.json_response(told)
    return web.json_response(told | {"reason": found.reason}, status=503, headers={"Retry-After": str(RETRY_AFTER)})
