"""Before a campaign is sent: what is right, what is not, and what to do about it.

Each check says what was looked at, what was found, and what to do. Nothing here refuses to send: what cannot be sent at all,
starting refuses by itself. What leaves this machine (links, SpamAssassin, DNS) is handed in as functions, and limited in time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from newsletter.campaigns import writing_store
from newsletter.campaigns.checks import (
    SAMPLE,
    Check,
    broken_check,
    fields_check,
    languages_check,
    left_out_lines,
    logic_check,
    removed_check,
    size_check,
    text_check,
    way_out_check,
)
from newsletter.campaigns.content import Reader, taken_out_of
from newsletter.campaigns.holes import holes
from newsletter.campaigns.image_address import hash_in
from newsletter.campaigns.looking import Look, look_at
from newsletter.campaigns.service import Campaigns
from newsletter.campaigns.writing import Fault, Page, Writing
from newsletter.campaigns.writing_store import SampleRow
from newsletter.core.database import Database
from newsletter.core.errors import InvalidContent
from newsletter.core.findings import Finding, Result
from newsletter.core.i18n import language_name
from newsletter.delivery import store as delivery
from newsletter.subscribing.lists import MailingList, Sender

MOST_LINKS = 50
LINKS_WITHIN = 20.0
"""Seconds for all links together."""
MARKER = "qzxreaderqzx"
"""A name that nobody has: where it turns up, a merge field stands."""
FREEMAIL = frozenset(
    re.findall(
        r"[\w.-]+",
        "gmail.com googlemail.com yahoo.com yahoo.de yahoo.co.uk ymail.com outlook.com hotmail.com hotmail.de live.com msn.com"
        " aol.com icloud.com me.com mac.com gmx.de gmx.net gmx.at gmx.ch gmx.com web.de freenet.de posteo.de mail.ru"
        " yandex.ru proton.me protonmail.com zoho.com mail.com orange.fr wanadoo.fr free.fr laposte.net libero.it qq.com",
    )
)
"""Domains of mail providers: nobody else may send in their name."""


@dataclass(frozen=True)
class Answer:
    """Of one link."""

    ok: bool
    said: str
    is_known: bool = True
    """False where the DNS knows nothing of the site, or there is none to ask."""


SetUp = Callable[[Sender, datetime], Awaitable[Sequence[Finding]]]
"""What the doctor says of a sender."""


class Fetch(Protocol):
    """Asks for an address that somebody typed; never raises, and reaches no private network."""

    def __call__(self, address: str, /) -> Awaitable[Answer]: ...


SpamScore = Callable[[bytes], Awaitable[tuple[float, float] | None]]
"""Score and threshold; None where no SpamAssassin is installed, or it did not answer."""


@dataclass(frozen=True)
class Report:
    """All checks, those of each language under its name."""

    general: tuple[Check, ...]
    by_language: tuple[tuple[str, tuple[Check, ...]], ...]

    @property
    def worst(self) -> Result:
        every = [*self.general, *(check for _, checks in self.by_language for check in checks)]
        return next((each for each in (Result.BAD, Result.WARN) if any(check.result is each for check in every)), Result.GOOD)


class Preflight:
    """Reads alone."""

    def __init__(
        self,
        db: Database,
        writing: Writing,
        campaigns: Campaigns,
        *,
        base_url: str,
        fetch: Fetch,
        spam_score: SpamScore,
        set_up: SetUp,
    ) -> None:
        self._db = db
        self._writing = writing
        self._campaigns = campaigns
        self._base_url = base_url
        self._fetch = fetch
        self._spam_score = spam_score
        self._set_up = set_up

    async def report(self, campaign_id: int, *, now: datetime) -> Report:
        """Raises `NotFound`."""
        page = await self._writing.page(campaign_id)
        sample = await writing_store.audience_sample(self._db, list_id=page.mailing_list.list_id, size=SAMPLE)
        readers = await delivery.count_audience(self._db, list_id=page.mailing_list.list_id)
        general = [
            *(await self._audience(page.mailing_list, readers, now)),
            languages_check(page, sample),
            *(await self._sender(page.mailing_list, now)),
        ]
        by_language = []
        for each in page.written:
            checks = await self._language(page, each.language, sample, readers, now)
            by_language.append((language_name(each.language), checks))
        if not by_language:
            general.insert(0, Check("Content", Result.BAD, "Nothing is written yet.", "Write in one language at least."))
        return Report(tuple(general), tuple(by_language))

    async def _language(
        self, page: Page, language: str, sample: Sequence[SampleRow], readers: int, now: datetime
    ) -> tuple[Check, ...]:
        try:
            letter = await self._campaigns.letter(page.campaign_id, language)
            preview = await self._campaigns.preview(page.campaign_id, language=language, name=MARKER, now=now)
        except InvalidContent as error:
            return (broken_check(Fault(str(error), error.field or "body", error.line)),)
        content = letter.contents[language]
        draft = (await self._writing.text(page, language)).draft
        look = look_at(preview.words.html)
        unnamed = await asyncio.to_thread(content.render, Reader("", "", f"{self._base_url}/unsubscribe/"))
        links = _every(look.links, look_at(unnamed.html).links)
        return (
            Check("It becomes a mail", Result.GOOD, f"The subject is “{unnamed.subject}” for readers without a name."),
            await self._links(links),
            await self._images(look),
            size_check(len(preview.words.html.encode())),
            text_check(preview.words.text, look.words),
            *removed_check(await asyncio.to_thread(taken_out_of, draft)),
            way_out_check(preview, links),
            await self._spam(preview.message),
            fields_check(content, await asyncio.to_thread(holes, draft, content.html.constants), sample, readers),
            await asyncio.to_thread(logic_check, content, readers),
        )

    async def _links(self, links: Sequence[str]) -> Check:
        title = "Links answer"
        ours = f"{self._base_url}/"
        typed = [each for each in links if each.startswith(("http://", "https://")) and not each.startswith(ours)]
        fetched = [each for each in typed if MARKER not in each]
        left = [f"{each.replace(MARKER, '…')}: holds a merge field, and is not fetched" for each in typed if MARKER in each]
        if len(fetched) > MOST_LINKS:
            left.append(f"{len(fetched) - MOST_LINKS} more: only {MOST_LINKS} are looked at")
        answers = await self._answers(fetched[:MOST_LINKS])
        wrong = [f"{address}: {answer.said}" for address, answer in answers if not answer.ok]
        if answers and not any(answer.is_known for _, answer in answers):
            todo = "Open each in a browser: perhaps this machine has no DNS that it could ask."
            return Check(title, Result.UNKNOWN, "None of the sites is known to the DNS here.", todo, (*wrong, *left))
        if wrong:
            found = f"{len(wrong)} of {len(answers)} links did not answer as they should."
            return Check(title, Result.BAD, found, "Open each in a browser, and correct it in the text.", (*wrong, *left))
        if not typed:
            return Check(title, Result.GOOD, "There is no link but our own.")
        return Check(title, Result.GOOD, f"{len(answers)} of {len(answers)} answered.", details=tuple(left))

    async def _answers(self, addresses: Sequence[str]) -> list[tuple[str, Answer]]:
        room = asyncio.Semaphore(6)

        async def one(address: str) -> Answer:
            async with room:
                return await self._fetch(address)

        tasks = [asyncio.create_task(one(address)) for address in addresses]
        if tasks:
            await asyncio.wait(tasks, timeout=LINKS_WITHIN)
        late = Answer(ok=False, said="no answer in time")
        answers = [(address, task.result() if task.done() else late) for address, task in zip(addresses, tasks, strict=True)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return answers

    async def _images(self, look: Look) -> Check:
        title = "Images"
        hashes = {each.source: hash_in(each.source) for each in look.images}
        ours = {source: found for source, found in hashes.items() if found and source.startswith(f"{self._base_url}/")}
        known = set(await writing_store.known_images(self._db, hashes=sorted(set(ours.values()))))
        gone = [f"{source}: was deleted" for source, found in ours.items() if found not in known]
        bare = [f"{each.source}: no alternative text" for each in look.images if not each.alt.strip()]
        unsized = [f"{each.source}: no width" for each in look.images if not each.width]
        remote = [f"{source}: is loaded from another site" for source in hashes if source not in ours]
        details = (*gone, *bare, *unsized, *remote)
        if not look.images:
            return Check(title, Result.GOOD, "There is none.")
        if gone:
            return Check(title, Result.BAD, f"{len(gone)} of {len(hashes)} cannot be shown.", "Take them out.", details)
        if details:
            todo = (
                "Write what an image shows into its brackets: many readers see that alone. Give it a width, and keep it with us"
                " under Images, since another site would learn who opens the letter."
            )
            return Check(title, Result.WARN, f"{_counted(len(look.images))}; things to mend: {len(details)}.", todo, details)
        return Check(title, Result.GOOD, f"{_counted(len(look.images))}, with alternative text and size, served by us.")

    async def _spam(self, message: bytes) -> Check:
        title = "Spam score"
        score = await self._spam_score(message)
        if score is None:
            return Check(title, Result.UNKNOWN, "SpamAssassin is not installed on this machine, or does not answer.")
        found, threshold = score
        words = f"SpamAssassin gives {found:.1f} points; from {threshold:.1f} on it takes a mail for spam."
        if found >= threshold:
            return Check(title, Result.BAD, words, "Look at its report, and reword what it points at.")
        return Check(title, Result.WARN if found >= threshold / 2 else Result.GOOD, words)

    async def _sender(self, mailing_list: MailingList, now: datetime) -> list[Check]:
        sender = mailing_list.sender
        if sender.domain in FREEMAIL:
            domain = Check(
                "From address",
                Result.BAD,
                f"Mail is sent in the name of {sender.domain}, which belongs to a mail provider.",
                "Use an address of a domain of your own: receivers refuse what the provider itself did not send (DMARC).",
            )
        else:
            domain = Check("From address", Result.GOOD, f"{sender.name}, of {sender.domain}.")
        found = await self._set_up(sender, now)
        return [domain, *(Check(each.looked_at, each.result, each.found, each.advice) for each in found)]

    async def _audience(self, mailing_list: MailingList, readers: int, now: datetime) -> list[Check]:
        list_id = mailing_list.list_id
        suppressed = await writing_store.suppressed_sample(self._db, list_id=list_id, size=SAMPLE, now=now)
        pending = await writing_store.count_pending(self._db, list_id=list_id)
        unsubscribed = await writing_store.count_unsubscribed(self._db, list_id=list_id)
        left_out = [
            *([f"{pending:,} have not confirmed yet"] if pending else []),
            *([f"{unsubscribed:,} have unsubscribed and are not deleted yet"] if unsubscribed else []),
            *left_out_lines(suppressed, readers),
        ]
        if mailing_list.closed:
            return [Check("Audience", Result.BAD, "The list is closed: nothing is sent to it.", "", tuple(left_out))]
        if not readers:
            return [Check("Audience", Result.WARN, "Nobody has confirmed yet.", "Wait for readers.", tuple(left_out))]
        found = f"{readers:,} confirmed readers now. Each is looked at again when it is sent."
        return [Check("Audience", Result.GOOD, found, details=tuple(f"Left out: {each}" for each in left_out))]


def _every(named: Sequence[str], unnamed: Sequence[str]) -> list[str]:
    """The links of both renderings, once each. One that holds a merge field is there as the one with the name alone."""
    begins = tuple(link.partition(MARKER)[0] for link in named if MARKER in link)
    others = [link for link in unnamed if link in named or not link.startswith(begins or ("\0",))]
    return list(dict.fromkeys([*named, *others]))


def _counted(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"
