"""Signing up: the form's request, and what a worker makes of it later."""

from __future__ import annotations

import asyncio
import contextlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID, uuid4

from newsletter.consent import service as consent
from newsletter.consent.rules import Event
from newsletter.consent.service import Ledger, Origin
from newsletter.core.addresses import Address, check_deliverable, parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseUnavailable, InvalidInput, StatementTimeout
from newsletter.core.i18n import N_, translations
from newsletter.core.keys import Keyring
from newsletter.core.logs import get_logger, network_of
from newsletter.delivery import store as delivery
from newsletter.delivery.headers import check_header_text
from newsletter.subscribing import erasure, lists_store, store
from newsletter.subscribing.limits import check_network
from newsletter.subscribing.lists import MailingList, list_by_slug, lists_by_id, open_lists
from newsletter.subscribing.mails import consent_wording, pattern, process_wording
from newsletter.subscribing.rules import (
    HITS_KEPT,
    LONGEST_NAME,
    Ask,
    SayAlready,
    State,
    StaySilent,
    Via,
    decide,
    request_lives,
)
from newsletter.subscribing.store import Request

MOST_LISTS = 50
"""That one request may be about."""
RETRY_REQUEST_AFTER = timedelta(minutes=1)

_JOINERS = "\u200c\u200d"
"""Invisible, and part of how some names are written."""

log = get_logger(__name__)


@dataclass(frozen=True)
class SignupForm:
    """What somebody handed in; only the address is required."""

    address: str
    lists: tuple[str, ...]
    """Short names."""
    language: str
    origin: Origin
    name: str = ""
    wording: str = ""
    """Which words the form showed, as the SHA-256 of them; empty where it does not say."""


BY_OPERATOR = "entered by an operator"
"""In place of a form's address: the audit log says who."""
_NO_FORM = N_("There was no form: at somebody's request our staff entered the address. What is asked stands in the mail.")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class JoiningConfig:
    confirm_within: timedelta
    signups_per_network_hour: int
    privacy_url: str
    dns_check: bool = False
    dns_timeout: float = 2


