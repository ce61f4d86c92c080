"""People who come and go, and the file outside the database that says who went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from newsletter.app import House
from newsletter.consent.withdrawal_log import WithdrawalLog
from newsletter.dev.mailbox import Mailbox
from tests.conftest import ManualClock
from tests.people import People


@pytest.fixture
async def people(house: House, clock: ManualClock, mailbox: Mailbox) -> AsyncIterator[People]:
    async with People(house, clock, mailbox) as made:
        yield made


@pytest.fixture
def log(people: People, tmp_path: Path) -> WithdrawalLog:
    folder = tmp_path / "outside"
    folder.mkdir()
    return WithdrawalLog(people.house.db, people.house.keyring, folder / "withdrawals.jsonl")
