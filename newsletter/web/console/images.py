"""The images of letters: upload, alternative text, delete."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from newsletter.campaigns.images import LONGEST_ALT, PAGE, Image
from newsletter.core.errors import InvalidInput, TooMany
from newsletter.operators.rules import Right
from newsletter.web.bodies import LARGEST_FILE
from newsletter.web.console.guard import FILES, FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

IMAGES = f"{CONSOLE}/images"
ONE = f"{IMAGES}/{{name:[0-9a-f]{{32}}}}"

routes = ConsoleRoutes()
says(
    image_added="The image is there: pick it in the editor.",
    image_known="The same image was there already: it is kept once.",
    image_described="The alternative text is saved. Letters that show the image already keep theirs.",
    image_deleted="The image is deleted.",
)


@routes.get(IMAGES, Right.LOOK)
async def show_all(request: web.Request) -> web.Response:
    return await _all(request)


@routes.post(IMAGES, Right.WRITE, largest=LARGEST_FILE)
async def upload(request: web.Request) -> web.Response:
    file = request[FILES].get("file")
    name, content = (file.name, file.content) if file else ("", b"")
    try:
        added = await services(request).images.add(
            name, content, request[FORM].get("alt", ""), by=request[SESSION].name, now=moment(request)
        )
    except (InvalidInput, TooMany) as error:
        return await _all(request, error)
    return see(request, f"{IMAGES}/{added.image.hash}", done="image_added" if added.is_new else "image_known")


@routes.get(ONE, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    return await _one(request)


@routes.post(f"{ONE}/alt", Right.WRITE, keeps=True)
async def describe(request: web.Request) -> web.Response:
    found = request.match_info["name"]
    try:
        await services(request).images.describe(
            found, request[FORM].get("alt", ""), by=request[SESSION].name, now=moment(request)
        )
    except InvalidInput as error:
        return await _one(request, error)
    return see(request, f"{IMAGES}/{found}", done="image_described")


@routes.post(f"{ONE}/delete", Right.WRITE)
async def delete(request: web.Request) -> web.Response:
    await services(request).images.delete(request.match_info["name"], by=request[SESSION].name, now=moment(request))
    return see(request, IMAGES, done="image_deleted")


async def _all(request: web.Request, error: InvalidInput | TooMany | None = None) -> web.Response:
    found = await services(request).images.page(before=_before(request.query.get("before", "")), size=PAGE + 1)
    return await console_page(
        request,
        "images.html",
        status=429 if isinstance(error, TooMany) else 422 if error else 200,
        title="Images",
        images=found[:PAGE],
        following=_cursor(found[PAGE - 1]) if len(found) > PAGE else "",
        alt=request[FORM].get("alt", "") if FORM in request else "",
        problem=str(error) if error else "",
        field=(getattr(error, "field", None) or "file") if error else "",
        longest=LONGEST_ALT,
    )


async def _one(request: web.Request, error: InvalidInput | None = None) -> web.Response:
    images, found = services(request).images, request.match_info["name"]
    image = await images.one(found)
    return await console_page(
        request,
        "image.html",
        status=422 if error else 200,
        title=image.name or "Image",
        image=image,
        users=await images.users(found),
        alt=request[FORM].get("alt", "") if FORM in request else image.alt,
        problem=str(error) if error else "",
        longest=LONGEST_ALT,
    )


def _cursor(last: Image) -> str:
    return f"{int(last.added_at.timestamp() * 1_000_000)}-{last.hash}"


def _before(given: str) -> tuple[datetime, str] | None:
    """From an address, so it may be anything: what is no cursor of ours is the first page."""
    micros, _, found = given.partition("-")
    if not (micros.isascii() and micros.isdecimal() and len(micros) < 18 and len(found) == 32 and found.isalnum()):
        return None
    seconds, rest = divmod(int(micros), 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest), found
