"""What every API handler does first: who calls, and what the body says."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from newsletter.core.errors import Forbidden, InvalidInput, NewsletterError
from newsletter.operators.rules import Scope
from newsletter.operators.service import Caller
from newsletter.web.bodies import LARGEST_FOR_PROGRAMS, DoesNotFit, read_json
from newsletter.web.context import moment, services

Model = TypeVar("Model", bound="Body")


class Unauthorized(NewsletterError):
    """No token, or one that is not valid (any more)."""


class Body(BaseModel):
    """A JSON object with these members and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


async def authorized(request: web.Request, scope: Scope) -> Caller:
    """Who calls. Raises `Unauthorized`, or `Forbidden` when the token lacks the scope."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    known = kind.lower() == "bearer"
    caller = await services(request).operators.caller(token.strip(), now=moment(request)) if known else None
    if caller is None:
        raise Unauthorized("This needs a valid API token: send the header `Authorization: Bearer nl_…`.")
    try:
        caller.need(scope)
    except Forbidden:
        await services(request).operators.note_refused(caller, f"an API token without {scope}", now=moment(request))
        raise
    return caller


async def body(request: web.Request, model: type[Model]) -> Model:
    """The body as that model. Raises like `read_json`, with a sentence for programmers where it does not fit."""
    try:
        return await read_json(request, model, LARGEST_FOR_PROGRAMS)
    except DoesNotFit as error:
        raise InvalidInput(f"{error.field or 'The body'}: {error.reason}.", field=error.field) from None


def campaign_number(request: web.Request) -> int:
    """From the path, where the route lets digits through alone."""
    return int(request.match_info["number"])
