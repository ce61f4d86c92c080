"""What stands before every page of the console: who is it, may they, and does the form come from us.

    routes = ConsoleRoutes()

    @routes.get("/console/lists", Right.LOOK)
    async def lists(request: web.Request) -> web.Response: ...

A handler finds the session in `request[SESSION]`, and the fields of a form in `request[FORM]`. Without a session a page
leads to signing in and back again. A form that was sent then is kept where the route says so, which those say that people
write at length into: its text is there again afterwards (see `signin`), for whom the form says that it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from markupsafe import Markup
from multidict import MultiDict
from yarl import URL

from newsletter.core.errors import Forbidden, InvalidInput, NewsletterError
from newsletter.operators.rules import Right
from newsletter.operators.sessions import From, Session, form_token, is_form_token
from newsletter.web.bodies import LARGEST_FOR_PROGRAMS, File, Malformed, read_form_with_files
from newsletter.web.context import CONSOLE, LONGEST_AGENT, client_address, moment, printable, services
from newsletter.web.render import prefix

SESSION = web.RequestKey("session", Session)
FORM = web.RequestKey("form", MultiDict[str])
FILES = web.RequestKey("files", MultiDict[File])

HIDDEN_FIELD: Final = "seal"
WRITER_FIELD: Final = "writer"
MACHINERY: Final = frozenset(
    {HIDDEN_FIELD, "format", "go", "insert", "language", "layout", "reader", "seen", "version", "view", "words", WRITER_FIELD}
)
"""Fields of forms that nobody types into; the others are what somebody wrote."""
SIGN_IN: Final = f"{CONSOLE}/sign-in"
HOME: Final = f"{CONSOLE}/"


class SignedOut(NewsletterError):
    """There is no session, or none any more; a form that is to be kept is in the request."""


class ForgedForm(Forbidden):
    """A form that did not come from a page of ours, or from one of another session."""


@dataclass(frozen=True)
class Guarded:
    """A route and the right that it asks for; None: signing in itself, which asks for nothing."""

    method: str
    path: str
    right: Right | None


class ConsoleRoutes:
    """Like aiohttp's table, with a right for each route. `guarded` is what tests walk over."""

    def __init__(self) -> None:
        self.table = web.RouteTableDef()
        self.guarded: list[Guarded] = []

    def get(self, path: str, right: Right | None) -> Callable[[Handler], Handler]:
        return self._route("GET", path, right, LARGEST_FOR_PROGRAMS, keeps=False)

    def post(
        self, path: str, right: Right | None, *, largest: int = LARGEST_FOR_PROGRAMS, keeps: bool = False
    ) -> Callable[[Handler], Handler]:
        """`largest`: octets of the form. `keeps`: what was typed is carried through signing in; not where secrets are."""
        return self._route("POST", path, right, largest, keeps=keeps)

    def _route(self, method: str, path: str, right: Right | None, largest: int, *, keeps: bool) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            async def guarded(request: web.Request) -> web.StreamResponse:
                check_address(request)
                if request.method == "POST":
                    check_same_site(request)
                if right is not None:
                    await _check(request, right, keeps=keeps)
                if request.method == "POST":  # Not before: who may not send a file is not listened to for long.
                    request[FORM], request[FILES] = await _read(request, largest)
                    if right is not None:
                        await _check_seal(request)
                return await handler(request)

            self.guarded.append(Guarded(method, path, right))
            (self.table.get if method == "GET" else self.table.post)(path)(guarded)
            return handler

        return add


async def _read(request: web.Request, largest: int) -> tuple[MultiDict[str], MultiDict[File]]:
    """U+0000, which no browser lets anybody type and no column of text holds, becomes a mark that something was there."""
    fields, files = await read_form_with_files(request, largest)
    return MultiDict((name, value.replace("\0", "\ufffd")) for name, value in fields.items()), files


async def _check(request: web.Request, right: Right, *, keeps: bool) -> None:
    """Raises `SignedOut` and `Forbidden`. What is refused is in the audit log."""
    session, sessions = await session_of(request), services(request).sessions
    if session is None or not session.is_whole:
        if session is None:
            await sessions.note_ended(cookie(request), now=moment(request))
        request[FORM] = (await _read(request, LARGEST_FOR_PROGRAMS))[0] if keeps else MultiDict()
        raise SignedOut("Please sign in.")
    request[SESSION] = session
    if not session.may(right):
        if keeps:  # A role that was taken away while somebody wrote: their text is shown, so that they can copy it.
            request[FORM] = (await _read(request, LARGEST_FOR_PROGRAMS))[0]
        await sessions.note_refused(session, f"{_route(request)}, as {session.role}", now=moment(request))
        raise Forbidden(f"Your role, {session.role}, does not allow this: ask an owner.")


