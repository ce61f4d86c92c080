"""Writing to whoever looks after people's data: queued as a mail, entered in the register, forgotten when it is handed over."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from uuid import UUID, uuid4

from newsletter.core.addresses import parse_address
from newsletter.core.database import Database
from newsletter.core.errors import Conflict, InvalidInput
from newsletter.core.i18n import N_
from newsletter.core.keys import Keyring
from newsletter.core.logs import network_of
from newsletter.delivery.rules import LONGEST_WAIT
from newsletter.privacy import store
from newsletter.privacy.requests import due_of
from newsletter.subscribing.limits import check_network
from newsletter.subscribing.lists import lists_by_id
from newsletter.subscribing.rules import HITS_KEPT

LIVES = LONGEST_WAIT
"""How long a message waits for a relay: it is a request that has to be answered, and outlives a long weekend."""
MOST_PER_NETWORK_HOUR = 10
LONGEST_MESSAGE = 5000
"""Characters."""
_NOBODY = UUID(int=0)


class Contact:
    """Use cases; each owns its transaction."""

    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    async def write(self, given: str, message: str, language: str, network: str | None, *, now: datetime) -> None:
        """Queue a message. Nobody is mailed at the address that was typed: it may be a stranger's.

        Raises `InvalidInput`, `TooMany` (limit of the network), `Conflict` where there is no list yet to mail it from.
        """
        address, content = parse_address(given), _checked_message(message)
        code = self._keyring.limit_code(f"contact {network_of(network)}") if network else None
        if code is not None:
            sentence = N_("Too many messages came from your network in the last hour. Please try again later.")
            await check_network(self._db, code, most=MOST_PER_NETWORK_HOUR, sentence=sentence, now=now)
        list_id = await store.list_that_speaks(self._db, subscriber_id=_NOBODY)
        if list_id is None:
            raise Conflict(N_("No message can be sent from here yet. Please write to the address on the privacy page."))
        (mailing_list,) = await lists_by_id(self._db, [list_id])
        await store.queue_contact(
            self._db,
            subscriber_id=self._keyring.subscriber_id(address.normal),
            address=address.typed,
            content=content,
            language=language,
            speaks=mailing_list.languages[0],
            list_id=list_id,
            mail_id=uuid4(),
            network_code=code,
            now=now,
            due_at=due_of(now),
            expires_at=now + LIVES,
            hit_expires_at=now + HITS_KEPT,
        )


def _checked_message(given: str) -> str:
    """Lines of text. What cannot be seen is left out: a terminal or a mail program may take it for a command."""
    lines = given.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    content = "\n".join("".join(filter(_is_seen, line.replace("\t", " "))) for line in lines).strip()
    if not content:
        raise InvalidInput(N_("Please write a message."), field="message")
    if len(content) > LONGEST_MESSAGE:
        raise InvalidInput(N_("A message may have 5,000 characters at most. Please shorten it."), field="message")
    return content


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
