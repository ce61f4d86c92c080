"""How many intents without outcome one worker may have: what would be uncertain if it were killed now."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque


class Room:
    """Places that the runs of a worker share; first come, first served."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, places: int) -> None:
        """Wait for so many places, which may not be more than there are."""
        if not self._queue and self._free >= places:
            self._free -= places
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((places, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(places)
            else:
                with contextlib.suppress(ValueError):
                    self._queue.remove((places, turn))
                self.give(0)  # Somebody behind may need less.
            raise

    def give(self, places: int) -> None:
        """They are free again."""
        self._free += places
        while self._queue and (self._queue[0][1].done() or self._free >= self._queue[0][0]):
            taken, turn = self._queue.popleft()
            if not turn.done():  # Else it was cancelled, and has not heard of it yet.
                self._free -= taken
                turn.set_result(None)
