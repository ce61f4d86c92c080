"""Asking for the link to one's own data.

The page makes one unconditional INSERT and gives everybody the same answer; a worker decides. Whoever is known is mailed at the
address that we hold; to any other address goes a mail that says what is held about it: nothing, or the codes that stay after
an erasure, which a link opens too, since an objection is lifted there and nowhere else.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from newsletter.core.addresses import parse_address
from newsletter.core.database import Connection, Database
from newsletter.core.errors import DatabaseUnavailable, StatementTimeout
from newsletter.core.i18n import N_
from newsletter.core.keys import Keyring
from newsletter.core.logs import get_logger, network_of
from newsletter.delivery import store as delivery
from newsletter.privacy import store
from newsletter.privacy.holdings import Person
from newsletter.privacy.store import DataRequest
from newsletter.subscribing import store as subscribing
from newsletter.subscribing.limits import check_network
from newsletter.subscribing.rules import DATA_MAIL_LIMITS, HITS_KEPT, MAIL_LIMITS, is_limited

RETRY_AFTER = timedelta(minutes=1)

log = get_logger(__name__)


class Asking:
    """Use cases; each owns its transaction. `lives`: how long a request and its mail wait for a worker and a relay."""

    def __init__(self, db: Database, keyring: Keyring, *, lives: timedelta, most_per_network_hour: int) -> None:
        self._db = db
        self._keyring = keyring
        self._lives = lives
        self._most = most_per_network_hour

    async def request(self, given: str, language: str, network: str | None, *, now: datetime) -> None:
        """Somebody typed an address. Does the same whatever is known of it.

        Raises `InvalidInput` for what is no address, `TooMany` (limit of the network).
        """
        address = parse_address(given)
        code = self._keyring.limit_code(network_of(network)) if network else None
        if code is not None:
            sentence = N_("Too many requests came from your network in the last hour. Please try again later.")
            await check_network(self._db, code, most=self._most, sentence=sentence, now=now)
        await store.insert_data_request(
            self._db,
            subscriber_id=self._keyring.subscriber_id(address.normal),
            address=address.typed,
            language=language,
            network_code=code,
            now=now,
            expires_at=now + self._lives,
            hit_expires_at=now + HITS_KEPT,
        )

    async def process_once(self, *, now: datetime) -> bool:
        """Decide on the next request, if there is one; true when there was."""
        request: DataRequest | None = None
        try:
            async with self._db.transaction() as db:
                request = await store.next_data_request(db, now=now)
                if request is not None:
                    await self._process(db, request, now)
        except Exception as error:
            # Whatever is wrong with one request must not hold up those behind it.
            away = isinstance(error, DatabaseUnavailable) and not isinstance(error, StatementTimeout)
            if request is None or away:
                raise
            log.exception("data_request_failed", request_id=request.request_id)
            await store.postpone_data_request(self._db, request_id=request.request_id, not_before=now + RETRY_AFTER)
        return request is not None

    async def _process(self, db: Connection, request: DataRequest, now: datetime) -> None:
        code = self._keyring.limit_code(parse_address(request.address).folded)
        await subscribing.lock_address(db, code=code)
        person = await store.held_person(db, subscriber_id=request.subscriber_id)
        hits = await subscribing.mail_hits(db, code=code, since=now - HITS_KEPT)
        list_id = await store.list_that_speaks(db, subscriber_id=request.subscriber_id)
        if list_id is None or is_limited(hits, now, DATA_MAIL_LIMITS if person else MAIL_LIMITS):
            log.info("data_request_unanswered", request_id=request.request_id, why="limited" if list_id else "no list")
            await store.drop_data_request(db, request_id=request.request_id)
            return
        await self._queue(db, request, person, list_id, now)
        await delivery.wake_workers(db)
        await subscribing.add_mail_hit(db, code=code, now=now, expires_at=now + HITS_KEPT)

    async def _queue(self, db: Connection, request: DataRequest, person: Person | None, list_id: int, now: datetime) -> None:
        message_id, until = uuid4(), request.expires_at
        if person is None:
            await delivery.queue_answer(
                db,
                kind="data",
                request_id=request.request_id,
                list_ids=[list_id],
                language=request.language,
                message_id=message_id,
                expires_at=until,
                now=now,
            )
            await store.decide_data_request(db, request_id=request.request_id)
            return
        await delivery.queue_mail(
            db,
            kind="data",
            subscriber_id=request.subscriber_id,
            about=None,
            list_ids=[list_id],
            language=person.language,
            message_id=message_id,
            created_at=now,
            expires_at=until,
            now=now,
        )
        await store.drop_data_request(db, request_id=request.request_id)
