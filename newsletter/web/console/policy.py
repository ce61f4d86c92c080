"""Trust: the privacy policy with its versions, who helps us, and the record of processing."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from aiohttp import web

from newsletter.core.errors import Conflict, InvalidInput, NotFound
from newsletter.core.i18n import SOURCE_LANGUAGE, languages, translations
from newsletter.operators.rules import Right
from newsletter.privacy.policy import Subprocessor
from newsletter.privacy.publishing import LONGEST_REASON, Publication
from newsletter.privacy.record import record_markdown
from newsletter.web.console.guard import FORM, SESSION, ConsoleRoutes, see
from newsletter.web.console.shell import console_page, says
from newsletter.web.context import CONSOLE, moment, services

POLICY = f"{CONSOLE}/policy"
SUBPROCESSORS = f"{POLICY}/subprocessors"
_FIELDS = ("name", "purpose", "country", "safeguard", "hosts")

routes = ConsoleRoutes()
says(
    published="The policy as it is now is published.",
    told="The policy is published, and a campaign tells the readers of each list.",
    told_nobody="The policy is published. No list has confirmed readers, so there was nobody to tell.",
    subprocessor_added="The policy names it now. Publish it, so that this is a version that readers can go back to.",
    subprocessor_changed="Changed. Publish the policy, so that this is a version that readers can go back to.",
    subprocessor_removed="Removed. Publish the policy, so that this is a version that readers can go back to.",
)


@routes.get(POLICY, Right.LOOK)
async def show(request: web.Request) -> web.Response:
    return await _policy(request)


@routes.get(f"{POLICY}/versions/{{number:[0-9]{{1,9}}}}", Right.LOOK)
async def show_version(request: web.Request) -> web.Response:
    version, changes = await services(request).policy.changes_in(int(request.match_info["number"]))
    title = f"Version {version.version}"
    return await console_page(request, "policy_version.html", title=title, version=version, changes=changes)


@routes.get(f"{POLICY}/record.json", Right.LOOK)
async def record_json(request: web.Request) -> web.Response:
    record = await services(request).policy.record(_language(request))
    text = json.dumps(dataclasses.asdict(record), indent=2, ensure_ascii=False)
    return _download(text, "record-of-processing.json", "application/json")


@routes.get(f"{POLICY}/record.md", Right.LOOK)
async def record_text(request: web.Request) -> web.Response:
    language = _language(request)
    record = await services(request).policy.record(language)
    base_url = services(request).links.base_url
    text = record_markdown(record, translations(language), language, base_url=base_url, now=moment(request))
    return _download(text, "record-of-processing.md", "text/markdown")


@routes.post(f"{POLICY}/publish", Right.OWN, keeps=True)
async def publish(request: web.Request) -> web.Response:
    form, policy = request[FORM], services(request).policy
    tell, reason = form.get("tell", ""), form.get("reason", "")
    try:
        if tell == "mail":
            await policy.confirm_audience(form.get("readers", ""))
        done = await policy.publish(
            notify=tell == "mail",
            no_notice=reason if tell == "nobody" else None,
            by=request[SESSION].name,
            now=moment(request),
        )
    except InvalidInput as error:
        if error.field == "readers":
            return await _policy(request, problem=str(error), about="readers", status=422)
        said = (
            f"Say why readers are not told, in 1 to {LONGEST_REASON} characters: the reason is kept with the version."
            if tell == "nobody"
            else "Choose whether readers are told."
        )
        return await _policy(request, problem=said, about="reason" if tell == "nobody" else "tell", status=422)
    except Conflict as error:
        return await _policy(request, trouble=str(error), status=409)
    return _published(request, done)


@routes.post(f"{POLICY}/notify", Right.OWN)
async def notify(request: web.Request) -> web.Response:
    try:
        await services(request).policy.confirm_audience(request[FORM].get("readers", ""))
        done = await services(request).policy.notify(by=request[SESSION].name, now=moment(request))
    except InvalidInput as error:
        return await _policy(request, trouble=str(error), status=422)
    except Conflict as error:
        return await _policy(request, trouble=str(error), status=409)
    return _published(request, done)


def _published(request: web.Request, done: Publication) -> web.Response:
    return see(request, POLICY, done="published" if done.notice != "mailed" else "told" if done.campaigns else "told_nobody")


async def _policy(
    request: web.Request, *, problem: str = "", about: str = "", trouble: str = "", status: int = 200
) -> web.Response:
    policy, form = services(request).policy, request[FORM] if request.method == "POST" else {}
    shown, (newest, changes) = await policy.show(SOURCE_LANGUAGE), await policy.diff()
    return await console_page(
        request,
        "policy.html",
        status=status,
        title="Policy",
        missing=[f"NEWSLETTER_{name.upper()}" for name in shown.missing],
        versions=shown.versions,
        newest=newest,
        changes=changes,
        audience=await policy.audience(),
        notice=await policy.notice(SOURCE_LANGUAGE) if changes else None,
        readers=form.get("readers", ""),
        unnamed=await policy.unnamed_relays(),
        subprocessors=await services(request).subprocessors.all(),
        languages=languages(),
        tell=form.get("tell", ""),
        reason=form.get("reason", ""),
        problem=problem,
        about=about,
        trouble_said=trouble,
    )


# Who helps us.


@routes.get(SUBPROCESSORS, Right.OWN)
async def show_subprocessors(request: web.Request) -> web.Response:
    return await _subprocessors(request)


@routes.post(SUBPROCESSORS, Right.OWN, keeps=True)
async def change_subprocessor(request: web.Request) -> web.Response:
    """One form each: `do` says what. They are kept by name, and names are no part of an address."""
    do, given = request[FORM].get("do", ""), {name: request[FORM].get(name, "") for name in _FIELDS}
    try:
        done = await _change(request, do, given)
    except InvalidInput as error:
        field = "hosts" if error.field == "host" else error.field or ""
        return await _subprocessors(request, do=do, given=given, problem=str(error), field=field, status=422)
    except Conflict:
        said = "There is one of that name already: change it above."
        return await _subprocessors(request, do=do, given=given, problem=said, field="name", status=409)
    except NotFound:
        said = "It was removed meanwhile. Add it, if it is to be named."
        return await _subprocessors(request, do="add", given=given, problem=said, field="name", status=404)
    return see(request, SUBPROCESSORS, done=done)


async def _change(request: web.Request, do: str, given: dict[str, str]) -> str:
    """The word of what was done. Raises as the service does."""
    its, by, now = services(request).subprocessors, request[SESSION].name, moment(request)
    hosts = given["hosts"].replace(",", " ").split()
    match do:
        case "add":
            new = Subprocessor(given["name"], given["purpose"], given["country"], given["safeguard"], hosts)
            await its.add(new, by=by, now=now)
            return "subprocessor_added"
        case "edit":
            said = {name: given[name] for name in ("purpose", "country", "safeguard")}
            await its.edit(given["name"], by=by, now=now, hosts=hosts, **said)
            return "subprocessor_changed"
        case "remove":
            await its.remove(given["name"], by=by, now=now)
            return "subprocessor_removed"
    raise InvalidInput("Use one of the buttons.")


async def _subprocessors(
    request: web.Request,
    *,
    do: str = "",
    given: dict[str, str] | None = None,
    problem: str = "",
    field: str = "",
    status: int = 200,
) -> web.Response:
    nothing: dict[str, Any] = dict.fromkeys(_FIELDS, "")
    return await console_page(
        request,
        "subprocessors.html",
        status=status,
        title="Who helps us",
        subprocessors=await services(request).subprocessors.all(),
        unnamed=await services(request).policy.unnamed_relays(),
        do=do,
        given=given or nothing,
        nothing=nothing,
        problem=problem,
        field=field,
    )


def _language(request: web.Request) -> str:
    asked = request.query.get("language", SOURCE_LANGUAGE)
    return asked if asked in languages() else SOURCE_LANGUAGE


def _download(text: str, name: str, kind: str) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=headers)
