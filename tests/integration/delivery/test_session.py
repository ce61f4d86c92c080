"""What becomes of one mail at the hands of a relay that behaves, misbehaves, or is not there."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.core.errors import DatabaseUnavailable, RelayUnreachable
from newsletter.delivery.courier import Courier
from newsletter.delivery.relays import Relay
from newsletter.delivery.rules import DeliveryState, Outcome, unreachable_pause
from newsletter.delivery.session import Mail, Session
from tests.conftest import START, ManualClock
from tests.relay import HangUp, Say, ScriptedRelay, Silence, Stage, eventually

MAIL = Mail("letter@letters.example", "ada@example.org", b"Message-ID: <1@letters.example>\r\n\r\nHello\r\n")
OTHER = replace(MAIL, recipient="ben@example.org")
REFUSALS = {
    "421 4.3.2 closing": (DeliveryState.DEFERRED, 421, "4.3.2"),
    "450 4.7.1 greylisted": (DeliveryState.DEFERRED, 450, "4.7.1"),
    "452 too much": (DeliveryState.DEFERRED, 452, None),
    "550 5.1.1 no such user": (DeliveryState.FAILED, 550, "5.1.1"),
    "550 5.7.1 not from you": (DeliveryState.FAILED, 550, "5.7.1"),
}
BEFORE_THE_BODY = [Stage.MAIL, Stage.RCPT, Stage.DATA]
IMPATIENT = 0.3
"""Seconds until our side gives up on a relay that says nothing."""


@pytest.fixture(params=["pipelined", "in lockstep"])
async def relay(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedRelay]:
    """One that announces PIPELINING, and one that does not."""
    extensions = ("PIPELINING",) if request.param == "pipelined" else ()
    async with ScriptedRelay(extensions=(*extensions, "8BITMIME", "SIZE 10240000", "SMTPUTF8")) as opened:
        yield opened


@pytest.fixture
async def session(relay: ScriptedRelay) -> AsyncIterator[Session]:
    opened = await Session.open(relay.target(), timeout=10)
    yield opened
    await opened.quit()


# A relay that behaves.


async def test_the_relay_gets_what_was_handed_over_octet_for_octet(relay: ScriptedRelay, session: Session) -> None:
    data = b"Message-ID: <1@x>\r\n\r\n.\r\n..\r\n.two\r\n\r\n.\r\nend. \r\n"
    assert (await session.send(replace(MAIL, data=data))).state is DeliveryState.ACCEPTED
    (taken,) = relay.taken
    assert (taken.sender, taken.recipient, taken.data) == (MAIL.sender, MAIL.recipient, data)


async def test_one_session_takes_any_number_of_mails(relay: ScriptedRelay, session: Session) -> None:
    for _ in range(5):
        assert (await session.send(MAIL)).state is DeliveryState.ACCEPTED
    assert (relay.sessions, len(relay.taken)) == (1, 5)


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO])
async def test_a_relay_that_speaks_octet_by_octet_and_in_long_answers_is_understood(stage: Stage) -> None:
    async with ScriptedRelay(octet_by_octet=True) as relay:
        relay.on(stage, Say("220 one\n220 two\n220 three" if stage is Stage.GREETING else "250 relay.test\n250 SIZE\n250 HELP"))
        relay.on(Stage.BODY, Say("250 2.0.0 taken\n250 2.0.0 with thanks"))
        session = await Session.open(relay.target(), timeout=10)
        outcome = await session.send(MAIL)
        await session.quit()
        assert (outcome.state, outcome.code, outcome.status) == (DeliveryState.ACCEPTED, 250, "2.0.0")
        assert relay.took() == {MAIL.recipient: 1}


@pytest.mark.parametrize("announced", [True, False])
async def test_the_size_is_said_where_the_relay_wants_to_know_it(announced: bool) -> None:
    async with ScriptedRelay(extensions=("SIZE 1000",) if announced else ()) as relay:
        session = await Session.open(relay.target(), timeout=10)
        assert (await session.send(MAIL)).state is DeliveryState.ACCEPTED
        await session.quit()
        said = f" SIZE={len(MAIL.data)}" if announced else ""
        assert f"MAIL FROM:<{MAIL.sender}>{said}" in relay.commands


# Many mails, one after the other.


class Parcels:
    """A feed, which notes what becomes of each."""

    def __init__(self, *recipients: str) -> None:
        self.waiting = [Parcel(replace(MAIL, recipient=recipient)) for recipient in recipients]
        self.given = list(self.waiting)

    def next(self) -> Parcel | None:
        return self.waiting.pop(0) if self.waiting else None


class Parcel:
    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.ends: list[tuple[str, Outcome]] = []

    def may_begin(self) -> None:
        return None

    def settle(self, outcome: Outcome) -> None:
        self.ends.append(("settled", outcome))

    def lost(self, outcome: Outcome) -> None:
        self.ends.append(("lost", outcome))


async def test_the_next_envelope_goes_out_behind_the_body_where_the_relay_allows_it(
    relay: ScriptedRelay, session: Session
) -> None:
    held = relay.hold(Stage.BODY, to="a@example.org")
    delivering = asyncio.ensure_future(session.deliver(Parcels("a@example.org", "b@example.org")))
    await held.reached()
    waiting = b"RCPT TO:<b@example.org>" in relay.unread
    held.release()
    await delivering
    assert waiting == ("PIPELINING" in relay.extensions)
    assert [mail.recipient for mail in relay.taken] == ["a@example.org", "b@example.org"]


ACTS: dict[str, tuple[Stage, Say | HangUp] | None] = {
    "fine": None,
    "refused at MAIL": (Stage.MAIL, Say("452 4.3.1 no room")),
    "refused at RCPT": (Stage.RCPT, Say("550 5.1.1 no such user")),
    "put off at RCPT": (Stage.RCPT, Say("450 4.2.1 busy")),
    "refused at DATA": (Stage.DATA, Say("554 5.7.1 not from you")),
    "refused after the body": (Stage.BODY, Say("554 5.6.0 no")),
    "closing at RCPT": (Stage.RCPT, Say("421 4.3.2 closing")),
    "closing after the body": (Stage.BODY, Say("421 4.3.2 closing")),
    "gone at DATA": (Stage.DATA, HangUp()),
    "gone after taking": (Stage.BODY, HangUp(taking=True)),
    "gone without taking": (Stage.BODY, HangUp()),
}


@pytest.mark.parametrize("pipelining", [True, False])
@settings(max_examples=40, deadline=None)
@given(script=st.lists(st.sampled_from(sorted(ACTS)), min_size=1, max_size=8))
def test_whatever_a_relay_does_each_mail_has_one_end_that_agrees_with_what_the_relay_took(
    pipelining: bool, script: list[str]
) -> None:
    async def run() -> None:
        async with ScriptedRelay(extensions=("PIPELINING",) if pipelining else ()) as relay:
            names = [f"r{number}@example.org" for number in range(len(script))]
            for name, act in zip(names, script, strict=True):
                if found := ACTS[act]:
                    stage, does = found
                    relay.on(stage, does, to=name.replace("example.org", "letters.example") if stage is Stage.MAIL else name)
            parcels = Parcels(*names)
            for parcel in parcels.given:
                parcel.mail.sender = parcel.mail.recipient.replace("example.org", "letters.example")
            while parcels.waiting:
                session = await Session.open(relay.target(), timeout=5)
                await session.deliver(parcels)
                session.close()
            took = relay.took()
            assert max(took.values(), default=0) <= 1
            for parcel in parcels.given:
                ((how, outcome),) = parcel.ends
                taken = took[parcel.mail.recipient] == 1
                match outcome.state:
                    case DeliveryState.ACCEPTED:
                        assert taken
                        assert how == "settled"
                    case DeliveryState.UNCERTAIN:
                        assert how == "settled"
                    case _:
                        assert not taken

    asyncio.run(run())


# Addresses beyond ASCII.


async def test_a_local_part_beyond_ascii_goes_where_smtputf8_is_announced(relay: ScriptedRelay, session: Session) -> None:
    outcome = await session.send(replace(MAIL, recipient="jürgen@exämple.org", utf8=True))
    assert outcome.state is DeliveryState.ACCEPTED
    assert relay.took() == {"jürgen@xn--exmple-cua.org": 1}
    assert any(line.startswith("MAIL") and "SMTPUTF8" in line and "BODY=8BITMIME" in line for line in relay.commands)


async def test_a_local_part_beyond_ascii_fails_for_this_reader_alone_where_it_is_not(relay: ScriptedRelay) -> None:
    relay.extensions = ("8BITMIME",)
    session = await Session.open(relay.target(), timeout=10)
    outcome = await session.send(replace(MAIL, recipient="jürgen@example.org", utf8=True))
    assert (outcome.state, outcome.status) == (DeliveryState.FAILED, "5.6.7")
    assert (await session.send(OTHER)).state is DeliveryState.ACCEPTED
    await session.quit()
    assert relay.took() == {OTHER.recipient: 1}


async def test_a_domain_beyond_ascii_needs_no_smtputf8(relay: ScriptedRelay) -> None:
    relay.extensions = ()
    session = await Session.open(relay.target(), timeout=10)
    assert (await session.send(replace(MAIL, recipient="ada@exämple.org"))).state is DeliveryState.ACCEPTED
    await session.quit()
    assert relay.took() == {"ada@xn--exmple-cua.org": 1}


@pytest.mark.parametrize("recipient", ["ada@-ü-.example", "ädä@example.org", "x <eve@example.org>", "a@b\r\nRCPT TO:<c@d"])
async def test_an_address_that_no_envelope_takes_fails_and_spoils_nothing(
    relay: ScriptedRelay, session: Session, recipient: str
) -> None:
    outcome = await session.send(replace(MAIL, recipient=recipient))
    assert (outcome.state, outcome.status) == (DeliveryState.FAILED, "5.1.3")
    assert (await session.send(OTHER)).state is DeliveryState.ACCEPTED
    assert relay.took() == {OTHER.recipient: 1}


# Refusals.


@pytest.mark.parametrize("stage", [*BEFORE_THE_BODY, Stage.BODY])
@pytest.mark.parametrize("reply", REFUSALS)
async def test_a_refusal_is_the_outcome_and_the_session_goes_on_unless_the_relay_closes_it(
    relay: ScriptedRelay, session: Session, stage: Stage, reply: str
) -> None:
    relay.on(stage, Say(reply), times=1)
    outcome = await session.send(MAIL)
    assert (outcome.state, outcome.code, outcome.status) == REFUSALS[reply]
    assert session.usable == (outcome.code != 421)
    assert relay.taken == []
    if session.usable:
        assert (await session.send(OTHER)).state is DeliveryState.ACCEPTED
        assert relay.took() == {OTHER.recipient: 1}


@pytest.mark.parametrize("stage", BEFORE_THE_BODY)
@pytest.mark.parametrize("reply", ["200 well", "252 who knows", "299 2.0.0 taken", "334 what", "hello"])
async def test_only_the_answer_to_the_last_dot_can_take_a_mail(
    relay: ScriptedRelay, session: Session, stage: Stage, reply: str
) -> None:
    relay.on(stage, Say(reply), times=1)
    outcome = await session.send(MAIL)
    assert (outcome.state, session.usable) == (DeliveryState.DEFERRED, False)


@pytest.mark.parametrize("reply", ["354 go on", "199 hm", "hello", "699 what"])
async def test_an_answer_to_the_last_dot_that_is_neither_yes_nor_no_leaves_the_mail_uncertain(
    relay: ScriptedRelay, session: Session, reply: str
) -> None:
    relay.on(Stage.BODY, Say(reply))
    outcome = await session.send(MAIL)
    assert (outcome.state, session.usable) == (DeliveryState.UNCERTAIN, False)


async def test_a_body_for_nobody_is_empty_and_the_session_goes_on(relay: ScriptedRelay, session: Session) -> None:
    relay.asks_for_any_body = True
    relay.on(Stage.RCPT, Say("550 5.1.1 no such user"), times=1)
    assert (await session.send(MAIL)).status == "5.1.1"
    assert await session.send(OTHER) == Outcome(DeliveryState.ACCEPTED, 250, "2.0.0", "2.0.0 taken")
    assert set(relay.for_nobody) <= {b""}
    assert (len(relay.for_nobody), relay.sessions) == ("PIPELINING" in relay.extensions, 1)


async def test_a_relay_that_cannot_forget_an_envelope_is_left(relay: ScriptedRelay, session: Session) -> None:
    relay.on(Stage.RCPT, Say("550 5.1.1 no such user"))
    relay.on(Stage.RSET, HangUp())
    assert (await session.send(MAIL)).state is DeliveryState.FAILED
    assert not session.usable


@pytest.mark.parametrize("code", ["421 4.7.0 too many mails", "530 5.7.0 Must issue STARTTLS first"])
async def test_a_relay_that_refuses_at_mail_and_hangs_up_touches_no_mail(
    relay: ScriptedRelay, session: Session, code: str
) -> None:
    relay.on(Stage.MAIL, Say(code), times=1)
    relay.on(Stage.RCPT, HangUp())
    relay.on(Stage.MAIL, HangUp())
    if code.startswith("530"):
        with pytest.raises(RelayUnreachable, match="wants a login"):
            await session.send(MAIL)
    else:
        outcome = await session.send(MAIL)
        assert (outcome.state, outcome.code, session.ended_early) == (DeliveryState.DEFERRED, 421, True)
    assert not session.usable


async def test_a_session_that_ended_while_nobody_used_it_says_so_at_once(relay: ScriptedRelay, session: Session) -> None:
    await session.send(MAIL)
    await relay.close()

    async def gone() -> bool:
        return not session.usable

    await eventually(gone)
    outcome = await session.send(OTHER)
    assert (outcome.state, session.ended_early) == (DeliveryState.DEFERRED, True)


async def test_a_goodbye_that_is_cancelled_ends_the_session_at_once_and_the_cancelling_goes_on(
    relay: ScriptedRelay, session: Session
) -> None:
    """Who closes a lane cancels whoever says goodbye: one that went on would open the next session."""
    await session.send(MAIL)
    goodbye = asyncio.ensure_future(session.quit())
    await asyncio.sleep(0)
    goodbye.cancel()
    with pytest.raises(asyncio.CancelledError):
        await goodbye
    assert not session.usable


# Lost connections.


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO])
@pytest.mark.parametrize("act", [HangUp(), Silence(), Say("554 5.3.2 not now"), Say("421 4.3.2 busy")])
async def test_a_relay_that_gives_no_session_cannot_be_reached(
    relay: ScriptedRelay, stage: Stage, act: HangUp | Silence | Say
) -> None:
    relay.on(stage, act)
    with pytest.raises(RelayUnreachable, match="NEWSLETTER_SMTP_URL"):
        await Session.open(relay.target(), timeout=IMPATIENT if isinstance(act, Silence) else 10)


@pytest.mark.parametrize("stage", BEFORE_THE_BODY)
@pytest.mark.parametrize("act", [HangUp(), Silence(), Silence(muttering=True)])
async def test_a_connection_lost_before_the_body_defers(relay: ScriptedRelay, stage: Stage, act: HangUp | Silence) -> None:
    relay.on(stage, act)
    session = await Session.open(relay.target(), timeout=IMPATIENT if isinstance(act, Silence) else 10)
    outcome = await session.send(MAIL)
    assert (outcome.state, outcome.code, session.usable) == (DeliveryState.DEFERRED, None, False)
    assert session.ended_early


async def test_a_connection_lost_between_the_go_ahead_and_the_body_defers(relay: ScriptedRelay, session: Session) -> None:
    relay.on(Stage.GO_AHEAD, HangUp())

    async def gone() -> bool:
        return not session.usable

    async def gate() -> bool:
        await eventually(gone)
        return True

    outcome = await session.send(MAIL, gate)
    assert (outcome.state, outcome.code) == (DeliveryState.DEFERRED, None)
    assert relay.begun == []


@pytest.mark.parametrize("stage", [Stage.MIDWAY, Stage.BODY])
@pytest.mark.parametrize("act", [HangUp(), HangUp(taking=True), Silence(), Silence(taking=True), Silence(muttering=True)])
async def test_a_connection_lost_once_the_body_has_begun_leaves_the_mail_uncertain(
    relay: ScriptedRelay, stage: Stage, act: HangUp | Silence
) -> None:
    relay.on(stage, act)
    session = await Session.open(relay.target(), timeout=IMPATIENT if isinstance(act, Silence) else 10)
    outcome = await session.send(MAIL)
    assert (outcome.state, outcome.code, session.usable) == (DeliveryState.UNCERTAIN, None, False)
    assert relay.begun == [MAIL.recipient]


# The gate.


async def test_no_body_is_begun_where_the_gate_says_no_and_the_connection_is_closed(
    relay: ScriptedRelay, session: Session
) -> None:
    asked: list[list[str]] = []

    async def gate() -> bool:
        asked.append(relay.commands[-1:])
        return False

    assert (await session.send(MAIL, gate)).state is DeliveryState.SKIPPED
    assert asked == [["DATA"]], "it is asked once, and last of all"
    await relay.until(lambda: relay.open_sessions == 0)
    assert (relay.begun, session.usable) == ([], False)


async def test_no_body_is_begun_where_the_gate_cannot_tell_and_the_error_comes_through(
    relay: ScriptedRelay, session: Session
) -> None:
    async def gate() -> bool:
        raise DatabaseUnavailable("gone")

    with pytest.raises(DatabaseUnavailable):
        await session.send(MAIL, gate)
    await relay.until(lambda: relay.open_sessions == 0)
    assert (relay.begun, session.usable) == ([], False)


# TLS and login.


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Signed by itself, for 127.0.0.1, with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START - timedelta(days=1000))
        .not_valid_after(START + timedelta(days=10000))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "relay.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
async def secure_relay(certificate: Path) -> AsyncIterator[ScriptedRelay]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with ScriptedRelay(tls=context, login=("news", "sesame")) as relay:
        yield relay


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.mark.usefixtures("trusted")
async def test_a_mail_goes_through_starttls_and_login(secure_relay: ScriptedRelay) -> None:
    session = await Session.open(secure_relay.target(tls="starttls", user="news", password="sesame"), timeout=10)
    assert (await session.send(MAIL)).state is DeliveryState.ACCEPTED
    await session.quit()
    assert secure_relay.took() == {MAIL.recipient: 1}
    verbs = [line.split()[0] for line in secure_relay.commands]
    assert verbs == ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]


@pytest.mark.usefixtures("trusted")
async def test_a_refused_login_says_what_to_do_and_nothing_secret(secure_relay: ScriptedRelay) -> None:
    with pytest.raises(RelayUnreachable, match=r"user or password.*NEWSLETTER_SMTP_URL") as refused:
        await Session.open(secure_relay.target(tls="starttls", user="news", password="wrongword"), timeout=10)
    assert "wrongword" not in str(refused.value)
    assert "MAIL" not in "".join(secure_relay.commands)


async def test_a_relay_that_wants_a_login_we_have_not_got_touches_no_mail(relay: ScriptedRelay, session: Session) -> None:
    relay.login = ("news", "sesame")
    with pytest.raises(RelayUnreachable, match=r"wants a login.*NEWSLETTER_SMTP_URL"):
        await session.send(MAIL)
    assert not session.usable


async def test_a_certificate_that_nobody_vouches_for_is_refused_and_says_what_to_do(secure_relay: ScriptedRelay) -> None:
    with pytest.raises(RelayUnreachable, match=r"certificate that cannot be verified.*host name"):
        await Session.open(secure_relay.target(tls="starttls", user="news", password="sesame"), timeout=10)
    assert [line.split()[0] for line in secure_relay.commands] == ["EHLO", "STARTTLS"]


async def test_without_starttls_nothing_is_sent_in_clear(relay: ScriptedRelay) -> None:
    relay.login = ("news", "sesame")
    for user, password in (("", ""), relay.login):
        with pytest.raises(RelayUnreachable, match=r"offers no STARTTLS.*smtps"):
            await Session.open(relay.target(tls="starttls", user=user, password=password), timeout=10)
    assert [line.split()[0] for line in relay.commands] == ["EHLO", "EHLO"]


async def test_a_relay_that_takes_no_login_says_so(relay: ScriptedRelay) -> None:
    with pytest.raises(RelayUnreachable, match=r"takes no login.*NEWSLETTER_SMTP_URL"):
        await Session.open(relay.target(user="news", password="sesame"), timeout=10)


# A courier and its sessions.


class Couriers:
    """Made by a test, closed after it."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.made: list[Courier] = []

    def __call__(self, *relays: Relay, connections: int = 1, timeout: float = 10) -> Courier:
        courier = Courier(relays, connections=connections, timeout=timeout, monotonic=self._monotonic)
        self.made.append(courier)
        return courier

    def _monotonic(self) -> float:
        return (self._clock.now() - START).total_seconds()


