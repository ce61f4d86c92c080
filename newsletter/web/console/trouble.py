"""What the console answers when something cannot be done: inside its frame where that is possible."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web

from newsletter.core.errors import Forbidden
from newsletter.web.console.guard import FORM, MACHINERY, SESSION, ForgedForm, SignedOut
from newsletter.web.console.shell import bare_page, console_page
from newsletter.web.console.signin import is_of_former_session, of_former_session, signed_out
from newsletter.web.problems import Problem, as_json, wants_json


async def answer(request: web.Request, problem: Problem, error: Exception) -> web.StreamResponse:
    """Programs, our script among them, get JSON. Without a session people are asked to sign in."""
    if wants_json(request):
        return as_json(request, problem)
    if isinstance(error, SignedOut):
        return signed_out(request)
    if isinstance(error, ForgedForm) and is_of_former_session(request):
        return of_former_session(request)
    typed = [(name, value) for name, value in request.get(FORM, {}).items() if name not in MACHINERY and value.strip()]
    is_refused = isinstance(error, Forbidden) and not isinstance(error, ForgedForm)
    shown: dict[str, Any] = {"title": problem.heading, "sentence": problem.sentence, "typed": typed if is_refused else []}
    if SESSION in request and problem.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        response = await console_page(request, "problem.html", status=problem.status, **shown)
    else:  # The frame needs the database.
        response = bare_page(request, "trouble.html", status=problem.status, **shown)
    response.headers.update(problem.headers)
    return response
