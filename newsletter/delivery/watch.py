"""What a run of outcomes says about somebody else than the reader: the relay, the recipient's domain, or us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from newsletter.core.database import Database
from newsletter.core.logs import get_logger
from newsletter.delivery import store, throttle
from newsletter.delivery.rules import (
    POLICY_RUN,
    STORM,
    DeliveryState,
    Outcome,
    is_policy,
    is_unknown_address,
    slows_domain,
    slows_relay,
)
from newsletter.delivery.throttle import Throttle

log = get_logger(__name__)


class Watch:
    """Sees the outcomes of one run. Acts when it is told to, since acting takes the database."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began = monotonic()
        self._taken: Counter[str] = Counter()
        """By recipient domain."""
        self._taken_by: Counter[str] = Counter()
        """By relay."""
        self._unknown: Counter[str] = Counter()
        self._policy_run = 0
        self._too_fast: dict[str, float] = {}
        """What asked us to go slower, by its name in the throttle, and the mails a second that it had taken by then."""
        self._pause_reason: str | None = None

    @property
    def is_alarmed(self) -> bool:
        """Whether there is something to act on."""
        return bool(self._too_fast or self._pause_reason)

    def see(self, outcome: Outcome, *, domain: str, relay: str) -> None:
        """One mail's outcome, in which a relay had its say."""
        if outcome.state is DeliveryState.ACCEPTED:
            self._policy_run = 0
            if self._unknown:
                self._unknown.pop(domain, None)
            self._taken[domain] += 1
            self._taken_by[relay] += 1
        elif slows_relay(outcome):
            self._too_fast[throttle.relay(relay)] = self._rate(self._taken_by[relay])
        elif slows_domain(outcome):
            self._too_fast[throttle.domain(domain)] = self._rate(self._taken[domain])
        elif is_policy(outcome):
            self._see_policy(outcome)
        elif is_unknown_address(outcome):
            self._see_unknown(domain)

    def _rate(self, mails: int) -> float:
        return mails / max(1.0, self._monotonic() - self._began)

    def _see_policy(self, outcome: Outcome) -> None:
        self._policy_run += 1
        if self._policy_run >= POLICY_RUN:
            self._pause_reason = f"{self._policy_run} mails in a row were refused because of us, no reader: {outcome.reply}"
            self._pause_reason = self._pause_reason[:300]

    def _see_unknown(self, domain: str) -> None:
        """That many that do not exist, one after the other: it happened at a large provider, and was its own fault."""
        self._unknown[domain] += 1
        if self._unknown[domain] == STORM:
            log.warning("storm_of_unknown_addresses", domain=domain, in_a_row=STORM, suppressed=0)

    async def act(self, db: Database, limits: Throttle, campaign_id: int) -> bool:
        """Slow down what asked for it; pause the campaign that is refused because of us. True when that was done."""
        for name, observed in list(self._too_fast.items()):  # Forgotten only when it is done: the database may be away.
            await limits.slow_down(name, observed)
            self._too_fast.pop(name, None)
        if (reason := self._pause_reason) is None:
            return False
        paused = await store.pause_campaign(db, campaign_id=campaign_id, reason=reason)
        self._pause_reason, self._policy_run = None, 0
        if paused:
            log.warning("campaign_paused", campaign_id=campaign_id, reason=reason)
        return paused