@pytest.fixture
async def couriers(clock: ManualClock) -> AsyncIterator[Couriers]:
    making = Couriers(clock)
    yield making
    await asyncio.gather(*(courier.close() for courier in making.made))


async def test_sessions_are_used_again_and_never_more_than_allowed(relay: ScriptedRelay, couriers: Couriers) -> None:
    courier = couriers(relay.target(), connections=3)
    outcomes = await asyncio.gather(*(courier.send(MAIL) for _ in range(30)))
    assert {outcome.state for outcome in outcomes} == {DeliveryState.ACCEPTED}
    assert (relay.sessions, relay.most_sessions, len(relay.taken)) == (3, 3, 30)


@pytest.mark.parametrize("act", [HangUp(), Silence(), Say("421 4.3.2 that was enough for one connection")])
@pytest.mark.parametrize("stage", BEFORE_THE_BODY)
async def test_a_session_that_the_relay_has_ended_is_replaced_at_once(
    relay: ScriptedRelay, couriers: Couriers, stage: Stage, act: HangUp | Silence | Say
) -> None:
    courier = couriers(relay.target(), timeout=IMPATIENT if isinstance(act, Silence) else 10)
    await courier.send(MAIL)
    relay.on(stage, act, times=1)
    assert (await courier.send(OTHER)).state is DeliveryState.ACCEPTED
    assert relay.took() == {MAIL.recipient: 1, OTHER.recipient: 1}
    assert relay.sessions == 2


