"""Layouts: what a campaign may begin from."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from newsletter.campaigns.content import Format
from newsletter.campaigns.layouts import PAGE, NewLayout
from newsletter.campaigns.merge import FIELDS
from newsletter.campaigns.writing import EXAMPLE, Fault
from newsletter.core.errors import Conflict, InvalidContent, InvalidInput
from newsletter.operators.rules import Right
from newsletter.web.console.frames import VIEWS, letter_frame, sentence_frame
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

LAYOUTS = f"{CONSOLE}/layouts"
ONE = f"{LAYOUTS}/{{number:[0-9]{{1,9}}}}"
EMPTY = NewLayout("", "", "", Format.MARKDOWN, "")

routes = ConsoleRoutes()
says(
    layout_made="The layout is there: campaigns can begin from it.",
    layout_saved="The layout is saved. Campaigns that began from it keep their text.",
    layout_copied="This is the copy.",
    layout_deleted="The layout is deleted. Campaigns that began from it keep their text.",
)


@routes.get(LAYOUTS, Right.LOOK)
async def show_all(request: web.Request) -> web.Response:
    after = request.query.get("after", "").replace("\0", "")
    found = await services(request).layouts.page(after=after, size=PAGE + 1)
    following = found[PAGE - 1].name if len(found) > PAGE else ""
    return await console_page(request, "layouts.html", title="Layouts", layouts=found[:PAGE], following=following)


@routes.get(f"{LAYOUTS}/new", Right.WRITE)
async def show_new(request: web.Request) -> web.Response:
    return await _form(request, EMPTY)


@routes.post(f"{LAYOUTS}/new", Right.WRITE, keeps=True)
async def create(request: web.Request) -> web.Response:
    new = _typed(request)
    try:
        await services(request).layouts.create(new, by=request[SESSION].name, now=moment(request))
    except InvalidInput as error:
        return await _form(request, new, error=error)
    return see(request, LAYOUTS, done="layout_made")


@routes.post(f"{LAYOUTS}/preview", Right.WRITE)
async def preview(request: web.Request) -> web.Response:
    """What was typed, in a frame; nothing is saved."""
    new, form = _typed(request), request[FORM]
    try:
        mail = await services(request).layouts.preview(new, name=form.get("reader", EXAMPLE), now=moment(request))
    except InvalidContent as error:
        return sentence_frame(request, Fault(str(error), error.field or "body", error.line).said)
    return letter_frame(request, mail, form.get("view", ""))


@routes.get(ONE, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    found = await services(request).layouts.one(number)
    shown = NewLayout(found.name, found.subject, found.preheader, Format(found.format), found.body)
    return await _form(request, shown, number=number, version=found.version)


@routes.post(ONE, Right.WRITE, keeps=True)
async def save(request: web.Request) -> web.Response:
    number, new, form = int(request.match_info["number"]), _typed(request), request[FORM]
    given = form.get("version", "")
    version = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0
    layouts = services(request).layouts
    try:
        await layouts.save(number, new, began_from=version, by=request[SESSION].name, now=moment(request))
    except InvalidInput as error:
        return await _form(request, new, number=number, version=version, error=error)
    except Conflict as error:
        theirs = await layouts.one(number)
        return await _form(request, new, number=number, version=theirs.version, overtaken=str(error), theirs=theirs.body)
    return see(request, f"{LAYOUTS}/{number}", done="layout_saved")


@routes.post(f"{ONE}/copy", Right.WRITE)
async def copy(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    fresh = await services(request).layouts.copy(number, by=request[SESSION].name, now=moment(request))
    return see(request, f"{LAYOUTS}/{fresh}", done="layout_copied")


@routes.post(f"{ONE}/delete", Right.WRITE)
async def delete(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    await services(request).layouts.delete(number, by=request[SESSION].name, now=moment(request))
    return see(request, LAYOUTS, done="layout_deleted")


def _typed(request: web.Request) -> NewLayout:
    form = request[FORM]
    written = Format.HTML if form.get("format") == Format.HTML else Format.MARKDOWN
    texts = {name: form.get(name, "") for name in ("name", "subject", "preheader", "body")}
    return replace(EMPTY, **texts, format=written)


async def _form(
    request: web.Request,
    shown: NewLayout,
    *,
    number: int = 0,
    version: int = 0,
    error: InvalidInput | None = None,
    overtaken: str = "",
    theirs: str = "",
) -> web.Response:
    form = request.get(FORM)
    return await console_page(
        request,
        "layout_edit.html",
        status=422 if error else 409 if overtaken else 200,
        title=(await services(request).layouts.one(number)).name if number else "New layout",
        shown=shown,
        number=number,
        version=version,
        problem=str(error) if error else "",
        line=error.line if error else None,
        field=(error.field or "body") if error else "",
        overtaken=overtaken,
        theirs=theirs,
        fields=FIELDS,
        views=VIEWS,
        view=form.get("view", "desktop") if form is not None else "desktop",
        reader=form.get("reader", EXAMPLE) if form is not None else EXAMPLE,
    )