class Joining:
    """Use cases of signing up; each owns its transaction."""

    def __init__(self, db: Database, keyring: Keyring, ledger: Ledger, config: JoiningConfig, audit: Audit) -> None:
        self._db = db
        self._keyring = keyring
        self._ledger = ledger
        self._config = config
        self._audit = audit

    async def request(self, form: SignupForm, *, now: datetime) -> list[MailingList]:
        """Record a sign-up request; returns the lists that it is for. Does the same whatever is known of the address.

        Raises `InvalidInput` (the form has to be corrected), `NotFound` (no such list), `TooMany` (limit of the network).
        """
        address = parse_address(form.address)
        name = checked_name(form.name)
        if not form.lists:
            raise InvalidInput(N_("Please choose at least one letter."), field="list")
        if len(form.lists) > MOST_LISTS:
            raise InvalidInput(N_("These are too many letters at once. Please choose 50 at most."), field="list")
        lists = await open_lists(self._db, form.lists)
        if len({each.sender.sender_id for each in lists}) > 1:
            raise InvalidInput(
                N_("These letters come from different senders: please sign up for each by itself."), field="list"
            )
        code = await self.admit(address, form.origin.network, now=now)
        language = lists[0].language(form.language)
        async with self._db.transaction() as connection:
            await self.hand_in(
                connection,
                address,
                lists,
                form.origin,
                name=name,
                language=language,
                network_code=code,
                now=now,
                shown=form.wording,
            )
        return lists

    async def enter(
        self, address: str, slug: str, *, name: str, language: str, operator: str, network: str | None, now: datetime
    ) -> MailingList:
        """An operator enters somebody who asked for it, for a private list too; they are mailed, and confirm, like all others.

        `network`: the operator's, which counts towards the limit and is no evidence about anybody. Raises `InvalidInput`,
        `NotFound`, `TooMany`, and `Conflict` for a list that is closed.
        """
        parsed, checked = parse_address(address), checked_name(name)
        mailing_list = await list_by_slug(self._db, slug)
        if mailing_list.closed:
            raise Conflict("This list is closed: nobody can be added.")
        code = await self.admit(parsed, network, now=now)
        async with self._db.transaction() as db:
            await self.hand_in(
                db,
                parsed,
                [mailing_list],
                Origin(BY_OPERATOR),
                name=checked,
                language=mailing_list.language(language),
                network_code=code,
                now=now,
            )
            await self._audit(
                db, operator, "subscriber.add", f"list {slug}", now, about=self._keyring.subscriber_id(parsed.normal)
            )
        return mailing_list

    async def admit(self, address: Address, network: str | None, *, now: datetime) -> bytes | None:
        """Check the limit of the network and, where that is set, DNS; returns the code that the network is counted by.

        Raises `TooMany` and `InvalidInput`.
        """
        code = await self._check_network(network, now)
        if self._config.dns_check:
            await self._check_domain(address)
        return code

    async def hand_in(
        self,
        db: Connection,
        address: Address,
        lists: Sequence[MailingList],
        origin: Origin,
        *,
        name: str,
        language: str,
        network_code: bytes | None,
        now: datetime,
        replaces: UUID | None = None,
        shown: str = "",
    ) -> None:
        """Record that somebody asks for these lists; `replaces`: in place of that person, who changes their address.

        `shown`: which words their form says that it showed.
        """
        is_entered = origin.form == BY_OPERATOR
        wording_hash = await self._wording(db, lists, language, shown, now=now, is_entered=is_entered)
        await store.insert_request(
            db,
            subscriber_id=self._keyring.subscriber_id(address.normal),
            address=address.typed,
            name=name,
            language=language,
            list_ids=[each.list_id for each in lists],
            form=origin.form[:500],
            wording_hash=wording_hash,
            network=origin.network,
            agent=origin.agent[:300],
            network_code=network_code,
            now=now,
            expires_at=now + request_lives(self._config.confirm_within),
            hit_expires_at=now + HITS_KEPT,
            replaces=replaces,
        )

    async def _wording(
        self, db: Connection, lists: Sequence[MailingList], language: str, shown: str, *, now: datetime, is_entered: bool
    ) -> bytes:
        """What is kept as the words that were agreed to: those that the form shows, if the list ever asked with them. A form on
        another site may show what was true when it was copied."""
        if is_entered:
            return await consent.keep_wording(db, "form", language, translations(language).gettext(_NO_FORM), now=now)
        alone = lists[0].list_id if len(lists) == 1 else None
        if (
            alone
            and _HASH.fullmatch(shown)
            and await lists_store.asked_with(db, list_id=alone, wording_hash=bytes.fromhex(shown))
        ):
            return bytes.fromhex(shown)
        wording_hash = await consent.keep_wording(db, "form", language, consent_wording(lists, language), now=now)
        if alone:
            await lists_store.note_wording(db, list_id=alone, wording_hash=wording_hash, now=now)
        return wording_hash

    async def _check_domain(self, address: Address) -> None:
        """Ask DNS, for so long and no longer; whoever cannot be asked about in time is taken as they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.dns_timeout):
                await asyncio.to_thread(check_deliverable, address, timeout=ceil(self._config.dns_timeout))

    async def _check_network(self, network: str | None, now: datetime) -> bytes | None:
        if not network:
            return None
        code = self._keyring.limit_code(network_of(network))
        sentence = N_("Too many sign-ups came from your network in the last hour. Please try again later.")
        await check_network(self._db, code, most=self._config.signups_per_network_hour, sentence=sentence, now=now)
        return code

    async def process_once(self, *, now: datetime) -> bool:
        """Decide on the next request, if there is one; true when there was."""
        request: Request | None = None
        try:
            async with self._db.transaction() as connection:
                request = await store.take_request(connection, now=now)
                if request is not None:
                    await self._process(connection, request, now)
        except Exception as error:
            # Whatever is wrong with one request must not hold up those behind it.
            away = isinstance(error, DatabaseUnavailable) and not isinstance(error, StatementTimeout)
            if request is None or away:
                raise
            log.exception("signup_request_failed", request_id=request.request_id)
            await store.postpone_request(self._db, request_id=request.request_id, not_before=now + RETRY_REQUEST_AFTER)
        return request is not None

    async def _process(self, db: Connection, request: Request, now: datetime) -> None:
        closed = {each.list_id for each in await lists_by_id(db, request.list_ids) if each.closed}  # Since it was handed in.
        request = replace(request, list_ids=[list_id for list_id in request.list_ids if list_id not in closed])
        if not request.list_ids:
            return
        address = parse_address(request.address)
        subscriber_id = self._keyring.subscriber_id(address.normal)
        code = self._keyring.limit_code(address.folded)
        await store.lock_address(db, code=code)
        if request.replaces is None:
            await store.lock_subscriber(db, subscriber_id=subscriber_id)
        elif request.replaces not in await store.lock_subscribers(db, subscriber_ids=[subscriber_id, request.replaces]):
            log.info("signup_request_unanswered", request_id=request.request_id, why="erased")
            return
        rows = await store.subscriptions_of(db, subscriber_id=subscriber_id)
        decision = decide(
            request.list_ids,
            {row.list_id: State(row.state) for row in rows},
            may_ask=await consent.may_ask(db, subscriber_id, now=now),
            mailed_at=await store.mail_hits(db, code=code, since=now - HITS_KEPT),
            now=now,
            moves=request.replaces is not None,
        )
        match decision:
            case Ask(list_ids):
                await self._ask(db, request, address, subscriber_id, list_ids, now)
            case SayAlready(list_ids):
                await self._queue(db, "already", subscriber_id, None, list_ids, request, now)
            case StaySilent(why):
                log.info("signup_request_unanswered", request_id=request.request_id, why=why)
                return
        await store.add_mail_hit(db, code=code, now=now, expires_at=now + HITS_KEPT)

    async def _ask(
        self, db: Connection, request: Request, address: Address, subscriber_id: UUID, list_ids: list[int], now: datetime
    ) -> None:
        confirmation_id = uuid4()
        times = {"requested_at": request.received_at, "expires_at": request.received_at + self._config.confirm_within}
        lists = await lists_by_id(db, list_ids)
        await store.add_subscriber(
            db,
            subscriber_id=subscriber_id,
            address=address.typed,
            domain=address.domain,
            language=request.language,
            now=now,
        )
        await store.put_pending(
            db,
            subscriber_id=subscriber_id,
            list_ids=[each.list_id for each in lists],
            languages=[each.language(request.language) for each in lists],
            **times,
        )
        await store.add_confirmation(
            db,
            subscriber_id=subscriber_id,
            confirmation_id=confirmation_id,
            list_ids=list_ids,
            name=request.name,
            language=request.language,
            replaces=request.replaces,
            **times,
        )
        words = pattern("confirm", lists, request.language, privacy_url=self._config.privacy_url)
        await self._ledger.record(
            db,
            Event.ASKED,
            subscriber_id,
            list_ids,
            Origin(request.form, request.network, request.agent),
            language=request.language,
            now=request.received_at,
            via=_via(request),
            wording_hash=request.wording_hash,
            mail_hash=await consent.keep_wording(db, "mail", request.language, words, now=now),
            process_hash=await self._keep_process(db, request.language, now),
            confirmation_id=confirmation_id,
        )
        await self._queue(db, "confirm", subscriber_id, confirmation_id, list_ids, request, now)
        await erasure.count(db, list_ids, now=now, asked=1)

    async def _keep_process(self, db: Connection, language: str, now: datetime) -> bytes:
        """In words, how consent comes about here at this time: part of the proof of it (GDPR Art. 7(1))."""
        version = await consent.policy_in_force(db)
        words = process_wording(language, confirm_within=self._config.confirm_within, policy_version=version)
        return await consent.keep_wording(db, "process", language, words, now=now)

    async def _queue(
        self,
        db: Connection,
        kind: str,
        subscriber_id: UUID,
        about: UUID | None,
        list_ids: list[int],
        request: Request,
        now: datetime,
    ) -> None:
        await delivery.queue_mail(
            db,
            kind=kind,
            subscriber_id=subscriber_id,
            about=about,
            list_ids=list_ids,
            language=request.language,
            message_id=uuid4(),
            created_at=request.received_at,
            expires_at=request.received_at + self._config.confirm_within,
            now=now,
        )
        await delivery.wake_workers(db)


def _via(request: Request) -> str:
    if request.form == BY_OPERATOR:  # No form of another site is named so: those are addresses.
        return Via.OPERATOR.value
    return "page" if request.replaces else "form"


def checked_name(given: str) -> str:
    """A name to greet somebody by: one line, no link (a stranger may have typed it)."""
    bare = given.strip()
    is_long = len(bare) > 4 * LONGEST_NAME  # Not even looked at: NFC takes the square of the time for many combining marks.
    name = unicodedata.normalize("NFC", bare[: 4 * LONGEST_NAME]).strip()
    try:
        check_header_text(name, field="name")
    except InvalidInput:
        raise InvalidInput(N_("A name may not hold control characters or “=?”. Please type it again."), field="name") from None
    if any((unicodedata.category(each) in ("Cf", "Zl", "Zp") and each not in _JOINERS) or each == "\ufffd" for each in name):
        raise InvalidInput(N_("A name may not hold characters that cannot be seen. Please type it again."), field="name")
    if is_long or len(name) > LONGEST_NAME:
        raise InvalidInput(N_("A name may have 100 characters at most."), field="name")
    if "://" in name or "www." in name.lower() or "@" in name:
        raise InvalidInput(N_("A name may not hold a link or an address."), field="name")
    return name
