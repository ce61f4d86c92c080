"""One's own account: password, second factor, where one is signed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import segno
from aiohttp import web

from newsletter.core.errors import Conflict, InvalidInput
from newsletter.operators.passwords import check_same
from newsletter.operators.rules import SHORTEST_PASSWORD, Right
from newsletter.operators.second_factor import Enrolment
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, confirm, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

ACCOUNT = f"{CONSOLE}/account"

routes = ConsoleRoutes()
says(
    changed="Your password is changed, and all other sessions have ended.",
    session_ended="That session has ended.",
    no_second_factor="The second factor is removed: your password alone signs you in.",
)


@routes.get(ACCOUNT, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    return await _account(request)


@routes.post(f"{ACCOUNT}/password", Right.LOOK)
async def change_password(request: web.Request) -> web.Response:
    form, session, accounts = request[FORM], request[SESSION], services(request).accounts
    try:
        check_same(form.get("password", ""), form.get("again", ""))
        await confirm(request)
        await accounts.change_password(
            session.operator_id, form.get("password", ""), keep_session=session.session_id, now=moment(request)
        )
    except InvalidInput as error:
        return await _account(request, error=error, about="password")
    return see(request, ACCOUNT, done="changed")


@routes.get(f"{ACCOUNT}/second-factor", Right.LOOK)
async def show_second_factor(request: web.Request) -> web.Response:
    return await _second_factor(request)


@routes.post(f"{ACCOUNT}/second-factor", Right.LOOK)
async def begin_second_factor(request: web.Request) -> web.Response:
    session = request[SESSION]
    try:
        await confirm(request)
        codes = await services(request).accounts.begin_second_factor(
            session.operator_id, request[FORM].get("code", "")[:20], keep_session=session.session_id, now=moment(request)
        )
    except InvalidInput as error:
        return await _second_factor(request, error)
    return await _recovery(request, codes)


@routes.post(f"{ACCOUNT}/recovery", Right.LOOK)
async def renew_recovery(request: web.Request) -> web.Response:
    try:
        await confirm(request)
    except InvalidInput as error:
        return await _account(request, error=error, about="recovery")
    codes = await services(request).accounts.renew_recovery(request[SESSION].operator_id, now=moment(request))
    return await _recovery(request, codes)


@routes.post(f"{ACCOUNT}/second-factor/remove", Right.LOOK)
async def remove_second_factor(request: web.Request) -> web.Response:
    session = request[SESSION]
    try:
        await confirm(request)
    except InvalidInput as error:
        return await _account(request, error=error, about="remove")
    await services(request).accounts.drop_second_factor(session.operator_id, by=session.name, now=moment(request))
    return see(request, ACCOUNT, done="no_second_factor")


@routes.post(f"{ACCOUNT}/sessions/{{number:[0-9]{{1,18}}}}/end", Right.LOOK)
async def end_session(request: web.Request) -> web.Response:
    session = request[SESSION]
    await services(request).sessions.revoke(
        session.operator_id, int(request.match_info["number"]), by=session.name, now=moment(request)
    )
    return see(request, ACCOUNT, done="session_ended")


async def _account(request: web.Request, *, error: InvalidInput | None = None, about: str = "") -> web.Response:
    session, now = request[SESSION], moment(request)
    return await console_page(
        request,
        "account.html",
        status=422 if error else 200,
        title="Your account",
        account=await services(request).accounts.own(session.operator_id),
        sessions=await services(request).sessions.open_sessions(session.operator_id, now=now),
        recovery_left=await services(request).accounts.recovery_left(session.operator_id),
        shortest=SHORTEST_PASSWORD,
        problem=str(error) if error else "",
        field=error.field if error else "",
        about=about,
    )


async def _second_factor(request: web.Request, error: InvalidInput | None = None) -> web.Response:
    session = request[SESSION]
    try:
        enrolment = await services(request).accounts.prepare_second_factor(session.operator_id, issuer=_issuer(request))
    except Conflict:
        return see(request, ACCOUNT)
    return await console_page(
        request,
        "second_factor.html",
        status=422 if error else 200,
        title="Set up a second factor",
        problem=str(error) if error else "",
        field=error.field if error else "",
        **_drawn(enrolment),
    )


def _drawn(enrolment: Enrolment) -> dict[str, Any]:
    """As a picture in the page itself: no address holds the secret, and no other server draws it."""
    picture = segno.make(enrolment.address, error="m").svg_data_uri(scale=5, border=3, dark="#000", light="#fff")
    groups = [enrolment.secret[start : start + 4] for start in range(0, len(enrolment.secret), 4)]
    return {"picture": picture, "secret": " ".join(groups)}


def _issuer(request: web.Request) -> str:
    return f"Newsletter {services(request).links.base_url.partition('://')[2]}".replace(":", " ")


async def _recovery(request: web.Request, codes: Sequence[str]) -> web.Response:
    return await console_page(request, "recovery.html", title="Your recovery codes", codes=codes)
