"""Places are given to whoever waits for them, and none is lost with who does not."""

from __future__ import annotations

import asyncio

from newsletter.delivery.room import Room


async def test_places_of_somebody_who_gave_up_waiting_go_to_the_next() -> None:
    room = Room(4)
    await room.take(3)
    large, small = asyncio.ensure_future(room.take(4)), asyncio.ensure_future(room.take(1))
    await asyncio.sleep(0)
    large.cancel()
    room.give(0)
    await asyncio.gather(large, return_exceptions=True)
    await asyncio.wait_for(small, 1)
    room.give(4)
    await asyncio.wait_for(room.take(4), 1)


async def test_whoever_is_cancelled_as_their_turn_comes_gives_it_back() -> None:
    room = Room(2)
    await room.take(2)
    waiting = asyncio.ensure_future(room.take(2))
    await asyncio.sleep(0)
    room.give(2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(room.take(2), 1)
