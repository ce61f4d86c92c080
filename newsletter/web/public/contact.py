"""Writing to whoever looks after people's data: for what the page behind a data link does not do by itself."""

from __future__ import annotations

from aiohttp import web

from newsletter.core.errors import InvalidInput
from newsletter.core.i18n import languages, translations
from newsletter.privacy.contact import LONGEST_MESSAGE
from newsletter.web.bodies import read_form
from newsletter.web.context import client_address, moment, services
from newsletter.web.render import language_of, page

routes = web.RouteTableDef()


@routes.get("/privacy/contact")
async def show(request: web.Request) -> web.Response:
    return _form_page(request, "", "", None)


@routes.post("/privacy/contact")
async def write(request: web.Request) -> web.Response:
    form = await read_form(request)
    language, address = language_of(request), client_address(request)
    given, message, network = form.get("email", ""), form.get("message", ""), str(address) if address else None
    try:
        if not form.get("comment"):
            await services(request).contact.write(given, message, language, network, now=moment(request))
    except InvalidInput as error:
        return _form_page(request, given, message, error)
    return page(request, "contact_sent.html", language)


def _form_page(request: web.Request, given: str, message: str, error: InvalidInput | None) -> web.Response:
    language = language_of(request)
    return page(
        request,
        "contact.html",
        language,
        status=422 if error else 200,
        switch_to=() if error else languages(),
        given=given,
        message=message,
        longest=LONGEST_MESSAGE,
        problem={"field": error.field, "sentence": translations(language).gettext(str(error))} if error else None,
    )
