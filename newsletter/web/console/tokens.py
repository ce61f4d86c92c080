"""House: API tokens, each shown once. They outlive the session that made them, so that its password is asked for."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from aiohttp import web

from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.operators.rules import ROLES, Right, Scope, scopes_of
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, confirm, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

TOKENS = f"{CONSOLE}/tokens"
LONGEST_DAYS = 3650
SCOPES = {
    Scope.READ: "read campaigns and their figures",
    Scope.WRITE: "write campaigns, and send tests",
    Scope.SEND: "send, pause and cancel campaigns",
}

routes = ConsoleRoutes()
says(revoked="The token is revoked: it opens nothing any more.")


@routes.get(TOKENS, Right.OWN)
async def show(request: web.Request) -> web.Response:
    return await _tokens(request)


@routes.post(TOKENS, Right.OWN)
async def create(request: web.Request) -> web.Response:
    form, session = request[FORM], request[SESSION]
    try:
        await confirm(request)
        made = await services(request).operators.create_token(
            form.get("operator", session.name),
            form.get("name", ""),
            form.getall("scope", []),
            valid_for=_days(form.get("days", "")),
            by=session.name,
            now=moment(request),
            form=_form_number(form.get("form", "")),
        )
    except InvalidInput as error:
        return await _tokens(request, problem=str(error), field=error.field or "name", status=422)
    except NotFound as error:
        return await _tokens(request, problem=str(error), field="operator", status=404)
    except Conflict as error:  # The page that shows the token was loaded again, or the button pressed twice.
        return await _tokens(request, problem=str(error), status=409)
    return await _tokens(request, made=made)


@routes.post(f"{TOKENS}/{{number:[0-9]{{1,9}}}}/revoke", Right.OWN)
async def revoke(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    await services(request).operators.revoke_token(number, by=request[SESSION].name, now=moment(request))
    return see(request, TOKENS, done="revoked")


def _days(given: str) -> timedelta:
    """Raises `InvalidInput`."""
    days = int(given) if given.isascii() and given.isdigit() and len(given) <= 4 else 0
    if not 1 <= days <= LONGEST_DAYS:
        raise InvalidInput(f"A token is valid for 1 to {LONGEST_DAYS:,} days.", field="days")
    return timedelta(days=days)


def _form_number(given: str) -> UUID | None:
    """None for what no form of ours holds."""
    try:
        return UUID(given)
    except ValueError:
        return None


async def _tokens(
    request: web.Request, *, made: str = "", problem: str = "", field: str = "", status: int = 200
) -> web.Response:
    form = request[FORM] if problem else None
    return await console_page(
        request,
        "tokens.html",
        status=status,
        title="Tokens",
        tokens=await services(request).operators.tokens(),
        operators=[each.name for each in await services(request).accounts.everybody()],
        scopes=SCOPES,
        limited=[(role, sorted(scopes_of(role))) for role in ROLES if scopes_of(role) < frozenset(Scope)],
        made=made,
        form_number=uuid4(),
        given={
            "name": form.get("name", "") if form else "",
            "operator": form.get("operator", "") if form else request[SESSION].name,
            "days": form.get("days", "") if form else "365",
            "scopes": form.getall("scope", []) if form else [],
        },
        problem=problem,
        field=field,
    )
