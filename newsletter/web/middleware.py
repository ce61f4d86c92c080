"""What happens around every request: its moment in time, its log line, errors as answers, limits, security headers."""

from __future__ import annotations

import time
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from newsletter.core.logs import get_logger, network_of
from newsletter.web.bodies import LARGEST, LARGEST_FILE, LARGEST_FOR_PROGRAMS, check_length
from newsletter.web.console import trouble
from newsletter.web.context import LEADS_TO, OPEN_TO, POLICY, client_address, is_console, services, set_moment
from newsletter.web.problems import answer, is_api, problem_of

_QUIET = ("/healthz", "/readyz", "/metrics")
_POLICY = (  # of public pages; those of the console allow one script of ours besides
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
)
_CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_CONSOLE_HEADERS = {"Referrer-Policy": "same-origin"}  # with none at all a browser does not say where a form comes from
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the addresses of our pages hold tokens
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}

log = get_logger(__name__)


@web.middleware
async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost. Logs the route's pattern and never the path, which may hold a token."""
    set_moment(request)
    began = time.perf_counter()
    response = await handler(request)
    route = route_of(request)
    write = log.debug if route in _QUIET else log.info
    address = client_address(request)
    write(
        "request",
        method=request.method if request.method in hdrs.METH_ALL else "other",
        route=route,
        status=response.status,
        ms=round((time.perf_counter() - began) * 1000, 1),
        network=network_of(str(address)) if address else "",
    )
    return response


def route_of(request: web.Request) -> str:
    """Such as `/confirm/{token}`; empty for a path that is none of ours."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is raised becomes an answer that says what to do; nothing of a stack trace leaves the house."""
    try:
        return await handler(request)
    except web.HTTPRedirection as redirect:
        return web.Response(status=redirect.status, headers={"Location": redirect.headers["Location"]})
    except Exception as error:
        problem = problem_of(request, error)
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            log.warning("request_put_off", route=route_of(request), reason=str(error))
        elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.exception("request_failed", route=route_of(request), status=problem.status)
        return await trouble.answer(request, problem, error) if is_console(request) else answer(request, problem)


@web.middleware
async def limit_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """By the length announced, on whichever route; what comes in chunks is counted while it is read."""
    check_length(request, _largest(request))
    return await handler(request)


def _largest(request: web.Request) -> int:
    """A console form may hold a file; which may not, its handler says."""
    if is_console(request):
        return LARGEST_FILE
    return LARGEST_FOR_PROGRAMS if is_api(request) else LARGEST


async def secure(request: web.Request, response: web.StreamResponse) -> None:
    """On everything that leaves the application, its errors included. What aiohttp cannot even parse never gets here."""
    form_action = f"'self' {request.get(LEADS_TO, '')}".strip()
    response.headers["Server"] = "newsletter"  # no versions
    usual = _CONSOLE_POLICY if is_console(request) else _POLICY.format(form_action=form_action)
    response.headers["Content-Security-Policy"] = request.get(POLICY, usual)
    for name, value in (_HEADERS | _CONSOLE_HEADERS if is_console(request) else _HEADERS).items():
        response.headers.setdefault(name, value)
    if services(request).links.base_url.startswith("https://"):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if OPEN_TO in request:
        response.headers["Access-Control-Allow-Origin"] = request[OPEN_TO]
        response.headers.add("Vary", "Origin")


MIDDLEWARES = (log_request, answer_errors, limit_bodies)