async def test_a_mail_that_ends_every_session_is_deferred_and_not_tried_for_ever(
    relay: ScriptedRelay, couriers: Couriers
) -> None:
    courier = couriers(relay.target())
    await courier.send(MAIL)
    relay.on(Stage.RCPT, HangUp(), to=OTHER.recipient)
    assert (await courier.send(OTHER)).state is DeliveryState.DEFERRED
    assert relay.sessions == 2


async def test_an_uncertain_mail_is_not_sent_again_at_once(relay: ScriptedRelay, couriers: Couriers) -> None:
    courier = couriers(relay.target())
    await courier.send(MAIL)
    relay.on(Stage.BODY, HangUp(taking=True), times=1)
    assert (await courier.send(OTHER)).state is DeliveryState.UNCERTAIN
    assert relay.took() == {MAIL.recipient: 1, OTHER.recipient: 1}


async def test_the_next_relay_takes_over_and_the_first_is_left_alone_for_a_while(
    relay: ScriptedRelay, couriers: Couriers, clock: ManualClock
) -> None:
    async with ScriptedRelay() as second:
        relay.on(Stage.GREETING, Say("554 5.3.2 not now"))
        courier = couriers(relay.target(), second.target())
        for _ in range(2):
            assert (await courier.send(MAIL)).state is DeliveryState.ACCEPTED
            await second.close()  # So that a session has to be opened anew.
            await second.open()
        assert (relay.sessions, len(second.taken), courier.rest.total_seconds()) == (1, 2, 0)
        clock.at += unreachable_pause(1)
        relay.behave()
        await courier.send(MAIL)
        assert (len(relay.taken), len(second.taken)) == (1, 2)


