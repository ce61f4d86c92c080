"""Trust: the register of requests about people's data that somebody has to answer within a month, and what they wrote."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from newsletter.core.errors import InvalidInput, NotFound
from newsletter.operators.rules import Right
from newsletter.privacy.requests import CHANNELS, KINDS
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

REQUESTS = f"{CONSOLE}/requests"

ABOUT = {
    "access": "to see what is held",
    "portability": "to take it along",
    "rectification": "to correct it",
    "erasure": "to delete it",
    "restriction": "to pause mails",
    "objection": "an objection",
    "question": "a question",
}

MAILS = {
    "waiting": "What was written waits for a relay.",
    "refused": "The relay refused the mail with what was written: see whether NEWSLETTER_PRIVACY_CONTACT takes mail.",
    "lost": "What was written was never handed over, and is deleted.",
    "erased": "Whoever wrote was erased before it was mailed: there is nobody to answer.",
}
"""What became of the mail with the text, where it was not handed over."""

routes = ConsoleRoutes()
says(
    request_added="The request is entered. It is due within a month of the day it came.",
    request_done="The request is answered, and deleted from the register.",
)


@routes.get(REQUESTS, Right.READERS)
async def show(request: web.Request) -> web.Response:
    return await _register(request)


@routes.post(REQUESTS, Right.READERS, keeps=True)
async def add(request: web.Request) -> web.Response:
    form, now = request[FORM], moment(request)
    try:
        await services(request).register.add(
            form.get("kind", ""),
            form.get("channel", ""),
            note=form.get("note", ""),
            by=request[SESSION].name,
            now=now,
            received_at=_day(form.get("received", "")),
        )
    except InvalidInput as error:
        return await _register(request, problem=str(error), field=error.field or "kind")
    return see(request, REQUESTS, done="request_added")


@routes.post(f"{REQUESTS}/{{number:[0-9]{{1,18}}}}/read", Right.READERS)
async def read(request: web.Request) -> web.Response:
    """What was written on the page, where no relay has taken it. A POST, since it is written down who read it."""
    number = int(request.match_info["number"])
    message = await services(request).register.read(number, by=request[SESSION].name, now=moment(request))
    return await console_page(request, "request_message.html", title=f"Request {number}", message=message)


@routes.post(f"{REQUESTS}/{{number:[0-9]{{1,18}}}}/done", Right.READERS)
async def done(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    try:
        await services(request).register.done(number, by=request[SESSION].name, now=moment(request))
    except NotFound:
        raise NotFound("This request is not open any more: somebody else has answered it.") from None
    return see(request, REQUESTS, done="request_done")


def _day(given: str) -> datetime | None:
    """As a date field gives it; None: today. Raises `InvalidInput`."""
    if not given.strip():
        return None
    try:
        return datetime.strptime(given.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput("Write the day as year, month and day, such as 2026-11-21.", field="received") from None


async def _register(request: web.Request, *, problem: str = "", field: str = "") -> web.Response:
    form = request[FORM] if request.method == "POST" else {}
    return await console_page(
        request,
        "requests.html",
        status=422 if problem else 200,
        title="Requests",
        open=await services(request).register.open(),
        kinds=[(kind, ABOUT[kind]) for kind in KINDS],
        about=ABOUT,
        mails=MAILS,
        channels=CHANNELS,
        given={name: form.get(name, "") for name in ("kind", "channel", "received", "note")},
        problem=problem,
        field=field,
    )
