"""Use cases of a campaign: create, preview, test, send, pause, resume, cancel, copy, status; each owns its transaction."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from newsletter.campaigns import reporting_store, store
from newsletter.campaigns.content import Draft, Format, RenderedMail
from newsletter.campaigns.framing import Framing, check_language
from newsletter.campaigns.letter import Letter
from newsletter.campaigns.reporting_store import Standing
from newsletter.campaigns.store import CampaignRow
from newsletter.campaigns.trials import ACTION, check_trial
from newsletter.consent.service import refuse_standstill
from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, InvalidContent, InvalidInput, NotFound
from newsletter.core.keys import Keyring, sha256
from newsletter.delivery import store as delivery
from newsletter.delivery.batches import plan_campaign
from newsletter.delivery.courier import Courier
from newsletter.delivery.headers import check_header_text
from newsletter.delivery.rules import DeliveryState, Outcome
from newsletter.delivery.signing import Signing
from newsletter.delivery.store import Reader
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import MailingList, keep_open, list_by_id, list_by_slug

SLOWER = "This content has conditions or filters that are worked out for each reader: it is sent more slowly."

NOBODY = UUID(int=0)
"""Whom the links in a preview or a test mail are about: they work and change nothing."""


@dataclass(frozen=True)
class NewCampaign:
    """What an operator hands in; one draft for each language."""

    list: str
    """Short name."""
    name: str
    drafts: tuple[Draft, ...]
    uncertain_policy: str = "resend"
    """`resend` or `leave`: what to do when a relay's answer after the last dot is missing."""
    is_notice: bool = False
    """Tells the readers of the list that the policy has changed; made by us, not by an operator."""


@dataclass(frozen=True)
class Status:
    """Where a campaign stands."""

    campaign_id: int
    name: str
    list: str
    state: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    planned: int
    """Confirmed readers when it was started."""
    totals: Mapping[str, int]
    """Readers by state of their delivery."""
    next_due: datetime | None
    """When something is tried again, while it is sending."""
    pause_reason: str | None = None
    """Why it paused by itself."""
    scheduled_at: datetime | None = None
    """When it starts, or was to start, by itself."""
    returned_reason: str | None = None
    """Why it did not, and is a draft again."""
    unsubscribed: int = 0
    """Readers who used the way out in its mail."""
    time_zone: str = "UTC"
    """Of its list."""

    def told(self) -> dict[str, Any]:
        """What programs are told, by the API and by `--json` alike."""
        shown = asdict(self)
        return {"campaign": shown.pop("campaign_id"), **shown}

    @property
    def settled(self) -> int:
        """Readers with an outcome."""
        return sum(count for state, count in self.totals.items() if state != DeliveryState.ATTEMPTING)


@dataclass(frozen=True)
class Preview:
    """The finished mail, and what there is to know before it is sent."""

    words: RenderedMail
    message: bytes
    notes: tuple[str, ...] = ()


class AudienceChanged(InvalidInput):
    """The list has another number of readers by now than the one that was confirmed."""

    def __init__(self, readers: int) -> None:
        super().__init__(f"The list has {readers:,} readers now: type that number to send to them.", field="readers")
        self.readers = readers


class WordsChanged(Conflict):
    """Other words are stored by now than those that the caller has looked at."""

    def __init__(self) -> None:
        super().__init__("Somebody has saved other words since you opened this page: look at them, then send or schedule it.")


class DraftRefused(InvalidContent):
    """One of several drafts cannot become a mail: the one in `language`."""

    def __init__(self, error: InvalidContent, language: str) -> None:
        super().__init__(str(error), field=error.field, line=error.line)
        self.language = language


def digest(drafts: Sequence[Draft]) -> str:
    """Of the words in all languages: whoever has seen them names them by it."""
    return sha256(json.dumps([asdict(draft) for draft in sorted(drafts, key=lambda each: each.language)])).hex()[:32]


