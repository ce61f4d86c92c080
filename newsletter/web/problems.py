"""What an error becomes: a status, a heading, a sentence that says what to do, as a page or as JSON.

The one place that translates the tree of `core.errors` into HTTP. No page made here needs the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from newsletter.core import errors
from newsletter.core.i18n import N_, translations
from newsletter.subscribing.leaving import TooLate
from newsletter.subscribing.links import DataLinkLapsed
from newsletter.web.api.requests import Unauthorized
from newsletter.web.bodies import JSON, Malformed, TooLarge, Unsupported, media_type
from newsletter.web.console.guard import SignedOut
from newsletter.web.context import is_console, services
from newsletter.web.render import language_of, page

RETRY_AFTER = 30
"""Seconds after which a database that was away is worth another try."""


@dataclass(frozen=True)
class Problem:
    """Heading and sentence are in English; they are translated when they are shown."""

    status: int
    code: str
    heading: str
    sentence: str
    headers: Mapping[str, str] = field(default_factory=dict)
    field: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class _Kind:
    """How one class of errors is answered; without a sentence here, the error's own is shown."""

    error: type[Exception]
    status: int
    code: str
    heading: str
    sentence: str | None = None


_NO_SUCH_PAGE = N_("There is nothing at this address. Please check it, or begin with all letters.")
_LINK = N_("This link no longer works")
_LINK_SENTENCE = N_("It has lapsed, was used up, or lost a part on its way: if you copied it, please copy all of it.")
_SOON = N_("Please try again in a minute")
_AWAY = N_("Our database cannot be reached at the moment. Please do the same again then; doing it twice does no harm.")
_KINDS = (
    _Kind(TooLate, 410, "too_late", N_("This button no longer works")),
    _Kind(DataLinkLapsed, 410, "data_link_lapsed", _LINK),
    _Kind(errors.ExpiredToken, 410, "invalid_link", _LINK, _LINK_SENTENCE),
    _Kind(errors.InvalidToken, 404, "invalid_link", _LINK, _LINK_SENTENCE),
    _Kind(errors.NotFound, 404, "not_found", N_("There is no such page")),
    _Kind(Unsupported, 415, "unsupported_media_type", N_("This cannot be read")),
    _Kind(Malformed, 400, "malformed", N_("This cannot be read")),
    _Kind(errors.InvalidInput, 422, "invalid_input", N_("Please correct this")),
    _Kind(SignedOut, 401, "signed_out", N_("This is not allowed")),
    _Kind(Unauthorized, 401, "unauthorized", N_("This is not allowed")),
    _Kind(errors.Forbidden, 403, "forbidden", N_("This is not allowed")),
    _Kind(errors.Conflict, 409, "conflict", N_("This cannot be done as things stand")),
    _Kind(errors.TooMany, 429, "too_many", N_("Please try again later")),
    _Kind(errors.DatabaseUnavailable, 503, "unavailable", _SOON, _AWAY),
    _Kind(errors.SettingsError, 503, "unavailable", _SOON, _AWAY),  # PostgreSQL refused our password
    _Kind(errors.SchemaMismatch, 503, "unavailable", _SOON, _AWAY),
    _Kind(errors.RelayError, 503, "relay_unavailable", N_("Please try again later")),
)
"""The first that fits; subclasses come before their base."""
_UNFORESEEN = _Kind(
    Exception,
    500,
    "internal",
    N_("Something went wrong on our side"),
    N_("We have a record of it. Please try again in a few minutes."),
)
_BY_STATUS: Mapping[int, tuple[str, str, str]] = {
    404: ("not_found", N_("There is no such page"), _NO_SUCH_PAGE),
    405: (
        "method_not_allowed",
        N_("This page cannot be used in that way"),
        N_("Please open it from its link, and use the buttons on it."),
    ),
    408: ("timeout", N_("This took too long"), N_("What you sent did not arrive in time. Please send it again.")),
    413: ("too_large", N_("This is too much at once"), N_("More was sent than is taken here. Please send less.")),
}
_TO_PROGRAMS: Mapping[int, str] = {
    404: "There is nothing at this address: those of the API begin with /api/v1/campaigns.",
    405: "This address does not take that method: the header Allow says which it takes.",
}
"""What the API says instead, where the sentence above speaks of pages. Its others fit programs as well."""
_TO_OPERATORS: Mapping[int, str] = {404: "There is nothing at this address. Please check it, or go on from the first page."}
"""What the console says instead, which has no page of all letters."""


