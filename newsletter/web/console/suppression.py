"""Trust: who must not be mailed, and what stays as proof of consent. An address goes in by a form, and stands in no link."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from newsletter.consent.rules import Reason
from newsletter.core.errors import InvalidInput, NotFound
from newsletter.operators.rules import Right
from newsletter.subscribing.lists import all_lists
from newsletter.subscribing.suppressing import BY_HAND
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

SUPPRESSION = f"{CONSOLE}/suppression"
EVIDENCE = f"{CONSOLE}/evidence"
REASONS = {
    Reason.LEFT: "unsubscribed, then deleted",
    Reason.COMPLAINED: "complained to their provider",
    Reason.BOUNCED: "the mailbox does not exist",
    Reason.REFUSED: "did not ask for it",
    Reason.OBJECTED: "objected: never again",
    Reason.RESTRICTED: "paused by the reader",
}

routes = ConsoleRoutes()
says(
    suppressed="It is suppressed. What it read has ended, and its address is deleted by the usual clock.",
    evidence_held="It is held: it stays while it is disputed, for three years at most.",
    evidence_released="It is released: what is older than the settings allow goes with the next run.",
)


@routes.get(SUPPRESSION, Right.READERS)
async def show(request: web.Request) -> web.Response:
    return await _suppression(request)


@routes.post(f"{SUPPRESSION}/check", Right.READERS)
async def check(request: web.Request) -> web.Response:
    try:
        found = await services(request).suppressing.check(
            request[FORM].get("email", ""), by=request[SESSION].name, now=moment(request)
        )
    except InvalidInput as error:
        return await _suppression(request, about="check", problem=str(error), field="email")
    return await _suppression(request, found=found, about="check")


@routes.post(SUPPRESSION, Right.READERS)
async def add(request: web.Request) -> web.Response:
    form = request[FORM]
    try:
        await services(request).suppressing.add(
            form.get("email", ""),
            _reason(form.get("reason", "")),
            slug=form.get("list", "") or None,
            by=request[SESSION].name,
            now=moment(request),
        )
    except InvalidInput as error:
        return await _suppression(request, about="add", problem=str(error), field=error.field or "email")
    except NotFound as error:
        return await _suppression(request, about="add", problem=str(error), field="list")
    return see(request, SUPPRESSION, done="suppressed")


def _reason(given: str) -> Reason:
    """Raises `InvalidInput`."""
    if given not in BY_HAND:
        raise InvalidInput("Choose a reason.", field="reason")
    return Reason(given)


async def _suppression(
    request: web.Request, *, found: Any = None, about: str = "", problem: str = "", field: str = ""
) -> web.Response:
    form = request[FORM] if request.method == "POST" else {}
    lists = await all_lists(services(request).db)
    counted_at, counts = await services(request).suppressing.counts_lately(now=moment(request))
    return await console_page(
        request,
        "suppression.html",
        status=422 if problem else 200,
        title="Suppression",
        found=found,
        counted_at=counted_at,
        counts=counts,
        slugs={each.list_id: each.slug for each in lists},
        by_hand=BY_HAND,
        reasons=REASONS,
        given={name: form.get(name, "") for name in ("email", "reason", "list")},
        about=about,
        problem=problem,
        field=field,
    )


# Proof of consent of people who were deleted.


@routes.get(EVIDENCE, Right.OWN)
async def show_evidence(request: web.Request) -> web.Response:
    return await _evidence(request)


@routes.post(EVIDENCE, Right.OWN)
async def open_evidence(request: web.Request) -> web.Response:
    """Every opening is recorded, with its reason."""
    form = request[FORM]
    try:
        found = await services(request).evidence.open(
            form.get("email", ""), reason=form.get("reason", ""), by=request[SESSION].name, now=moment(request)
        )
    except InvalidInput as error:
        return await _evidence(request, error=error)
    return await _evidence(request, found=found)


@routes.post(f"{EVIDENCE}/hold", Right.OWN)
async def hold_evidence(request: web.Request) -> web.Response:
    form = request[FORM]
    try:
        await services(request).evidence.hold(
            form.get("email", ""), reason=form.get("reason", ""), by=request[SESSION].name, now=moment(request)
        )
    except (InvalidInput, NotFound) as error:
        return await _evidence(request, error=error)
    return see(request, EVIDENCE, done="evidence_held")


@routes.post(f"{EVIDENCE}/release", Right.OWN)
async def release_evidence(request: web.Request) -> web.Response:
    try:
        await services(request).evidence.release(request[FORM].get("email", ""), by=request[SESSION].name, now=moment(request))
    except (InvalidInput, NotFound) as error:
        return await _evidence(request, error=error)
    return see(request, EVIDENCE, done="evidence_released")


async def _evidence(request: web.Request, *, found: Any = None, error: InvalidInput | NotFound | None = None) -> web.Response:
    form = request[FORM] if request.method == "POST" else {}
    is_about_address = isinstance(error, NotFound) or (error is not None and error.field == "email")
    return await console_page(
        request,
        "evidence.html",
        status=200 if error is None else 404 if isinstance(error, NotFound) else 422,
        title="Proof of consent",
        found=found,
        given={name: form.get(name, "") for name in ("email", "reason")},
        problem=str(error or "").partition(": --reason")[0],
        field="email" if is_about_address else "reason",
    )
