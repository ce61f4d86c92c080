"""Writing a campaign: drafts that are saved whatever is wrong with them, their versions, and who else is at it.

A save names the version that it began from. Where somebody else has saved since, nothing is overwritten: `Overtaken` holds
theirs, so that a page can show both. A draft that cannot become a mail is kept with the reason; starting refuses it, here
(`Campaigns.send`) and in the database (statement `start_campaign`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.campaigns import store, writing_store
from newsletter.campaigns.content import CompiledContent, Draft, Format, Reader, RenderedMail
from newsletter.campaigns.framing import Framing, check_language
from newsletter.campaigns.rules import OPEN_FOR, thinned
from newsletter.campaigns.service import Campaigns
from newsletter.campaigns.trials import Unwanted
from newsletter.campaigns.writing_store import VersionLine, VersionRow, WrittenLanguage, WrittenRow
from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, InvalidAddress, InvalidContent, InvalidInput, NotFound, RelayError, TooMany
from newsletter.core.i18n import long_date
from newsletter.delivery.headers import check_header_text
from newsletter.delivery.rules import DeliveryState, Outcome
from newsletter.subscribing.lists import MailingList, list_by_id, list_by_slug

MOST_STORED = 500_000
"""Characters of a body that are kept. What can become a mail is smaller; what was typed is not lost for being too long."""
LONGEST_LINE = 300
"""Characters of a subject or preheader that are kept."""
MOST_TESTED = 5
"""Addresses that one test goes to."""
SITTING = timedelta(minutes=30)
"""Saves of one operator that are no further apart are one line in the audit log."""
EXAMPLE = "Ada Lovelace"
"""The reader whose name a preview shows."""


@dataclass(frozen=True)
class Fault:
    """Why a draft cannot become a mail, and where."""

    sentence: str
    field: str = "body"
    line: int | None = None

    @property
    def said(self) -> str:
        """With its line, where the sentence does not name it."""
        named = self.line is None or f"ine {self.line}" in self.sentence
        return self.sentence if named else f"Line {self.line} of the {self.field}: {self.sentence}"


@dataclass(frozen=True)
class Page:
    """Where a draft stands: what the editor shows around the text."""

    campaign_id: int
    name: str
    state: str
    mailing_list: MailingList
    written: tuple[WrittenLanguage, ...]

    @property
    def may_be_written(self) -> bool:
        return self.state == "draft"


@dataclass(frozen=True)
class Text:
    """One language's words, as they are stored. `version` 0: nothing was written yet."""

    draft: Draft
    version: int
    fault: Fault | None = None


@dataclass(frozen=True)
class Saved:
    """What came of a save. `is_new` false: it held nothing new."""

    version: int
    fault: Fault | None
    is_new: bool


@dataclass(frozen=True)
class Tested:
    """What became of one address of a test."""

    address: str
    taken: bool
    said: str


class Overtaken(Conflict):
    """Somebody else has saved since, or left the language out; nothing was overwritten. `theirs` is what is stored now."""

    def __init__(self, theirs: Text, by: str, at: datetime | None) -> None:
        self.is_left_out = theirs.version == 0
        """There is nothing of theirs to see."""
        who = by or "A program, or somebody who is gone,"
        super().__init__(
            "Somebody has left this language out while you were writing: nothing was saved."
            if self.is_left_out
            else f"{who} has saved another version while you were writing: nothing was overwritten."
        )
        self.theirs = theirs
        self.by = by
        self.at = at