def problem_of(request: web.Request, error: Exception) -> Problem:
    """How an error is answered. What we did not foresee is a 500 that says nothing about itself."""
    if isinstance(error, web.HTTPException):
        return _from_http(error, _instead(request, error))
    kind = next((kind for kind in _KINDS if isinstance(error, kind.error)), _UNFORESEEN)
    return Problem(
        kind.status,
        kind.code,
        kind.heading,
        kind.sentence or str(error),
        _headers(error, kind.status),
        field=getattr(error, "field", None),
        line=getattr(error, "line", None),
    )


def _instead(request: web.Request, error: web.HTTPException) -> str | None:
    """What is said in place of the usual sentence: to programs, to operators, and of a limit to those who write at length."""
    if is_api(request):
        return _TO_PROGRAMS.get(error.status)
    if not is_console(request):
        return None
    if isinstance(error, TooLarge):
        return f"At most {error.largest // 1024:,} KB are taken here, and nothing was saved. Go back, and send less at once."
    return _TO_OPERATORS.get(error.status)


def _headers(error: Exception, status: int) -> Mapping[str, str]:
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}  # RFC 9110 section 11.6.1
    if isinstance(error, errors.TooMany):
        return {"Retry-After": str(error.retry_after)}
    return {"Retry-After": str(RETRY_AFTER)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def _from_http(error: web.HTTPException, sentence: str | None) -> Problem:
    """aiohttp's own. Its headers, such as Allow, belong to the answer; its text is for programmers."""
    kept = {name: value for name, value in error.headers.items() if name.lower() not in ("content-type", "content-length")}
    phrase = HTTPStatus(error.status).phrase
    code, heading, usual = _BY_STATUS.get(
        error.status, (phrase.lower().replace(" ", "_"), N_("This did not work"), N_("Please go back and try again."))
    )
    return Problem(error.status, code, heading, sentence or usual, kept)


def is_api(request: web.Request) -> bool:
    """Whether a program of an operator asks, which is spoken to in English, and not a visitor."""
    return request.path.startswith("/api/")


def wants_json(request: web.Request) -> bool:
    """Programs get JSON: on the API, and wherever they sent it or asked for it and not for a page."""
    accepted = request.headers.get("Accept", "").lower()
    return is_api(request) or media_type(request) == JSON or (JSON in accepted and "text/html" not in accepted)


def answer(request: web.Request, problem: Problem) -> web.Response:
    """The problem as whoever asks can read it."""
    response = as_json(request, problem) if wants_json(request) else _as_page(request, problem)
    response.headers.update(problem.headers)
    return response


def as_json(request: web.Request, problem: Problem) -> web.Response:
    sentence = (
        problem.sentence
        if is_api(request) or is_console(request)
        else translations(language_of(request)).gettext(problem.sentence)
    )
    told = {"code": problem.code, "message": sentence, "field": problem.field, "line": problem.line}
    return web.json_response({"error": {key: value for key, value in told.items() if value is not None}}, status=problem.status)


def _as_page(request: web.Request, problem: Problem) -> web.Response:
    language = language_of(request)
    words = translations(language)
    sentence = _NO_SUCH_PAGE if problem.code == "not_found" else problem.sentence
    return page(
        request,
        "problem.html",
        language,
        status=problem.status,
        heading=words.gettext(problem.heading),
        sentence=words.gettext(sentence),
        is_link=problem.code == "invalid_link",
        is_lost=problem.code == "not_found",
        is_late=problem.code == "too_late",
        asks_again=problem.code == "data_link_lapsed",
        confirm_hours=services(request).confirm_hours,
    )
