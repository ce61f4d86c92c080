"""A relay is tried without a mail: what it announces, and why it cannot be used."""

from __future__ import annotations

import pytest

from newsletter.core.database import Database
from newsletter.core.errors import NotFound, RelayUnreachable
from newsletter.delivery.probe import probe
from newsletter.delivery.standing import Relays
from tests.integration.delivery.test_session import certificate, secure_relay, trusted
from tests.relay import ScriptedRelay, Silence, Stage

__all__ = ["certificate", "secure_relay", "trusted"]


@pytest.mark.usefixtures("trusted")
async def test_it_says_how_it_is_encrypted_that_we_are_in_and_what_it_can_do(secure_relay: ScriptedRelay) -> None:
    found = await probe(secure_relay.target(tls="starttls", user="news", password="sesame"), within=10)
    assert (found.tls, found.is_signed_in) == ("TLSv1.3", True)
    assert found.has("PIPELINING")
    assert "PLAIN" in found.logins
    assert not secure_relay.taken


@pytest.mark.usefixtures("trusted")
async def test_a_wrong_password_is_told(secure_relay: ScriptedRelay) -> None:
    with pytest.raises(RelayUnreachable, match="refused user or password"):
        await probe(secure_relay.target(tls="starttls", user="news", password="wrongword"), within=10)


async def test_one_that_says_nothing_is_not_waited_for(relay: ScriptedRelay) -> None:
    relay.on(Stage.GREETING, Silence())
    with pytest.raises(RelayUnreachable):
        await probe(relay.target(), within=0.2)


async def test_only_relays_of_the_settings_are_tried(relay: ScriptedRelay, db: Database) -> None:
    with pytest.raises(NotFound):
        await Relays(db, [relay.target()], timeout=2).test("elsewhere:25")
    assert (await Relays(db, [relay.target()], timeout=2).test(relay.target().name)).tls == ""