async def _check_seal(request: web.Request) -> None:
    """Raises `ForgedForm`."""
    if not is_form_token(cookie(request), request[FORM].get(HIDDEN_FIELD, "")):
        what = f"{_route(request)}, a form that is not of this session"
        await services(request).sessions.note_refused(request[SESSION], what, now=moment(request))
        raise ForgedForm("This form is from another session, or not from here. Please open the page again.")


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else ''}"


def check_address(request: web.Request) -> None:
    """Raises `Malformed` for what no link of ours holds, and no column of text either."""
    if any("\0" in value for value in (*request.match_info.values(), *request.query.values())):
        raise Malformed("This address holds a character that no text has. Please follow a link here.")


def check_same_site(request: web.Request) -> None:
    """Browsers say where a form comes from, in Sec-Fetch-Site or in Origin. Raises `ForgedForm`."""
    said = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin", "")
    ours = str(URL(services(request).links.base_url).origin())
    if said != "same-origin" and not (said is None and origin == ours):
        raise ForgedForm("This form came from another site. Please open the page here, and send it again.")


async def session_of(request: web.Request) -> Session | None:
    """Whole or half, whoever it is."""
    given = cookie(request)
    return await services(request).sessions.session(given, now=moment(request)) if given else None


async def confirm(request: web.Request) -> None:
    """Ask for the password again, typed as `current`: an open browser alone must not do this. Raises `InvalidInput`."""
    current = request[FORM].get("current", "")
    if not current:
        raise InvalidInput("Please type your own password, too.", field="current")
    await services(request).sessions.confirm(request[SESSION], current, where_from(request), now=moment(request))


def cookie_name(request: web.Request) -> str:
    """The prefix makes browsers refuse one that a neighbouring host or an unencrypted page has set (RFC 6265bis)."""
    return "__Host-session" if _is_secure(request) else "session"


def cookie(request: web.Request) -> str:
    return request.cookies.get(cookie_name(request), "")


def set_cookie(request: web.Request, response: web.StreamResponse, value: str) -> None:
    """For the browser's session, at most: the end is the server's to say."""
    response.set_cookie(
        cookie_name(request), value, httponly=True, secure=_is_secure(request), samesite="Lax", path="/", max_age=None
    )


def drop_cookie(request: web.Request, response: web.StreamResponse) -> None:
    response.del_cookie(cookie_name(request), path="/", secure=_is_secure(request), httponly=True, samesite="Lax")


def seal(cookie: str) -> Markup:
    """The hidden field that every form of a session carries."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(HIDDEN_FIELD, form_token(cookie))


def writer_field(request: web.Request) -> Markup:
    """The hidden field of forms that are kept: whose text it is, so that nobody else who signs in is given it."""
    token = services(request).sessions.writer_token(request[SESSION].operator_id)
    return Markup('<input type="hidden" name="{}" value="{}">').format(WRITER_FIELD, token)


def writer_of(request: web.Request) -> int | None:
    """Whose text a form holds: the form says it, whoever has signed in or out in that browser since.

    Where it does not, the cookie of the session that has ended does. None: nobody knows.
    """
    sessions, said = services(request).sessions, request[FORM].get(WRITER_FIELD, "")
    return sessions.writer(said) if said else sessions.owner(cookie(request))


def where_from(request: web.Request) -> From:
    address = client_address(request)
    return From(str(address) if address else None, printable(request.headers.get("User-Agent", ""), LONGEST_AGENT))


def way_back(given: str) -> str:
    """Where to go after signing in: a page of the console, whatever stands in the link; else the first page."""
    parts = urlsplit(given) if given.isascii() and given.isprintable() and "\\" not in given else urlsplit("")
    is_ours = not parts.scheme and not parts.netloc and parts.path.startswith(HOME) and "//" not in given and ".." not in given
    return given if is_ours and not parts.path.startswith(SIGN_IN) else HOME


def see(request: web.Request, path: str, *, done: str = "") -> web.Response:
    """After a form: the page that shows what it did. `done` names the sentence that the page says of it."""
    target = URL(f"{prefix(request)}{path}", encoded=True)
    return web.Response(status=303, headers={"Location": str(target.update_query(done=done) if done else target)})


def _is_secure(request: web.Request) -> bool:
    return services(request).links.base_url.startswith("https://")
