"""Writing a campaign: beginning one, the editor with its preview, versions, and a test to addresses.

The editor is one form. Each of its buttons sends all that was typed, so that none of them loses it; without JavaScript they
save and show, with it the same happens by itself while one writes.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.merge import FIELDS
from newsletter.campaigns.writing import EXAMPLE, MOST_TESTED, Fault, Overtaken, Page, Saved, Tested
from newsletter.core.errors import Conflict, InvalidContent, InvalidInput
from newsletter.core.i18n import language_name
from newsletter.operators.rules import Right
from newsletter.subscribing.lists import all_lists
from newsletter.web.bodies import LARGEST_FOR_PROGRAMS
from newsletter.web.console.frames import VIEWS, letter_frame, sentence_frame
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

CAMPAIGNS = f"{CONSOLE}/campaigns"
NEW = f"{CAMPAIGNS}/new"
ONE = f"{CAMPAIGNS}/{{number:[0-9]{{1,9}}}}"
IMAGES_TO_PICK = 12

routes = ConsoleRoutes()
says(
    begun="The draft is there: write it.",
    saved="Saved.",
    restored="That version is the current one again; the one before it is kept as well.",
    left_out="That language is left out. What was written in it stays among its versions.",
    renamed="The campaign has a new name.",
)


@routes.get(NEW, Right.WRITE)
async def show_new(request: web.Request) -> web.Response:
    return await _new(request)


@routes.post(NEW, Right.WRITE, keeps=True)
async def begin(request: web.Request) -> web.Response:
    form = request[FORM]
    chosen = form.get("list", "")
    # A form without script offers the languages of every list: those of the chosen one count.
    languages = [each.partition(":")[2] for each in form.getall("language", []) if each.partition(":")[0] == chosen]
    layout = form.get("layout", "")
    try:
        number = await services(request).writing.begin(
            chosen,
            form.get("name", ""),
            languages,
            int(layout) if layout.isascii() and layout.isdecimal() and len(layout) < 10 else None,
            by=request[SESSION].name,
            now=moment(request),
        )
    except InvalidInput as error:
        return await _new(request, error)
    return see(request, f"{CAMPAIGNS}/{number}/edit", done="begun")


@routes.get(f"{ONE}/edit", Right.WRITE)
async def edit(request: web.Request) -> web.Response:
    page = await services(request).writing.page(_number(request))
    language = request.query.get("language") or _first(page)
    text = await services(request).writing.text(page, language)
    if not page.may_be_written:
        return await _to_read(request, page, text.draft)
    return await _editor(request, page, text.draft, version=text.version, fault=text.fault)


@routes.post(f"{ONE}/edit", Right.WRITE, keeps=True)
async def save(request: web.Request) -> web.Response:
    """Save, and go where the button leads: another language, the checks, or nowhere."""
    form, number = request[FORM], _number(request)
    draft = await _with_image(request, _typed(request))
    saved = await _saved(request, draft)
    if isinstance(saved, web.Response):
        return saved
    go = form.get("go", "")
    if go == "preflight":
        return see(request, f"{CAMPAIGNS}/{number}/preflight")
    page = await services(request).writing.page(number)
    language = go if go in _languages(page) else draft.language
    return see(request, f"{CAMPAIGNS}/{number}/edit?language={language}", done="saved")


@routes.post(f"{ONE}/autosave", Right.WRITE)
async def autosave(request: web.Request) -> web.Response:
    """For our script: the same as JSON. What is wrong comes as an error, in JSON too."""
    writing, number, session = services(request).writing, _number(request), request[SESSION]
    draft = _typed(request)
    saved = await writing.save(number, draft, began_from=_began_from(request), by=session.name, now=moment(request))
    others = await writing.here(number, by=session.name, now=moment(request))
    return web.json_response({"version": saved.version, "fault": _told(saved.fault), "others": others})


@routes.post(f"{ONE}/present", Right.WRITE)
async def present(request: web.Request) -> web.Response:
    """For our script: still here; who else is?"""
    others = await services(request).writing.here(_number(request), by=request[SESSION].name, now=moment(request))
    return web.json_response({"others": others})


@routes.get(f"{ONE}/preview", Right.LOOK)
async def preview(request: web.Request) -> web.Response:
    """What is stored, in a frame."""
    writing = services(request).writing
    page = await writing.page(_number(request))
    try:
        text = await writing.text(page, request.query.get("language") or _first(page))
    except InvalidContent as error:
        return sentence_frame(request, str(error))
    return await _preview(request, page, text.draft, request.query.get("view", ""), request.query.get("reader", EXAMPLE))


@routes.post(f"{ONE}/preview", Right.WRITE)
async def preview_typed(request: web.Request) -> web.Response:
    """What was typed, in a frame; nothing is saved."""
    page = await services(request).writing.page(_number(request))
    form = request[FORM]
    return await _preview(request, page, _typed(request), form.get("view", ""), form.get("reader", ""))


@routes.post(f"{ONE}/test", Right.WRITE)
async def test(request: web.Request) -> web.Response:
    """Save, and send what was saved to a few addresses."""
    form, number, writing = request[FORM], _number(request), services(request).writing
    draft = _typed(request)
    saved = await _saved(request, draft)
    if isinstance(saved, web.Response):
        return saved
    page = await writing.page(number)
    try:
        results = await writing.test(
            number, form.get("addresses", "")[:2000], draft.language, by=request[SESSION].name, now=moment(request)
        )
    except InvalidInput as error:
        return await _editor(request, page, draft, version=saved.version, fault=saved.fault, error=_about_test(error))
    return await _editor(request, page, draft, version=saved.version, fault=saved.fault, tested=results)


@routes.post(f"{ONE}/name", Right.WRITE)
async def rename(request: web.Request) -> web.Response:
    number = _number(request)
    try:
        await services(request).writing.rename(
            number, request[FORM].get("name", ""), by=request[SESSION].name, now=moment(request)
        )
    except InvalidInput as error:
        return await _versions(request, error=error)
    return see(request, f"{CAMPAIGNS}/{number}/edit", done="renamed")


@routes.get(f"{ONE}/versions", Right.WRITE)
async def versions(request: web.Request) -> web.Response:
    return await _versions(request)


@routes.post(f"{ONE}/versions/restore", Right.WRITE)
async def restore(request: web.Request) -> web.Response:
    form, number = request[FORM], _number(request)
    language = form.get("language", "")
    await services(request).writing.restore(
        number, language, _whole(form.get("version", "")), by=request[SESSION].name, now=moment(request)
    )
    return see(request, f"{CAMPAIGNS}/{number}/edit?language={_safe(language)}", done="restored")


@routes.post(f"{ONE}/leave-out", Right.WRITE)
async def leave_out(request: web.Request) -> web.Response:
    number = _number(request)
    await services(request).writing.leave_out(
        number, request[FORM].get("language", ""), by=request[SESSION].name, now=moment(request)
    )
    return see(request, f"{CAMPAIGNS}/{number}/edit", done="left_out")


# What was typed.


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


def _typed(request: web.Request) -> Draft:
    form = request[FORM]
    written = Format.HTML if form.get("format") == Format.HTML else Format.MARKDOWN
    return Draft(form.get("language", ""), form.get("subject", ""), form.get("preheader", ""), written, form.get("body", ""))


def _began_from(request: web.Request) -> int:
    return _whole(request[FORM].get("version", ""))


def _whole(given: str) -> int:
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0


def _safe(language: str) -> str:
    return language if language.replace("_", "").isascii() and language.replace("_", "").isalpha() else ""


async def _with_image(request: web.Request, draft: Draft) -> Draft:
    """With the image whose button was pressed at the end of the text: where there is no script that knows of a cursor."""
    if not (chosen := request[FORM].get("insert", "")):
        return draft
    image = await services(request).images.one(chosen)
    line = image.html if draft.format is Format.HTML else image.markdown
    return Draft(draft.language, draft.subject, draft.preheader, draft.format, f"{draft.body.rstrip()}\n\n{line}\n")


async def _saved(request: web.Request, draft: Draft) -> Saved | web.Response:
    """What came of it, or the page that shows why not, with all that was typed."""
    writing, number = services(request).writing, _number(request)
    by, now = request[SESSION].name, moment(request)
    try:
        return await writing.save(number, draft, began_from=_began_from(request), by=by, now=now)
    except Overtaken as error:
        page = await writing.page(number)
        return await _editor(request, page, draft, version=error.theirs.version, overtaken=error)
    except InvalidInput as error:
        page = await writing.page(number)
        return await _editor(request, page, draft, version=_began_from(request), error=error)
    except Conflict as error:
        page = await writing.page(number)
        stored = await writing.text(page, draft.language)
        return await _to_read(request, page, stored.draft, refused=str(error), typed=draft)


def _about_test(error: InvalidInput) -> InvalidInput:
    if error.field == "addresses":
        return error
    return InvalidInput(f"No test was sent, since this cannot become a mail yet. {error}", field="addresses")


# What is shown.


async def _new(request: web.Request, error: InvalidInput | None = None) -> web.Response:
    form = request.get(FORM)
    lists = [each for each in await all_lists(services(request).db) if not each.closed]
    return await console_page(
        request,
        "campaign_new.html",
        status=422 if error else 200,
        title="New campaign",
        lists=lists,
        layouts=await services(request).layouts.page(),
        language_name=language_name,
        given=form if form is not None else request.query,
        chosen=form.getall("language", []) if form is not None else [],
        problem=str(error) if error else "",
        field=(error.field or "name") if error else "",
    )


async def _editor(
    request: web.Request,
    page: Page,
    draft: Draft,
    *,
    version: int,
    fault: Fault | None = None,
    error: InvalidInput | None = None,
    overtaken: Overtaken | None = None,
    tested: list[Tested] | None = None,
) -> web.Response:
    form = request.get(FORM)
    others = await services(request).writing.here(page.campaign_id, by=request[SESSION].name, now=moment(request))
    return await console_page(
        request,
        "campaign_edit.html",
        status=409 if overtaken else 422 if error else 200,
        title=page.name,
        page=page,
        draft=draft,
        version=version,
        fault=fault,
        problem=str(error) if error else "",
        field=(error.field or "body") if error else "",
        overtaken=overtaken,
        unsaved=overtaken is not None or error is not None,
        tested=tested,
        addresses=form.get("addresses", "") if form is not None else "",
        view=form.get("view", "desktop") if form is not None else "desktop",
        views=VIEWS,
        reader=form.get("reader", EXAMPLE) if form is not None else EXAMPLE,
        others=others,
        languages=_languages(page),
        states={each.language: each.fault for each in page.written},
        language_name=language_name,
        fields=FIELDS,
        images=await services(request).images.page(size=IMAGES_TO_PICK),
        most_tested=MOST_TESTED,
        largest=LARGEST_FOR_PROGRAMS,
    )


async def _to_read(
    request: web.Request, page: Page, draft: Draft, *, refused: str = "", typed: Draft | None = None
) -> web.Response:
    """What cannot be written any more, without a form that could only fail; with what was typed meanwhile, to copy it."""
    view = request.query.get("view", "")
    return await console_page(
        request,
        "campaign_read.html",
        status=409 if refused else 200,
        title=page.name,
        page=page,
        draft=draft,
        refused=refused,
        typed=typed,
        view=view if view in VIEWS else "desktop",
        views=VIEWS,
        languages=[each.language for each in page.written],
        language_name=language_name,
    )


async def _versions(request: web.Request, *, error: InvalidInput | None = None) -> web.Response:
    writing, number = services(request).writing, _number(request)
    page = await writing.page(number)
    asked = request.query.get("language", "")
    language = asked if asked in _languages(page) else _first(page)
    shown = request.query.get("version", "")
    return await console_page(
        request,
        "campaign_versions.html",
        status=422 if error else 200,
        title="Versions",
        page=page,
        language=language,
        language_name=language_name,
        versions=await writing.versions(number, language),
        chosen=await writing.version(number, language, _whole(shown)) if shown else None,
        problem=str(error) if error else "",
        given=request[FORM].get("name", "") if FORM in request else page.name,
    )


async def _preview(request: web.Request, page: Page, draft: Draft, view: str, reader: str) -> web.Response:
    try:
        mail = await services(request).writing.preview(draft, page.mailing_list, name=reader, now=moment(request))
    except InvalidContent as error:
        return sentence_frame(request, Fault(str(error), error.field or "body", error.line).said)
    return letter_frame(request, mail, view)


def _languages(page: Page) -> list[str]:
    """Those of the list, and any other that something is written in."""
    return list(dict.fromkeys([*page.mailing_list.languages, *(each.language for each in page.written)]))


def _first(page: Page) -> str:
    return page.written[0].language if page.written else page.mailing_list.languages[0]


def _told(fault: Fault | None) -> dict[str, Any] | None:
    return {"said": fault.said, "field": fault.field, "line": fault.line} if fault else None
