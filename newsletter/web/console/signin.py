"""Signing in and out, links that set a password, and the text that somebody had typed when their session ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote, quote_plus

from aiohttp import web
from multidict import MultiDict

from newsletter.core.errors import Conflict, InvalidInput, InvalidToken, NotFound, TooMany
from newsletter.operators.passwords import check_same
from newsletter.operators.rules import SHORTEST_PASSWORD, Right
from newsletter.operators.sessions import SignedIn
from newsletter.web.bodies import LARGEST, LARGEST_FOR_PROGRAMS
from newsletter.web.console.guard import (
    FORM,
    HIDDEN_FIELD,
    HOME,
    MACHINERY,
    SESSION,
    SIGN_IN,
    WRITER_FIELD,
    ConsoleRoutes,
    cookie,
    drop_cookie,
    seal,
    see,
    session_of,
    set_cookie,
    way_back,
    where_from,
    writer_of,
)
from newsletter.web.console.shell import bare_page
from newsletter.web.context import CONSOLE, moment, services
from newsletter.web.render import prefix

_CODE = f"{SIGN_IN}/code"
_FORGOT = f"{CONSOLE}/forgot"
_WELCOME = f"{CONSOLE}/welcome/{{token}}"
MOST_KEPT = 500_000
"""Characters of a form that are carried through signing in."""
_NEVER_KEPT = frozenset({HIDDEN_FIELD, "password", "again", "current", "code"})
_LONGEST_FIELD = 2000
"""Characters of any other field that are looked at here, where everybody may send something."""

routes = ConsoleRoutes()


@routes.get(CONSOLE, None)
async def slash(request: web.Request) -> web.Response:
    return see(request, HOME)


@routes.get(SIGN_IN, None)
async def show(request: web.Request) -> web.Response:
    session = await session_of(request)
    if session is not None and session.is_whole:
        return see(request, way_back(request.query.get("next", "")))
    return _form(request, back=way_back(request.query.get("next", "")))


@routes.post(SIGN_IN, None)
async def sign_in(request: web.Request) -> web.Response:
    back, kept, given = way_back(_field(request, "next")), request[FORM].get("kept", ""), _field(request, "email")
    try:
        signed_in = await services(request).sessions.sign_in(
            given, _field(request, "password"), where_from(request), now=moment(request)
        )
    except (InvalidInput, TooMany) as error:
        status = 429 if isinstance(error, TooMany) else 422
        return _form(request, back=back, kept=kept, given=given, problem=str(error), status=status)
    if signed_in.needs_code:
        answer = _code_form(request, back=back, kept=kept)
        set_cookie(request, answer, signed_in.cookie)
        return answer
    return _let_in(request, signed_in)


@routes.post(_CODE, None)
async def give_code(request: web.Request) -> web.Response:
    back, kept = way_back(_field(request, "next")), request[FORM].get("kept", "")
    try:
        signed_in = await services(request).sessions.give_code(
            cookie(request), _field(request, "code")[:100], where_from(request), now=moment(request)
        )
    except NotFound as error:
        return _form(request, back=back, kept=kept, problem=str(error), status=422)
    except (InvalidInput, TooMany) as error:
        status = 429 if isinstance(error, TooMany) else 422
        return _code_form(request, back=back, kept=kept, problem=str(error), status=status)
    return _let_in(request, signed_in)


@routes.post(f"{CONSOLE}/sign-out", Right.LOOK)
async def sign_out(request: web.Request) -> web.Response:
    await services(request).sessions.sign_out(request[SESSION], now=moment(request))
    answer = see(request, SIGN_IN)
    drop_cookie(request, answer)
    return answer


@routes.get(_FORGOT, None)
async def show_forgot(request: web.Request) -> web.Response:
    return bare_page(request, "forgot.html", title="Forgot your password?", sent=False, problem="", given="")


@routes.post(_FORGOT, None, largest=LARGEST)
async def forgot(request: web.Request) -> web.Response:
    given = _field(request, "email")
    problem, status = "", 200
    try:
        await services(request).accounts.forgot(given, where_from(request), now=moment(request))
    except (InvalidInput, TooMany) as error:
        problem, status = str(error), 429 if isinstance(error, TooMany) else 422
    title = "Forgot your password?" if problem else "Look into your mail"
    return bare_page(request, "forgot.html", status=status, title=title, sent=not problem, problem=problem, given=given)


@routes.get(_WELCOME, None)
async def show_welcome(request: web.Request) -> web.Response:
    return await _welcome(request)


@routes.post(_WELCOME, None, largest=LARGEST)
async def welcome(request: web.Request) -> web.Response:
    """Sets the password, and then asks for it: who follows a link has shown that they know it."""
    form, token = request[FORM], request.match_info["token"]
    try:
        check_same(form.get("password", ""), form.get("again", ""))
        address = await services(request).accounts.welcome(
            token, form.get("password", ""), form.get("email"), now=moment(request)
        )
    except InvalidInput as error:
        return await _welcome(request, error, form)
    except Conflict as error:  # The address, which they have just typed, is somebody else's.
        return await _welcome(request, InvalidInput(f"{error} Please type another.", field="email"), form)
    answer = _form(request, back=HOME, given=address, done="Your password is set. Please sign in with it.")
    drop_cookie(request, answer)
    return answer


async def _welcome(request: web.Request, error: InvalidInput | None = None, form: MultiDict[str] | None = None) -> web.Response:
    try:
        found = await services(request).accounts.open_link(request.match_info["token"], now=moment(request))
    except InvalidToken:
        raise NotFound("This link does not work any more: ask for a new one.") from None
    return bare_page(
        request,
        "welcome.html",
        status=422 if error else 200,
        title=f"Welcome, {found.name}",
        link=found,
        shortest=SHORTEST_PASSWORD,
        given=form.get("email", "") if form else "",
        problem=str(error) if error else "",
        field=error.field if error else "",
    )


def signed_out(request: web.Request) -> web.Response:
    """In place of a page, for whoever is not signed in (any more). What they wrote is carried on, for them alone."""
    if request.method == "POST":
        fields = _fields(request)
        writer = writer_of(request)
        kept = json.dumps([writer, request.path, fields], ensure_ascii=False) if fields and writer is not None else ""
        if kept and _comes_back(kept):
            return _form(request, back=HOME, kept=kept, status=401)
        return _form(request, back=HOME, not_carried=_not_carried(fields), status=401)
    back = way_back(request.path_qs)
    return see(request, f"{SIGN_IN}?next={_quoted(back)}" if back != HOME else SIGN_IN)


def is_of_former_session(request: web.Request) -> bool:
    """A form that whoever is signed in now wrote in a session before: they have signed in again in another tab."""
    return (
        SESSION in request
        and FORM in request
        and bool(_fields(request))
        and (services(request).sessions.writer(request[FORM].get(WRITER_FIELD, "")) == request[SESSION].operator_id)
    )


def of_former_session(request: web.Request) -> web.Response:
    """What they wrote, in a form of this session. Nothing is done with it before they press its button."""
    return _kept_page(request, request.path, _fields(request), cookie(request), status=403)


def _fields(request: web.Request) -> list[tuple[str, str]]:
    return [pair for pair in request[FORM].items() if pair[0] not in _NEVER_KEPT]


def _kept_page(
    request: web.Request, path: str, fields: Sequence[tuple[str, str]], cookie: str, *, status: int = 200
) -> web.Response:
    return bare_page(
        request,
        "kept.html",
        status=status,
        title="What you wrote is still here",
        path=f"{prefix(request)}{path}",
        fields=fields,
        machinery=MACHINERY,
        fresh_seal=seal(cookie),
    )


def _not_carried(fields: Sequence[tuple[str, str]]) -> list[str]:
    """What somebody typed that cannot come along: shown once more, to whoever has just sent it, so that it is not lost."""
    return [value for name, value in fields if name not in MACHINERY and value.strip()]


def _field(request: web.Request, name: str) -> str:
    return request[FORM].get(name, "")[:_LONGEST_FIELD]


def _comes_back(kept: str) -> bool:
    """Whether the form to sign in is still one that we read, with it."""
    return len(kept) <= MOST_KEPT and len(quote_plus(kept, errors="replace")) <= LARGEST_FOR_PROGRAMS - LARGEST


def _quoted(path: str) -> str:
    return quote(path, safe="/")


def _let_in(request: web.Request, signed_in: SignedIn) -> web.Response:
    kept = _kept(request[FORM].get("kept", ""), services(request).sessions.owner(signed_in.cookie))
    answer = _kept_page(request, *kept, signed_in.cookie) if kept else see(request, way_back(_field(request, "next")))
    set_cookie(request, answer, signed_in.cookie)
    return answer


def _kept(given: str, operator_id: int | None) -> tuple[str, Sequence[tuple[str, str]]] | None:
    """What that operator wrote; None when it was somebody else.

    It went through the browser, so it may be anything: nothing is believed of it, and whoever sees it presses a button.
    """
    try:
        writer, path, fields = json.loads(given[:MOST_KEPT])
        pairs = [(str(name), str(value)) for name, value in fields]
    except (ValueError, TypeError, RecursionError):
        return None
    is_theirs = operator_id is not None and writer == operator_id
    return (path, pairs) if is_theirs and isinstance(path, str) and way_back(path) == path and pairs else None


def _form(
    request: web.Request,
    *,
    back: str,
    kept: str = "",
    not_carried: Sequence[str] = (),
    given: str = "",
    problem: str = "",
    done: str = "",
    status: int = 200,
) -> web.Response:
    return bare_page(
        request,
        "signin.html",
        status=status,
        title="Sign in",
        back=back,
        kept=kept,
        not_carried=not_carried,
        most_kept=MOST_KEPT,
        given=given,
        problem=problem,
        done=done,
    )


def _code_form(request: web.Request, *, back: str, kept: str, problem: str = "", status: int = 200) -> web.Response:
    return bare_page(request, "code.html", status=status, title="Your code", back=back, kept=kept, problem=problem)
