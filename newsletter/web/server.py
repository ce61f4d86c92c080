"""The web app and the process that serves it."""

from __future__ import annotations

import asyncio
import errno

from aiohttp import web

from newsletter.core.errors import SettingsError
from newsletter.core.logs import get_logger
from newsletter.web import api, bodies, console, public, static
from newsletter.web.bodies import LARGEST_FOR_PROGRAMS
from newsletter.web.console import live
from newsletter.web.console.shell import FACTS
from newsletter.web.middleware import MIDDLEWARES, secure
from newsletter.web.services import SERVICES, Services

FINISH_WITHIN = 5.0
"""Seconds that a request may go on after we were told to stop; aiohttp waits that long twice, and then cuts."""

log = get_logger(__name__)


def make_app(services: Services) -> web.Application:
    """All routes, around the services that they call."""
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=LARGEST_FOR_PROGRAMS)
    app[SERVICES] = services
    app[FACTS] = {}
    bodies.prepare(app)
    live.prepare(app)
    app.on_response_prepare.append(secure)
    public.add_routes(app)
    app.add_routes(static.routes)
    api.add_routes(app)
    console.add_routes(app)
    return app


async def serve(services: Services, *, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; then take no more connections and finish the requests that run.

    Raises `SettingsError` when the address cannot be listened on.
    """
    # Our own log has a line for each request, without paths: they hold tokens.
    runner = web.AppRunner(make_app(services), access_log=None, shutdown_timeout=FINISH_WITHIN)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        log.info("listening", port=port)
        await stop.wait()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                why = "is taken by another program: choose another with NEWSLETTER_PORT or --port"
            case errno.EACCES:
                why = "may not be used by this user: choose one above 1023 with NEWSLETTER_PORT or --port"
            case _:
                why = "cannot be listened on: correct NEWSLETTER_HOST or --host, NEWSLETTER_PORT or --port"
        raise SettingsError(f"Port {port} on {host} {why}.") from None
