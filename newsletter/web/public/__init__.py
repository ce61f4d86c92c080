"""Pages that anybody can open. They work without JavaScript, set no cookie, and load nothing from elsewhere."""

from __future__ import annotations

from aiohttp import web

from newsletter.web.public import confirm, contact, data, health, images, metrics, privacy, signup, unsubscribe


def add_routes(app: web.Application) -> None:
    for part in (signup, confirm, unsubscribe, data, contact, privacy, images, health, metrics):
        app.add_routes(part.routes)
