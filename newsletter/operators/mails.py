"""The one mail of this room: a link to set a password, for somebody invited or somebody who has forgotten theirs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from newsletter.core.database import Connection
from newsletter.core.i18n import long_time
from newsletter.delivery.session import Mail
from newsletter.delivery.store import QueuedMail
from newsletter.operators import store
from newsletter.subscribing.lists import lists_by_id
from newsletter.subscribing.mails import filled, single_mail, template_words


class OperatorMails:
    """Makes the mails that the outbox has in hand for this room. `link`: from a row's number to the address."""

    def __init__(self, link: Callable[[int], str]) -> None:
        self._link = link

    async def compose(self, db: Connection, queued: QueuedMail, now: datetime) -> Mail | None:
        """None when the link was used, has lapsed, or is for somebody who was let go."""
        assert queued.request_id is not None
        found = await store.link(db, link_id=queued.request_id, now=now)
        if found is None or found.address is None:
            return None
        for mailing_list in await lists_by_id(db, queued.list_ids):
            slots = {
                "name": found.name,
                "until": long_time(found.expires_at.astimezone(mailing_list.zone), queued.language),
                "link": self._link(found.link_id),
            }
            words = filled(template_words("operator", queued.language), slots)
            return single_mail(queued, mailing_list.sender, found.address, words, at=now.astimezone(mailing_list.zone))
        return None
