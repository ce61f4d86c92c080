"""The policy as it is now, its published versions, and telling readers of a new one.

The page always shows what is true now. Publishing keeps that under a number, in every language that we speak; later versions
are told to confirmed readers, or it is recorded why not.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import Campaigns, NewCampaign
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseError, InvalidInput, NotFound
from newsletter.core.i18n import N_, languages, long_date, translations
from newsletter.privacy import store
from newsletter.privacy.document import Section, changed_headings, to_markdown, wrapped
from newsletter.privacy.policy import Particulars, Sources, Version, introduction, sections, unnamed_relays
from newsletter.privacy.record import Record, make_record
from newsletter.privacy.service import Retention
from newsletter.subscribing.lists import MailingList, all_lists
from newsletter.subscribing.reporting import sizes_at_hand

_UNIQUE_VIOLATION = "23505"
LONGEST_REASON = 500


@dataclass(frozen=True)
class Shown:
    """The policy as it is now, in one language."""

    introduction: str
    sections: list[Section]
    versions: list[Version]
    """Newest first."""
    changed: bool
    """Whether it differs from the newest version."""
    missing: tuple[str, ...]
    """Names of settings that it cannot do without."""


@dataclass(frozen=True)
class Publication:
    """What publishing or telling did."""

    version: int
    notice: str
    campaigns: list[int]
    """That tell the readers of a list each."""


@dataclass(frozen=True)
class _Next:
    """What is to be published, in each language, and what is recorded of telling readers."""

    version: int
    texts: Mapping[str, str]
    notice: str
    reason: str | None


@dataclass(frozen=True)
class Audience:
    """Whom a notice goes to: a reader of two lists counts, and is told, once for each."""

    lists: list[MailingList]
    readers: int


class Policy:
    """Use cases. `by` names the operator, for the audit log."""

    def __init__(
        self,
        db: Database,
        particulars: Particulars,
        retention: Retention,
        campaigns: Campaigns,
        audit: Audit,
        *,
        privacy_url: str,
    ) -> None:
        self._db = db
        self._particulars = particulars
        self._retention = retention
        self._campaigns = campaigns
        self._audit = audit
        self._privacy_url = privacy_url

    async def show(self, language: str) -> Shown:
        """For the page, in a language that we speak."""
        sources, versions = await self._sources(self._db), await self.versions()
        words = translations(language)
        made = sections(sources, words)
        kept = await self._texts(self._db, versions[0].version) if versions else {}
        changed = bool(versions) and kept.get(language) != self._markdown(sources, language)
        return Shown(introduction(words), made, versions, changed, self._particulars.missing)

    async def text(self, language: str) -> str:
        """The policy as it is now, in Markdown without its title."""
        return self._markdown(await self._sources(self._db), language)

    async def versions(self) -> list[Version]:
        """Newest first."""
        return await store.versions(self._db)

    async def version(self, number: int) -> tuple[Version, Mapping[str, str]]:
        """A published version and its text in each of its languages, in Markdown. Raises `NotFound`."""
        for each in await self.versions():
            if each.version == number:
                return each, await self._texts(self._db, number)
        raise NotFound(N_("There is no such version of the privacy policy."))

    async def diff(self) -> tuple[int | None, dict[str, list[str]]]:
        """The newest version's number, and what has changed since: unified, by language, those that changed alone.

        Before the first version, all is new.
        """
        versions = await self.versions()
        newest = versions[0].version if versions else None
        before = await self._texts(self._db, newest) if newest else {}
        now = self._all_markdown(await self._sources(self._db))
        return newest, {
            language: _unified(before.get(language, ""), text, newest)
            for language, text in now.items()
            if before.get(language, "") != text
        }

    async def changes_in(self, number: int) -> tuple[Version, dict[str, list[str]]]:
        """A published version, and how it differs from the one before, in each language. Raises `NotFound`."""
        version, texts = await self.version(number)
        before = await self._texts(self._db, number - 1) if number > 1 else {}
        former = number - 1 if number > 1 else None
        return version, {
            language: _unified(before.get(language, ""), text, former, f"version {number}")
            for language, text in texts.items()
            if before.get(language, "") != text
        }

    async def audience(self) -> Audience:
        """Lists with confirmed readers, closed ones too: their readers' addresses are still here."""
        return await self._audience(self._db)

    async def confirm_audience(self, typed: str) -> None:
        """Whoever mails everybody types how many that are; grouping characters are left out.

        Raises `InvalidInput` with the field `readers`.
        """
        readers = (await self.audience()).readers
        if "".join(character for character in typed if character.isdigit()) != str(readers):
            whom = f"{readers:,} reader{'' if readers == 1 else 's'}"
            raise InvalidInput(f"This mails {whom} now: type that number to do it.", field="readers")

    async def notice(self, language: str) -> Draft | None:
        """What readers would be mailed if the policy were published as it is now; None for the first version."""
        versions = await store.versions(self._db)
        if not versions:
            return None
        last = versions[0]
        before = (await self._texts(self._db, last.version)).get(language, "")
        now = self._markdown(await self._sources(self._db), language)
        return self._draft(language, last.version + 1, last.published_at, changed_headings(before, now))

    async def check_publishing(self, *, notify: bool, no_notice: str | None) -> None:
        """Raise what `publish` would refuse as things are now, and change nothing: for whoever asks somebody before it."""
        self._check_whole()
        await self._next(self._db, notify=notify, no_notice=no_notice)

    async def publish(self, *, notify: bool, no_notice: str | None, by: str, now: datetime) -> Publication:
        """Keep the policy as it is now under the next number; tell the readers in the same transaction, or record why not.

        Raises `Conflict` when nothing has changed, somebody else just published, or settings are missing, and `InvalidInput`
        when it was not said whether to tell.
        """
        self._check_whole()
        try:
            async with self._db.transaction() as db:
                return await self._publish(db, notify=notify, no_notice=no_notice, by=by, now=now)
        except DatabaseError as error:
            if error.sqlstate == _UNIQUE_VIOLATION:
                raise Conflict("Somebody else published at this moment: look at it with `newsletter policy diff`.") from None
            raise

    async def _publish(self, db: Connection, *, notify: bool, no_notice: str | None, by: str, now: datetime) -> Publication:
        new = await self._next(db, notify=notify, no_notice=no_notice)
        await store.add_version(db, version=new.version, notice=new.notice, reason=new.reason, now=now)
        for language, text in new.texts.items():
            await store.add_text(db, version=new.version, language=language, content=text)
        await self._audit(db, by, "policy.publish", f"policy version {new.version}", now)
        told = await self._tell(db, new.version, by, now) if new.notice == "mailed" else []
        return Publication(new.version, new.notice, told)

    def _check_whole(self) -> None:
        if self._particulars.missing:
            names = ", ".join(f"NEWSLETTER_{name.upper()}" for name in self._particulars.missing)
            raise Conflict(f"This policy is not whole: set {names} first.")

    async def _next(self, db: Connection, *, notify: bool, no_notice: str | None) -> _Next:
        rows = await store.versions(db)
        last = rows[0].version if rows else 0
        texts = self._all_markdown(await self._sources(db))
        if await self._texts(db, last) == texts:
            raise Conflict(f"Nothing has changed since version {last}: there is nothing to publish.")
        notice, reason = _notice(last == 0, notify, no_notice)
        return _Next(last + 1, texts, notice, reason)

    async def check_notifying(self) -> None:
        """The same for `notify`."""
        await self._untold(self._db)

    async def notify(self, *, by: str, now: datetime) -> Publication:
        """Tell readers of the newest version after all. Raises `Conflict` when they were told, or there is nothing to tell."""
        async with self._db.transaction() as db:
            version = await self._untold(db)
            if not await store.mark_mailed(db, version=version):
                raise _told_already(version)
            await self._audit(db, by, "policy.notify", f"policy version {version}", now)
            return Publication(version, "mailed", await self._tell(db, version, by, now))

    async def _untold(self, db: Connection) -> int:
        rows = await store.versions(db)
        if not rows:
            raise Conflict("No version was published yet: `newsletter policy publish` makes the first.")
        newest = rows[0]
        if newest.notice == "none":
            raise Conflict("The first version replaces nothing: there is nothing to tell.")
        if newest.notice == "mailed":
            raise _told_already(newest.version)
        return newest.version

    async def unnamed_relays(self) -> list[str]:
        """Hosts of relays, other than on this machine, that belong to no subprocessor."""
        return unnamed_relays(await self._sources(self._db))

    async def record(self, language: str) -> Record:
        """The record of processing (GDPR Art. 30)."""
        return make_record(await self._sources(self._db), self._retention.promises, translations(language))

    async def _tell(self, db: Connection, version: int, by: str, now: datetime) -> list[int]:
        """One campaign for each list that has confirmed readers, throttled like every other and with the way out in it."""
        before, after = await self._texts(db, version - 1), await self._texts(db, version)
        since = next(row.published_at for row in await store.versions(db) if row.version == version - 1)
        numbers = []
        for each in (await self._audience(db)).lists:
            drafts = [
                self._draft(language, version, since, changed_headings(before.get(language, ""), after.get(language, "")))
                for language in each.languages
            ]
            new = NewCampaign(each.slug, f"Privacy policy, version {version}", tuple(drafts), is_notice=True)
            numbers.append(await self._campaigns.create_and_send(db, new, by=by, now=now))
        return numbers

    def _draft(self, language: str, version: int, since: datetime, changed: Sequence[str]) -> Draft:
        """The notice in one language. Nothing that a person typed stands in it: headings and addresses are ours."""
        _ = translations(language).gettext
        lead = _("We have changed how we treat your address since %(date)s.") % {"date": long_date(since, language)}
        differs, now, before = _("This is new or different:"), _("Read how it is now"), _("Read how it was before")
        parts = [
            f"{lead} {differs}" if changed else lead,
            "\n".join(f"- {heading}" for heading in changed),
            f"[{now}]({self._privacy_url}?lang={language})",
            f"[{before}]({self._privacy_url}/versions/{version - 1}?lang={language})",
            _("You need not do anything. If you do not agree, you can unsubscribe at any time: the link is below."),
        ]
        subject, body = _("How we treat your address has changed"), "\n\n".join(filter(None, parts))
        return Draft(language, subject, "", Format.MARKDOWN, body)

    async def _sources(self, db: Connection) -> Sources:
        """Every sender that has a list, closed or private ones too: their readers are here as well."""
        senders = {each.sender.sender_id: each.sender for each in await all_lists(db)}
        return Sources(self._particulars, list(senders.values()), await store.subprocessors(db), self._retention.sentences)

    async def _texts(self, db: Connection, version: int) -> dict[str, str]:
        return {row.language: row.content for row in await store.texts(db, version=version)}

    def _markdown(self, sources: Sources, language: str) -> str:
        words = translations(language)
        base_url = self._privacy_url.removesuffix("/privacy")
        return f"{introduction(words)}\n\n{to_markdown(sections(sources, words), base_url=base_url)}"

    def _all_markdown(self, sources: Sources) -> dict[str, str]:
        return {language: self._markdown(sources, language) for language in languages()}

    async def _audience(self, db: Connection) -> Audience:
        confirmed = {list_id: size.confirmed for list_id, size in (await sizes_at_hand(db)).items()}
        lists = [each for each in await all_lists(db) if confirmed.get(each.list_id)]
        return Audience(lists, sum(confirmed[each.list_id] for each in lists))


