"""A circuit breaker for one relay: one that fails is left alone for a while, longer each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from newsletter.delivery.rules import unreachable_pause


class Circuit:
    """Shared by all that talk to that relay in this process. `monotonic` gives the seconds of the process's own clock."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._leave_alone_until = monotonic()

    @property
    def rest(self) -> timedelta:
        """How long the relay is still left alone; zero when it may be tried."""
        return timedelta(seconds=max(0.0, self._leave_alone_until - self._monotonic()))

    def failed(self) -> None:
        """It could not be reached. Connections that fail together are one failure."""
        now = self._monotonic()
        if now >= self._leave_alone_until:
            self._failures += 1
            self._leave_alone_until = now + unreachable_pause(self._failures).total_seconds()

    def worked(self) -> None:
        """It took part in a conversation to its end."""
        self._failures = 0