async def test_a_relay_that_cannot_be_reached_is_left_alone_for_longer_each_time_up_to_a_bound(
    relay: ScriptedRelay, couriers: Couriers, clock: ManualClock
) -> None:
    courier = couriers(relay.target())
    relay.on(Stage.GREETING, HangUp())
    pauses = []
    for tries in range(1, 10):
        with pytest.raises(RelayUnreachable):
            await courier.send(MAIL)
        assert relay.sessions == tries
        with pytest.raises(RelayUnreachable, match="tried again by itself"):
            await courier.send(MAIL)
        assert relay.sessions == tries, "it is left alone"
        pauses.append(courier.rest.total_seconds())
        clock.at += courier.rest
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    relay.behave()
    assert (await courier.send(MAIL)).state is DeliveryState.ACCEPTED
    relay.on(Stage.GREETING, HangUp())
    await relay.close()
    await relay.open()
    with pytest.raises(RelayUnreachable):
        await courier.send(MAIL)
    assert courier.rest.total_seconds() == 5, "it starts from the beginning"


async def test_connections_that_fail_together_are_one_failure(relay: ScriptedRelay, couriers: Couriers) -> None:
    courier = couriers(relay.target(), connections=8)
    relay.on(Stage.GREETING, HangUp())
    results = await asyncio.gather(*(courier.send(MAIL) for _ in range(8)), return_exceptions=True)
    assert {type(result) for result in results} == {RelayUnreachable}
    assert relay.sessions > 1
    assert courier.rest == unreachable_pause(1)