class Writing:
    """What operators do with a draft. `by` names the operator."""

    def __init__(self, db: Database, framing: Framing, campaigns: Campaigns, audit: Audit) -> None:
        self._db = db
        self._framing = framing
        self._campaigns = campaigns
        self._audit = audit

    async def begin(
        self, slug: str, name: str, languages: Sequence[str], layout_id: int | None, *, by: str, now: datetime
    ) -> int:
        """A new draft with a text for each of the languages, empty or that of a layout; its number.

        Raises `InvalidInput` with the field that is wrong, `NotFound` for a list or layout that there is not.
        """
        name = check_name(name)
        mailing_list = await list_by_slug(self._db, slug)
        if mailing_list.closed:
            raise InvalidInput("This list is closed: nothing is sent to its readers any more.", field="list")
        chosen = list(dict.fromkeys(languages)) or [mailing_list.languages[0]]
        for language in chosen:
            check_language(language, mailing_list)
        start = await writing_store.layout(self._db, layout_id=layout_id) if layout_id is not None else None
        if layout_id is not None and start is None:
            raise InvalidInput("This layout was deleted: choose another, or none.", field="layout")
        drafts = [
            Draft(language, start.subject, start.preheader, Format(start.format), start.body)
            if start
            else Draft(language, "", "", Format.MARKDOWN, "")
            for language in chosen
        ]
        faults = [(await self._checked(draft, mailing_list))[1] for draft in drafts]
        async with self._db.transaction() as db:
            campaign_id = await store.add_campaign(
                db, list_id=mailing_list.list_id, name=name, uncertain_policy="resend", is_notice=False, now=now
            )
            for draft, fault in zip(drafts, faults, strict=True):
                await _put(db, campaign_id, draft, 1, fault, by, now)
            await self._audit(db, by, "campaign.create", f"campaign {campaign_id}", now)
        return campaign_id

    async def page(self, campaign_id: int) -> Page:
        """Raises `NotFound`."""
        row = await store.campaign(self._db, campaign_id=campaign_id) if 0 < campaign_id < 2**31 else None
        if row is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        mailing_list = await list_by_id(self._db, row.list_id)
        written = await writing_store.written_languages(self._db, campaign_id=campaign_id)
        order = {language: number for number, language in enumerate(mailing_list.languages)}
        written.sort(key=lambda each: order.get(each.language, len(order)))
        return Page(campaign_id, row.name, row.state, mailing_list, tuple(written))

    async def text(self, page: Page, language: str) -> Text:
        """What is written in that language. Raises `InvalidContent` for one that neither the list nor the campaign has."""
        if language not in {each.language for each in page.written}:
            check_language(language, page.mailing_list)
        row = await writing_store.written(self._db, campaign_id=page.campaign_id, language=language)
        if row is None:
            return Text(Draft(language, "", "", Format.MARKDOWN, ""), 0)
        return _text(row, (await self._checked(_text(row).draft, page.mailing_list))[1] if row.fault else None)

    async def save(self, campaign_id: int, draft: Draft, *, began_from: int, by: str, now: datetime) -> Saved:
        """Keep it, whatever is wrong with it.

        Raises `Overtaken`, `Conflict` when the campaign is no draft any more, and `InvalidInput` for what cannot be kept.
        """
        draft = _storable(draft)
        page = await self.page(campaign_id)
        check_language(draft.language, page.mailing_list)
        _, fault = await self._checked(draft, page.mailing_list)
        async with self._db.transaction() as db:
            await self._hold(db, campaign_id)
            current = await writing_store.written(db, campaign_id=campaign_id, language=draft.language)
            if current and _text(current).draft == draft:
                await writing_store.set_fault(
                    db,
                    campaign_id=campaign_id,
                    language=draft.language,
                    version=current.version,
                    fault=fault.sentence[:2000] if fault else None,
                )
                return Saved(current.version, fault, is_new=False)
            await self._refuse_overtaken(db, campaign_id, draft.language, current, began_from)
            version = await self._next(db, campaign_id, draft, fault, by, now)
            # One line for a sitting, and not one for each autosave: the versions say who saved what and when.
            if current is None or not await self._is_same_sitting(db, campaign_id, draft.language, version, by, now):
                await self._audit(db, by, "campaign.write", f"campaign {campaign_id}, {draft.language}", now)
        return Saved(version, fault, is_new=True)

    async def restore(self, campaign_id: int, language: str, version: int, *, by: str, now: datetime) -> Saved:
        """Make an earlier version the current one; what is there now stays a version. Raises `NotFound`, `Conflict`."""
        earlier = await self.version(campaign_id, language, version)
        draft = Draft(language, earlier.subject, earlier.preheader, Format(earlier.format), earlier.body)
        page = await self.page(campaign_id)
        _, fault = await self._checked(draft, page.mailing_list)
        async with self._db.transaction() as db:
            await self._hold(db, campaign_id)
            fresh = await self._next(db, campaign_id, draft, fault, by, now)
            await self._audit(db, by, "campaign.restore", f"campaign {campaign_id}, {language}, version {version}", now)
        return Saved(fresh, fault, is_new=True)

    async def leave_out(self, campaign_id: int, language: str, *, by: str, now: datetime) -> None:
        """Without this language; its versions stay. Raises `NotFound`, and `Conflict` for the only one that there is."""
        async with self._db.transaction() as db:
            await self._hold(db, campaign_id)
            if len(await writing_store.written_languages(db, campaign_id=campaign_id)) < 2:
                raise Conflict("A campaign needs one language at least: write in another before this one is left out.")
            await writing_store.keep_before(db, campaign_id=campaign_id, language=language)
            if not await writing_store.drop_content(db, campaign_id=campaign_id, language=language):
                raise NotFound("Nothing is written in this language.")
            await self._audit(db, by, "campaign.leave_out", f"campaign {campaign_id}, {language[:20]}", now)

    async def rename(self, campaign_id: int, name: str, *, by: str, now: datetime) -> None:
        """Raises `InvalidInput`, `Conflict`."""
        name = check_name(name)
        async with self._db.transaction() as db:
            await self._hold(db, campaign_id)
            if await writing_store.rename_campaign(db, campaign_id=campaign_id, name=name):
                await self._audit(db, by, "campaign.rename", f"campaign {campaign_id}", now)

    async def versions(self, campaign_id: int, language: str) -> list[VersionLine]:
        """Newest first."""
        return await writing_store.versions(self._db, campaign_id=campaign_id, language=language)

    async def version(self, campaign_id: int, language: str, version: int) -> VersionRow:
        """Raises `NotFound`."""
        found = (
            await writing_store.version(self._db, campaign_id=campaign_id, language=language, version=version)
            if 0 < version < 2**31 and "\0" not in language
            else None
        )
        if found is None:
            raise NotFound("This version is not there (any more): old ones are thinned out.")
        return found

    async def here(self, campaign_id: int, *, by: str, now: datetime) -> list[str]:
        """Note that `by` has it open; who else has. Raises `NotFound`."""
        await self._campaigns.status(campaign_id)
        async with self._db.transaction() as db:
            await writing_store.forget_open(db, before=now - OPEN_FOR)
            await writing_store.note_open(db, campaign_id=campaign_id, operator=by, now=now)
            return await writing_store.open_by(db, campaign_id=campaign_id, operator=by, since=now - OPEN_FOR)

    async def forget_open(self, *, now: datetime) -> int:
        """Who had something open a while ago, and nobody has opened anything since; how many were forgotten."""
        return await writing_store.forget_open(self._db, before=now - OPEN_FOR)

    async def preview(self, draft: Draft, mailing_list: MailingList, *, name: str, now: datetime) -> RenderedMail:
        """What a reader of that name would see, of a draft that need not be saved. Raises `InvalidContent`."""
        check_language(draft.language, mailing_list)
        return await asyncio.to_thread(self._previewed, draft, mailing_list, name, now)

    def _previewed(self, draft: Draft, mailing_list: MailingList, name: str, now: datetime) -> RenderedMail:
        content = self._framing.compile(draft, mailing_list)
        day = long_date(now.astimezone(mailing_list.zone), draft.language)
        return content.render(Reader(name[:100], day, f"{self._framing.base_url}/unsubscribe/…"))

    async def test(self, campaign_id: int, addresses: str, language: str, *, by: str, now: datetime) -> list[Tested]:
        """Send what is saved to up to five addresses, and what the relay said of each.

        Raises `InvalidInput` for none or too many, `InvalidContent` when it cannot become a mail.
        """
        given = list(dict.fromkeys(addresses.replace(",", " ").replace(";", " ").split()))
        if not given:
            raise InvalidInput("Write one address at least.", field="addresses")
        if len(given) > MOST_TESTED:
            raise InvalidInput(f"A test goes to {MOST_TESTED} addresses at most.", field="addresses")
        return [await self._test(campaign_id, each, language, by, now) for each in given]

    async def _test(self, campaign_id: int, address: str, language: str, by: str, now: datetime) -> Tested:
        try:
            address = parse_address(address).typed
            outcome = await self._campaigns.test(campaign_id, address, by=by, now=now, language=language, name=EXAMPLE)
        except (InvalidAddress, Unwanted, TooMany, RelayError) as error:
            return Tested(address, taken=False, said=str(error))
        return Tested(address, outcome.state is DeliveryState.ACCEPTED, _said(outcome))

    async def _checked(self, draft: Draft, mailing_list: MailingList) -> tuple[CompiledContent | None, Fault | None]:
        """Compiled, or what is wrong with it."""
        try:
            return await asyncio.to_thread(self._framing.compile, draft, mailing_list), None
        except InvalidContent as error:
            return None, Fault(str(error), error.field or "body", error.line)

    async def _hold(self, db: Connection, campaign_id: int) -> None:
        """Raises `Conflict` for what is not being written any more."""
        held = await writing_store.hold_draft(db, campaign_id=campaign_id) if 0 < campaign_id < 2**31 else None
        if held is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        if held.state == "scheduled":
            raise Conflict("This campaign is scheduled: take it off the schedule, then it can be changed.")
        if held.state != "draft":
            raise Conflict(f"This campaign is {held.state}: what readers have got cannot be changed any more. Copy it instead.")

    async def _refuse_overtaken(
        self, db: Connection, campaign_id: int, language: str, current: WrittenRow | None, began_from: int
    ) -> None:
        if (current.version if current else 0) == began_from:
            return
        if current is None:
            raise Overtaken(Text(Draft(language, "", "", Format.MARKDOWN, ""), 0), "", None)
        last = await writing_store.version(db, campaign_id=campaign_id, language=language, version=current.version)
        raise Overtaken(_text(current), last.saved_by if last else "", last.saved_at if last else None)

    async def _next(self, db: Connection, campaign_id: int, draft: Draft, fault: Fault | None, by: str, now: datetime) -> int:
        """The version after the last one. Old ones are thinned out."""
        await writing_store.keep_before(db, campaign_id=campaign_id, language=draft.language)
        version = 1 + await writing_store.last_version(db, campaign_id=campaign_id, language=draft.language)
        await _put(db, campaign_id, draft, version, fault, by, now)
        old = thinned(await writing_store.versions(db, campaign_id=campaign_id, language=draft.language), now)
        if old:
            await writing_store.drop_versions(db, campaign_id=campaign_id, language=draft.language, numbers=old)
        return version

    async def _is_same_sitting(
        self, db: Connection, campaign_id: int, language: str, version: int, by: str, now: datetime
    ) -> bool:
        before = await writing_store.version(db, campaign_id=campaign_id, language=language, version=version - 1)
        return before is not None and before.saved_by == by and now - before.saved_at < SITTING


