"""What an operator wants to know before a campaign is sent, and the number that they type to say that they know it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from newsletter.campaigns.service import Campaigns, digest
from newsletter.core.errors import Conflict, InvalidContent, InvalidInput

_GROUPING = str.maketrans("", "", " \u00a0\u2009\u202f,.'\u2019_")
"""How thousands are set apart here and there."""


@dataclass(frozen=True)
class Ready:
    """`problem`: why the words are no mail; `obstacle`: why nothing can be sent now, whatever the words."""

    subjects: dict[str, str]
    """By language."""
    words: str
    """Their digest, to send or schedule these and no others."""
    sender: str
    readers: int | None
    problem: str | None
    obstacle: str | None

    @property
    def is_ready(self) -> bool:
        return self.problem is None and self.obstacle is None


async def readiness(campaigns: Campaigns, campaign_id: int) -> Ready:
    """Of a draft, or of what waits for its time. Raises `NotFound`."""
    drafts = await campaigns.drafts(campaign_id)
    subjects = {draft.language: draft.subject for draft in drafts}
    # Side by side: of a large list each takes a tenth of a second.
    (sender, problem), (readers, obstacle) = await asyncio.gather(
        _words(campaigns, campaign_id), _audience(campaigns, campaign_id)
    )
    return Ready(subjects, digest(drafts), sender, readers, problem, obstacle)


async def _words(campaigns: Campaigns, campaign_id: int) -> tuple[str, str | None]:
    """Who it comes from, or why it is no mail."""
    try:
        sender = (await campaigns.sendable(campaign_id)).mailing_list.sender
    except InvalidContent as error:
        return "", str(error)
    return f"{sender.name} <{sender.from_address}>", None


async def _audience(campaigns: Campaigns, campaign_id: int) -> tuple[int | None, str | None]:
    """How many would get it, or why nobody can."""
    try:
        return await campaigns.audience(campaign_id), None
    except Conflict as error:
        return None, str(error)


def confirmed_readers(typed: str) -> int:
    """`52,906`, `52 906` and `52.906` are the same. Raises `InvalidInput` for what is no whole number."""
    digits = typed.strip().translate(_GROUPING)
    if not digits.isdecimal() or len(digits) > 9:
        raise InvalidInput("Type the number of readers as it is said above.", field="readers")
    return int(digits)
