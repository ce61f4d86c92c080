"""House: the people who work here. Every rule about them is in `operators.accounts`.

Who lets somebody in, changes a role, sends a link to set a password, takes a second factor or lets somebody go is asked for
their own password: an open browser alone does none of it.
"""

from __future__ import annotations

from aiohttp import web

from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.operators.accounts import Invited
from newsletter.operators.rules import INVITATION_LIVES, ROLES, Right
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, confirm, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

OPERATORS = f"{CONSOLE}/operators"
ONE = f"{OPERATORS}/{{number:[0-9]{{1,9}}}}"
ROLE_WORDS = {
    "viewer": "sees figures and campaigns, and nobody's address",
    "editor": "writes and sends, and looks after readers",
    "owner": "may do everything, the house included",
}

routes = ConsoleRoutes()
says(
    invited="The invitation is on its way: its link sets a password, once, within three days.",
    linked_again="A new link is on its way: it sets a password, once, within three days.",
    role_changed="The role is changed, from the next click on.",
    factor_removed="The second factor is removed: their password alone signs them in until they set up a new one.",
    let_go="Address, password, sessions and tokens are gone. The log keeps the name for as long as it keeps what they did.",
    their_session_ended="That session has ended.",
)


@routes.get(OPERATORS, Right.OWN)
async def show(request: web.Request) -> web.Response:
    return await _operators(request)


@routes.post(OPERATORS, Right.OWN)
async def invite(request: web.Request) -> web.Response:
    form = request[FORM]
    try:
        await confirm(request)
        invited = await services(request).accounts.invite(
            form.get("name", ""),
            form.get("role", ""),
            form.get("email", "").strip() or None,
            by=request[SESSION].name,
            now=moment(request),
        )
    except InvalidInput as error:
        return await _operators(request, problem=str(error), field=error.field or "email", status=422)
    except Conflict as error:
        field = "name" if "name" in str(error) else "email"
        return await _operators(request, problem=str(error), field=field, status=409)
    return await _linked(request, invited, done="invited")


@routes.get(ONE, Right.OWN)
async def show_one(request: web.Request) -> web.Response:
    return await _operator(request)


@routes.post(f"{ONE}/role", Right.OWN)
async def change_role(request: web.Request) -> web.Response:
    try:
        await confirm(request)
        await services(request).accounts.change_role(
            _number(request), request[FORM].get("role", ""), by=request[SESSION].name, now=moment(request)
        )
    except (InvalidInput, Conflict) as error:
        return await _operator(request, problem=str(error), status=422 if isinstance(error, InvalidInput) else 409)
    if _number(request) == request[SESSION].operator_id:  # Who is no owner any more may not see this page.
        return see(request, f"{CONSOLE}/", done="role_changed")
    return see(request, f"{OPERATORS}/{_number(request)}", done="role_changed")


@routes.post(f"{ONE}/link", Right.OWN)
async def link_again(request: web.Request) -> web.Response:
    try:
        await confirm(request)
    except InvalidInput as error:
        return await _operator(request, problem=str(error), status=422)
    invited = await services(request).accounts.invite_again(_number(request), by=request[SESSION].name, now=moment(request))
    return await _linked(request, invited, done="linked_again")


@routes.post(f"{ONE}/second-factor", Right.OWN)
async def remove_second_factor(request: web.Request) -> web.Response:
    try:
        await confirm(request)
        await services(request).accounts.drop_second_factor(_number(request), by=request[SESSION].name, now=moment(request))
    except (InvalidInput, NotFound) as error:
        return await _operator(request, problem=str(error), status=422 if isinstance(error, InvalidInput) else 404)
    return see(request, f"{OPERATORS}/{_number(request)}", done="factor_removed")


@routes.post(f"{ONE}/session", Right.OWN)
async def end_session(request: web.Request) -> web.Response:
    """`session` is its number."""
    given = request[FORM].get("session", "")
    session_id = int(given) if given.isascii() and given.isdigit() and len(given) <= 18 else 0
    try:
        await services(request).sessions.revoke(_number(request), session_id, by=request[SESSION].name, now=moment(request))
    except NotFound as error:
        return await _operator(request, problem=str(error), status=404)
    return see(request, f"{OPERATORS}/{_number(request)}", done="their_session_ended")


@routes.post(f"{ONE}/let-go", Right.OWN)
async def let_go(request: web.Request) -> web.Response:
    try:
        await confirm(request)
        await services(request).accounts.let_go(_number(request), by=request[SESSION].name, now=moment(request))
    except (InvalidInput, Conflict) as error:
        return await _operator(request, problem=str(error), status=422 if isinstance(error, InvalidInput) else 409)
    return see(request, OPERATORS, done="let_go")


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


async def _linked(request: web.Request, invited: Invited, *, done: str) -> web.Response:
    """Where no mail could be sent, the link is shown, this once."""
    if invited.is_mailed:
        return see(request, f"{OPERATORS}/{invited.operator_id}", done=done)
    account = await services(request).accounts.own(invited.operator_id)
    return await console_page(
        request, "operator_link.html", title=f"A link for {account.name}", account=account, link=invited.link,
        days=INVITATION_LIVES.days,
    )  # fmt: skip


async def _operators(request: web.Request, *, problem: str = "", field: str = "", status: int = 200) -> web.Response:
    form = request[FORM] if request.method == "POST" else {}
    return await console_page(
        request,
        "operators.html",
        status=status,
        title="Operators",
        everybody=await services(request).accounts.everybody(),
        roles=ROLES,
        role_words=ROLE_WORDS,
        given={name: form.get(name, "") for name in ("name", "email", "role")},
        problem=problem,
        field=field,
    )


async def _operator(request: web.Request, *, problem: str = "", status: int = 200) -> web.Response:
    number = _number(request)
    account = await services(request).accounts.own(number)
    chosen = request[FORM].get("role", "") if request.method == "POST" else ""
    return await console_page(
        request,
        "operator.html",
        status=status,
        title=account.name,
        account=account,
        sessions=await services(request).sessions.open_sessions(number, now=moment(request)),
        chosen=chosen if chosen in ROLES else account.role,
        roles=ROLES,
        role_words=ROLE_WORDS,
        problem=problem,
    )