class Campaigns:
    """What operators do with campaigns. `by` names the operator, for the audit log."""

    def __init__(
        self,
        db: Database,
        keyring: Keyring,
        links: Links,
        courier: Courier,
        signing: Signing,
        audit: Audit,
        *,
        erase_left_days: int,
    ) -> None:
        self._db = db
        self._keyring = keyring
        self._links = links
        self._courier = courier
        self._signing = signing
        self._audit = audit
        self._framing = Framing(links, erase_left_days=erase_left_days)

    async def create(self, new: NewCampaign, *, by: str, now: datetime) -> int:
        """A draft; returns its number.

        Raises `DraftRefused` with line and reason when a content cannot become a mail, `NotFound` when there is no such list.
        """
        mailing_list = await list_by_slug(self._db, new.list)
        await asyncio.to_thread(self._check_campaign, new, mailing_list)  # Hostile content may take seconds.
        async with self._db.transaction() as db:
            return await self._add(db, new, mailing_list, by, now)

    async def create_and_send(self, db: Connection, new: NewCampaign, *, by: str, now: datetime) -> int:
        """Both at once, in the caller's transaction: what is told to readers together with an act, or not at all.

        Returns its number. Raises as `create` does.
        """
        mailing_list = await list_by_slug(db, new.list)
        await asyncio.to_thread(self._check_campaign, new, mailing_list)
        campaign_id = await self._add(db, new, mailing_list, by, now)
        await self._start(db, campaign_id, mailing_list, by, now)
        return campaign_id

    async def _add(self, db: Connection, new: NewCampaign, mailing_list: MailingList, by: str, now: datetime) -> int:
        campaign_id = await store.add_campaign(
            db,
            list_id=mailing_list.list_id,
            name=new.name.strip(),
            uncertain_policy=new.uncertain_policy,
            is_notice=new.is_notice,
            now=now,
        )
        for draft in new.drafts:
            await store.put_content(
                db,
                campaign_id=campaign_id,
                language=draft.language,
                subject=draft.subject,
                preheader=draft.preheader,
                format=draft.format.value,
                body=draft.body,
            )
        await self._audit(db, by, "campaign.create", f"campaign {campaign_id}", now)
        return campaign_id

    def _check_campaign(self, new: NewCampaign, mailing_list: MailingList) -> None:
        if not 1 <= len(new.name.strip()) <= 200:
            raise InvalidInput("A campaign needs a name of 1 to 200 characters.", field="name")
        check_header_text(new.name, field="name")
        if not new.drafts:
            raise InvalidContent("A campaign needs a content in one language at least.", field="contents")
        if len({draft.language for draft in new.drafts}) < len(new.drafts):
            raise InvalidContent("There are two contents for one language: leave one of them out.", field="contents")
        if new.uncertain_policy not in ("resend", "leave"):
            raise InvalidInput("What to do with uncertain mails is resend or leave.", field="uncertain_policy")
        for draft in new.drafts:
            try:
                self._check_draft(draft, mailing_list)
            except InvalidContent as error:
                raise DraftRefused(error, draft.language) from None

    def _check_draft(self, draft: Draft, mailing_list: MailingList) -> None:
        check_language(draft.language, mailing_list)
        self._framing.compile(draft, mailing_list)

    async def _row(self, db: Connection, campaign_id: int) -> CampaignRow:
        found = await store.campaign(db, campaign_id=campaign_id) if 0 < campaign_id < 2**31 else None
        if found is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        return found

    async def drafts(self, campaign_id: int) -> Sequence[Draft]:
        """What was written, language by language."""
        await self._row(self._db, campaign_id)
        return await self._drafts(self._db, campaign_id)

    async def _drafts(self, db: Connection, campaign_id: int) -> Sequence[Draft]:
        rows = await store.contents(db, campaign_id=campaign_id)
        return [Draft(row.language, row.subject, row.preheader, Format(row.format), row.body) for row in rows]

    async def letter(self, campaign_id: int, language: str | None = None) -> Letter:
        """Compiled, in all its languages or in one that it was written in.

        For a campaign that was not started yet with a passing key, so that it can be looked at.

        Raises `InvalidContent` when nothing was written, or what was written cannot become a mail.
        """
        row = await self._row(self._db, campaign_id)
        mailing_list = await list_by_id(self._db, row.list_id)
        drafts = await self.drafts(campaign_id)
        if not drafts:
            raise InvalidContent(
                "Nothing is written yet: a campaign needs a content in one language at least.", field="contents"
            )
        if any(draft.language == language for draft in drafts):
            drafts = [draft for draft in drafts if draft.language == language]
        contents = {}
        for draft in drafts:
            try:
                contents[draft.language] = await asyncio.to_thread(self._framing.compile, draft, mailing_list)
            except InvalidContent as error:
                raise DraftRefused(error, draft.language) from None
        return Letter(
            campaign_id,
            mailing_list,
            contents,
            self._links,
            row.message_key or secrets.token_bytes(32),
            row.message_domain or mailing_list.sender.domain,
        )

    async def preview(self, campaign_id: int, *, now: datetime, language: str | None = None, name: str = "") -> Preview:
        """The finished mail for a reader that does not exist.

        Raises `InvalidInput` for a language that it was not written in.
        """
        letter = await self.letter(campaign_id, language)
        reader = self._nobody(letter, letter.mailing_list.sender.contact, language, name, now)
        has_logic = letter.contents[letter.language(reader)].has_logic
        return Preview(letter.render(reader), letter.compose(reader, now).data, (SLOWER,) if has_logic else ())

    async def test(
        self, campaign_id: int, address: str, *, by: str, now: datetime, language: str | None = None, name: str = ""
    ) -> Outcome:
        """Send the finished mail to one address now, its subject marked; returns what the relay said. Nothing of it is stored.

        Raises `InvalidAddress`, `InvalidInput` for a language that it was not written in, `Unwanted` and `TooMany` (see
        `trials`), and `RelayUnreachable` when there is no relay to hand it to.
        """
        letter = replace(await self.letter(campaign_id, language), is_trial=True)
        to = parse_address(address)
        reader = self._nobody(letter, to.typed, language, name, now)
        async with self._db.transaction() as db:
            await check_trial(db, self._keyring.subscriber_id(to.normal), by=by, now=now)
            await self._audit(db, by, ACTION, f"campaign {campaign_id}", now)
        sender_id = letter.mailing_list.sender.sender_id
        if await self._signing.signs(sender_id, at=now):
            letter = replace(letter, hashed=True)
        mail = letter.compose(reader, now)
        await self._signing.put_on([mail], now)
        return await self._courier.send(mail)

    def _nobody(self, letter: Letter, address: str, language: str | None, name: str, now: datetime) -> Reader:
        if language and language not in letter.contents:
            written = ", ".join(letter.contents)
            raise InvalidInput(f'The campaign was not written in "{language[:20]}", but in {written}.', field="language")
        chosen = language or letter.mailing_list.languages[0]
        return Reader(NOBODY, address, name, chosen, confirmed_at=now, attempts=1, first_at=now)

    async def audience(self, campaign_id: int) -> int:
        """Confirmed readers of its list at this moment. Raises `Conflict` when it cannot be sent (any more, or now)."""
        row = await self._row(self._db, campaign_id)
        if row.state not in ("draft", "scheduled"):
            raise Conflict(f"Campaign {campaign_id} is {row.state}: it was sent already, or cancelled.")
        await refuse_standstill(self._db)
        await keep_open(self._db, row.list_id)
        return await delivery.count_audience(self._db, list_id=row.list_id)

    async def sendable(self, campaign_id: int) -> Letter:
        """Compiled, with words in at least one language. Raises `InvalidContent` when it cannot become a mail."""
        letter = await self.letter(campaign_id)
        if not letter.contents:
            raise InvalidContent("There is nothing to send yet: write it in one language at least.", field="contents")
        return letter

    async def refuse_other_words(self, db: Connection, campaign_id: int, seen: str | None) -> None:
        """Raises `WordsChanged` unless they are those of that `digest`. Call it while the campaign's row is locked."""
        if seen is not None and digest(await self._drafts(db, campaign_id)) != seen:
            raise WordsChanged

    async def send(
        self,
        campaign_id: int,
        *,
        by: str,
        now: datetime,
        readers: int | None = None,
        words: str | None = None,
        when_due: bool = False,
    ) -> int:
        """Begin; returns how many readers the list has now. `when_due`: only if it is scheduled still, and its time has come.

        Raises `WordsChanged` when the words are not those of the digest `words`, that the caller has looked at, and
        `AudienceChanged` when the readers are not as many as they have confirmed in `readers`; `Conflict` when these are none,
        when it was sent or cancelled before, when its list was closed, and while all campaigns stand still.
        """
        letter = await self.sendable(campaign_id)
        async with self._db.transaction() as db:
            if when_due and not await store.is_due(db, campaign_id=campaign_id, now=now):
                raise Conflict(f"Campaign {campaign_id} is not scheduled for this time any more.")
            planned = await self._start(db, campaign_id, letter.mailing_list, by, now)
            await self.refuse_other_words(db, campaign_id, words)
            if readers is not None and not planned:
                raise Conflict("Nobody has confirmed this list yet, so there is nobody to send it to.")
            if readers is not None and planned != readers:
                raise AudienceChanged(planned)
            return planned

    async def _start(self, db: Connection, campaign_id: int, mailing_list: MailingList, by: str, now: datetime) -> int:
        await refuse_standstill(db)
        await keep_open(db, mailing_list.list_id)
        planned = await plan_campaign(
            db,
            campaign_id=campaign_id,
            list_id=mailing_list.list_id,
            message_domain=mailing_list.sender.domain,
            now=now,
        )
        await reporting_store.open_report(db, campaign_id=campaign_id, now=now)
        await self._audit(db, by, "campaign.send", f"campaign {campaign_id}", now)
        return planned

    async def pause(self, campaign_id: int, *, by: str, now: datetime) -> None:
        """Begin nothing more, within seconds. Raises `Conflict` when it is not sending."""
        await self._change(store.pause, campaign_id, "pause", by, now)

    async def resume(self, campaign_id: int, *, by: str, now: datetime) -> None:
        """Go on where it stopped. Raises `Conflict` when it is not paused, or may not be sent (see `send`)."""

        async def resume(db: Connection, *, campaign_id: int) -> bool:
            await refuse_standstill(db)
            await keep_open(db, (await self._row(db, campaign_id)).list_id)
            return await store.resume(db, campaign_id=campaign_id)

        await self._change(resume, campaign_id, "resume", by, now)

    async def cancel(self, campaign_id: int, *, by: str, now: datetime) -> None:
        """For good. Raises `Conflict` when there is nothing left to cancel."""

        async def cancel(db: Connection, *, campaign_id: int) -> bool:
            return await store.cancel(db, campaign_id=campaign_id, now=now)

        await self._change(cancel, campaign_id, "cancel", by, now)

    async def copy(self, campaign_id: int, *, by: str, now: datetime) -> int:
        """A new draft with the same words, whatever became of this one; returns its number."""
        async with self._db.transaction() as db:
            name = f"Copy of {(await self._row(db, campaign_id)).name}"[:200]
            copy = await store.copy_campaign(db, campaign_id=campaign_id, name=name, now=now)
            await store.copy_contents(db, campaign_id=campaign_id, copy=copy)
            await self._audit(db, by, "campaign.copy", f"campaign {campaign_id} as {copy}", now)
        return copy

    async def delete(self, campaign_id: int, *, by: str, now: datetime) -> None:
        """Words and all. Raises `Conflict` for what is no draft: of that there is something to know."""
        async with self._db.transaction() as db:
            row = await self._row(db, campaign_id)
            if not await store.delete_draft(db, campaign_id=campaign_id):
                raise Conflict(f"Campaign {campaign_id} is {row.state}: only a draft can be deleted.")
            await self._audit(db, by, "campaign.delete", f"campaign {campaign_id}", now)

    async def _change(self, act: Callable[..., Awaitable[bool]], campaign_id: int, verb: str, by: str, now: datetime) -> None:
        async with self._db.transaction() as db:
            await self._row(db, campaign_id)
            if not await act(db, campaign_id=campaign_id):
                row = await self._row(db, campaign_id)  # Anew: what was read before the act may be what it waited for.
                raise Conflict(f"Campaign {campaign_id} is {row.state}: there is nothing to {verb}.")
            await self._audit(db, by, f"campaign.{verb}", f"campaign {campaign_id}", now)
            await delivery.wake_workers(db)

    async def status(self, campaign_id: int) -> Status:
        """Where it stands now."""
        found = await reporting_store.standing(self._db, campaign_id=campaign_id) if 0 < campaign_id < 2**31 else None
        if found is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        return _status(found)

    async def count_under_way(self) -> int:
        """Campaigns that are being sent, or paused."""
        return await store.count_under_way(self._db)

    async def overview(
        self, *, before: int = 2**31 - 1, size: int = 50, state: str | None = None, list_id: int | None = None
    ) -> list[Status]:
        """Newest first; `before` is the last number of the page before. Of one state or list where that is named."""
        found = await reporting_store.standings(self._db, before=before, size=size, state=state, list_id=list_id)
        return [_status(each) for each in found]


def _status(found: Standing) -> Status:
    totals = {state.value: count for state in DeliveryState if (count := getattr(found, state.value))}
    return Status(
        campaign_id=found.campaign_id,
        name=found.name,
        list=found.slug,
        state=found.state,
        created_at=found.created_at,
        started_at=found.started_at,
        finished_at=found.finished_at,
        planned=found.planned or 0,
        totals=totals,
        next_due=found.next_due if found.state == "sending" else None,
        pause_reason=found.pause_reason,
        scheduled_at=found.scheduled_at,
        returned_reason=found.returned_reason,
        unsubscribed=found.unsubscribed,
        time_zone=found.time_zone,
    )