async def test_a_relay_that_wants_a_login_is_left_alone_for_longer_each_time(
    relay: ScriptedRelay, couriers: Couriers, clock: ManualClock
) -> None:
    relay.login = ("news", "sesame")
    courier = couriers(relay.target())
    for failures in (1, 2, 3):
        with pytest.raises(RelayUnreachable):
            await courier.send(MAIL)
        assert courier.rest == unreachable_pause(failures)
        clock.at += courier.rest


async def test_a_mail_that_is_called_off_leaves_no_session_in_the_middle_of_it(
    relay: ScriptedRelay, couriers: Couriers
) -> None:
    courier = couriers(relay.target())
    held = relay.hold(Stage.RCPT, times=1)
    called_off = asyncio.ensure_future(courier.send(MAIL))
    await held.reached()
    called_off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await called_off
    held.release()
    assert (await courier.send(OTHER)).state is DeliveryState.ACCEPTED
    assert (relay.took(), relay.sessions) == ({OTHER.recipient: 1}, 2)


async def test_closing_says_goodbye_to_the_relay(relay: ScriptedRelay, couriers: Couriers) -> None:
    courier = couriers(relay.target(), connections=2)
    await asyncio.gather(courier.send(MAIL), courier.send(OTHER))
    await courier.close()
    assert relay.commands.count("QUIT") == relay.sessions == 2