def _told_already(version: int) -> Conflict:
    return Conflict(f"Readers were told of version {version} already.")


def _notice(is_first: bool, notify: bool, no_notice: str | None) -> tuple[str, str | None]:
    """What is recorded of telling, and why it was left out."""
    reason = " ".join((no_notice or "").split())
    if notify and no_notice is not None:
        raise InvalidInput("Either readers are told or they are not: give --notify or --no-notice, not both.")
    if is_first:
        if notify or no_notice is not None:
            raise InvalidInput("The first version replaces nothing: publish it without --notify and --no-notice.")
        return "none", None
    if notify:
        return "mailed", None
    if "@" in reason or any(unicodedata.category(each) in ("Cc", "Cf", "Cs") for each in reason):
        raise InvalidInput("The reason is kept for good and names nobody: leave out addresses, and what cannot be seen.")
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise InvalidInput(
            "Say whether readers are told: --notify, or --no-notice REASON with a reason of 1 to 500 characters, which is kept."
        )
    return "skipped", reason


def _unified(before: str, now: str, version: int | None, name: str = "now") -> list[str]:
    lines = difflib.unified_diff(
        wrapped(before).splitlines() if before else [],
        wrapped(now).splitlines(),
        f"version {version}" if version else "nothing",
        name,
        lineterm="",
    )
    return list(lines)
