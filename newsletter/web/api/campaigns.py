"""/api/v1/campaigns: what `newsletter campaign` does, over HTTP."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign, Status
from newsletter.core.addresses import parse_address
from newsletter.core.errors import InvalidAddress, InvalidInput
from newsletter.operators.rules import Scope
from newsletter.web.api.requests import Body, authorized, body, campaign_number
from newsletter.web.context import moment, services
from newsletter.web.render import prefix

routes = web.RouteTableDef()
ALL = "/api/v1/campaigns"
ONE = ALL + "/{number:[0-9]{1,9}}"
PAGE = 50


class ContentBody(Body):
    """What was written in one language."""

    language: str
    subject: str
    body: str
    preheader: str = ""
    format: Literal["markdown", "html"] = "markdown"


class CampaignBody(Body):
    """A new campaign."""

    list_name: str = Field(alias="list")
    name: str
    contents: list[ContentBody] = Field(min_length=1, max_length=20)
    uncertain_policy: Literal["resend", "leave"] = "resend"


class TestBody(Body):
    """Whom to send a test to."""

    to: str
    language: str | None = None
    name: str = ""


class ScheduleBody(Body):
    """When to start it: a date and a time in the time zone of the list."""

    at: str


@routes.post(ALL)
async def create(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.WRITE)
    given = await body(request, CampaignBody)
    drafts = tuple(
        Draft(each.language, each.subject, each.preheader, Format(each.format), each.body) for each in given.contents
    )
    new = NewCampaign(given.list_name, given.name, drafts, given.uncertain_policy)
    campaigns = services(request).campaigns
    number = await campaigns.create(new, by=caller.operator, now=moment(request))
    place = {"Location": f"{prefix(request)}{ALL}/{number}"}
    return web.json_response(_status(await campaigns.status(number)), status=201, headers=place)


@routes.get(ALL)
async def overview(request: web.Request) -> web.Response:
    """Newest first; `next` is the address of the page that follows, where there is one."""
    await authorized(request, Scope.READ)
    before = request.query.get("before", str(2**31 - 1))
    if not re.fullmatch(r"[0-9]{1,10}", before) or not 0 < int(before) < 2**31:
        raise InvalidInput("`before` is a campaign's number.", field="before")
    found = await services(request).campaigns.overview(before=int(before), size=PAGE)
    following = f"{prefix(request)}{ALL}?before={found[-1].campaign_id}" if len(found) == PAGE else None
    return web.json_response({"campaigns": [_status(each) for each in found], "next": following})


@routes.get(ONE)
async def status(request: web.Request) -> web.Response:
    await authorized(request, Scope.READ)
    return await _answer(request)


@routes.get(ONE + "/preview")
async def preview(request: web.Request) -> web.Response:
    """The finished mail; `message` is the whole of it in base64, `notes` what there is to know before it is sent."""
    await authorized(request, Scope.READ)
    finished = await services(request).campaigns.preview(
        campaign_number(request),
        now=moment(request),
        language=request.query.get("language"),
        name=request.query.get("name", "")[:100],
    )
    return web.json_response(
        {
            "subject": finished.words.subject,
            "html": finished.words.html,
            "text": finished.words.text,
            "message": b64encode(finished.message).decode(),
            "notes": finished.notes,
        }
    )


@routes.post(ONE + "/test")
async def test(request: web.Request) -> web.Response:
    """Send it to one address now, with [Test] before its subject; the answer is the relay's."""
    caller = await authorized(request, Scope.WRITE)
    given = await body(request, TestBody)
    try:
        to = parse_address(given.to).typed
    except InvalidAddress as error:
        raise InvalidInput(str(error), field="to") from None
    outcome = await services(request).campaigns.test(
        campaign_number(request), to, by=caller.operator, now=moment(request), language=given.language, name=given.name
    )
    return web.json_response({"outcome": outcome.state, "code": outcome.code, "status": outcome.status, "reply": outcome.reply})


@routes.post(ONE + "/send")
async def send(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.SEND)
    await services(request).campaigns.send(campaign_number(request), by=caller.operator, now=moment(request))
    return await _answer(request, 202)


@routes.post(ONE + "/schedule")
async def schedule(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.SEND)
    given = await body(request, ScheduleBody)
    await services(request).scheduling.schedule(campaign_number(request), given.at, by=caller.operator, now=moment(request))
    return await _answer(request)


@routes.post(ONE + "/unschedule")
async def unschedule(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.SEND)
    await services(request).scheduling.unschedule(campaign_number(request), by=caller.operator, now=moment(request))
    return await _answer(request)


@routes.post(ONE + "/copy")
async def copy(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.WRITE)
    campaigns = services(request).campaigns
    number = await campaigns.copy(campaign_number(request), by=caller.operator, now=moment(request))
    place = {"Location": f"{prefix(request)}{ALL}/{number}"}
    return web.json_response(_status(await campaigns.status(number)), status=201, headers=place)


@routes.post(ONE + "/pause")
async def pause(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.SEND)
    await services(request).campaigns.pause(campaign_number(request), by=caller.operator, now=moment(request))
    return await _answer(request)


@routes.post(ONE + "/resume")
async def resume(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.SEND)
    await services(request).campaigns.resume(campaign_number(request), by=caller.operator, now=moment(request))
    return await _answer(request)


@routes.post(ONE + "/cancel")
async def cancel(request: web.Request) -> web.Response:
    caller = await authorized(request, Scope.SEND)
    await services(request).campaigns.cancel(campaign_number(request), by=caller.operator, now=moment(request))
    return await _answer(request)


async def _answer(request: web.Request, code: int = 200) -> web.Response:
    found = await services(request).campaigns.status(campaign_number(request))
    return web.json_response(_status(found), status=code)


def _status(found: Status) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.told().items()}