def check_name(name: str) -> str:
    """Raises `InvalidInput`."""
    name = name.strip()
    if not 1 <= len(name) <= 200:
        raise InvalidInput("A campaign needs a name of 1 to 200 characters.", field="name")
    check_header_text(name, field="name")
    return name


async def _put(
    db: Connection, campaign_id: int, draft: Draft, version: int, fault: Fault | None, by: str, now: datetime
) -> None:
    words = {
        "campaign_id": campaign_id,
        "language": draft.language,
        "version": version,
        "subject": draft.subject,
        "preheader": draft.preheader,
        "format": draft.format.value,
        "body": draft.body,
    }
    await writing_store.save_content(db, **words, fault=fault.sentence[:2000] if fault else None)  # type: ignore[arg-type]
    await writing_store.add_version(db, **words, by=by, now=now)  # type: ignore[arg-type]


def _text(row: WrittenRow, fault: Fault | None = None) -> Text:
    draft = Draft(row.language, row.subject, row.preheader, Format(row.format), row.body)
    return Text(draft, row.version, fault or (Fault(row.fault) if row.fault else None))


def _storable(draft: Draft) -> Draft:
    """With line breaks as we keep them. Raises `InvalidInput` for what the database could not hold."""
    body = draft.body.replace("\r\n", "\n").replace("\r", "\n")
    for field, text, most in (
        ("subject", draft.subject, LONGEST_LINE),
        ("preheader", draft.preheader, LONGEST_LINE),
        ("body", body, MOST_STORED),
    ):
        if len(text) > most:
            raise InvalidInput(f"The {field} is longer than {most:,} characters: shorten it.", field=field)
        if "\0" in text:
            raise InvalidInput(f"The {field} holds a character that no text has (U+0000): delete it.", field=field)
    return Draft(draft.language, draft.subject, draft.preheader, draft.format, body)


def _said(outcome: Outcome) -> str:
    words = f"{outcome.code or ''} {outcome.reply}".strip()
    return words or "The relay gave no answer: it may have taken it."
