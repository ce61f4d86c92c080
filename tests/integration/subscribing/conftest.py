"""Two lists, and the people who sign up for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from newsletter.app import House
from newsletter.dev.mailbox import Mailbox
from tests.conftest import ManualClock
from tests.people import People


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is logged when a request fails is another test's matter, and formatting it for a terminal takes half a second."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


@pytest.fixture
async def people(house: House, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[People]:
    async with People(house, clock, mailbox) as made:
        yield made
