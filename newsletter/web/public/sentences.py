"""Sentences that stand on several pages: each is declared once, with the job that keeps it."""

from __future__ import annotations

from gettext import NullTranslations

from aiohttp import web

from newsletter.web.context import services


def promise(request: web.Request, name: str, words: NullTranslations) -> str:
    """What the promise of that name says, with the deadline of this installation."""
    return next(each.sentence(words) for each in services(request).retention.promises if each.name == name)
