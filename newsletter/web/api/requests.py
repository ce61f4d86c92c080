"""What every API handler does first: who calls, and what the body says."""

from __future__ import annotations

import json
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from newsletter.core.errors import InvalidInput, NewsletterError
from newsletter.operators.service import Caller, Scope
from newsletter.web.services import NOW, SERVICES

Model = TypeVar("Model", bound="Body")


class Unauthorized(NewsletterError):
    """No token, or one that is not valid (any more)."""


class Body(BaseModel):
    """A JSON object with these members and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


async def authorized(request: web.Request, scope: Scope) -> Caller:
    """Who calls. Raises `Unauthorized`, or `Forbidden` when the token lacks the scope."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    services = request.app[SERVICES]
    caller = await services.operators.caller(token.strip(), now=request[NOW]) if kind.lower() == "bearer" else None
    if caller is None:
        raise Unauthorized("This needs a valid API token: send the header `Authorization: Bearer nl_…`.")
    caller.need(scope)
    return caller


async def body(request: web.Request, model: type[Model]) -> Model:
    """The body as that model. Raises `InvalidInput` that names the member which is wrong."""
    if request.content_type != "application/json":
        raise InvalidInput("The body has to be JSON: send the header `Content-Type: application/json`.")
    try:
        given = json.loads((await request.read()).decode("utf-8"))
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON in UTF-8.") from None
    if not _is_text(given):
        raise InvalidInput("The body holds a character that no text has (U+0000, or half of a pair): leave it out.")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{field or 'The body'}: {first['msg']}.", field=field or None) from None


def _is_text(value: object) -> bool:
    """Whether PostgreSQL can hold every string in it: no NUL, no lone surrogate."""
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
        case dict():
            return all(_is_text(key) and _is_text(each) for key, each in value.items())
        case list():
            return all(map(_is_text, value))
    return True


def campaign_number(request: web.Request) -> int:
    """From the path, where the route lets digits through alone."""
    return int(request.match_info["number"])
