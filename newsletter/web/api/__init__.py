"""The JSON API for operators: a token in, JSON out. Errors are `{"error": {"code", "message", "field"?, "line"?}}`."""

from __future__ import annotations

from aiohttp import web

from newsletter.web.api.campaigns import routes as campaign_routes


def add_routes(app: web.Application) -> None:
    """Below /api/v1."""
    app.add_routes(campaign_routes)
