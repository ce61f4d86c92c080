"""Why a mail was not taken: what servers of all kinds say, in few groups, each with what happens next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.delivery.reasons import Reason, explain, reason_of
from newsletter.delivery.rules import DeliveryState

D, F = "deferred", "failed"


@pytest.mark.parametrize(
    ("state", "code", "status", "hint", "reason"),
    [
        # As Gmail, Outlook, Yahoo, GMX, Postfix and Exchange say it.
        (F, 550, "5.1.1", "", Reason.NO_SUCH_MAILBOX),
        (F, 550, "5.1.10", "", Reason.NO_SUCH_DOMAIN),
        (F, 550, "", "", Reason.NO_SUCH_MAILBOX),
        (F, 550, "5.2.1", "", Reason.MAILBOX_CLOSED),
        (F, 552, "5.2.2", "full", Reason.MAILBOX_FULL),
        (D, 452, "4.2.2", "full", Reason.MAILBOX_FULL),
        (F, 550, "", "full", Reason.MAILBOX_FULL),
        (D, 450, "4.2.0", "greylisted", Reason.GREYLISTED),
        (D, 451, "4.7.1", "greylisted", Reason.GREYLISTED),
        (D, 451, "", "greylisted", Reason.GREYLISTED),
        (D, 421, "4.7.0", "busy", Reason.BUSY),
        (D, 421, "4.7.28", "busy", Reason.BUSY),
        (D, 421, "", "", Reason.BUSY),
        (D, 451, "4.3.2", "", Reason.BUSY),
        (F, 550, "5.7.1", "sender", Reason.REPUTATION),
        (F, 550, "5.7.26", "", Reason.REPUTATION),
        (F, 550, "5.7.515", "", Reason.REPUTATION),
        (F, 550, "5.7.1", "content", Reason.CONTENT),
        (F, 554, "", "content", Reason.CONTENT),
        (F, 554, "", "", Reason.REPUTATION),
        (F, 552, "5.3.4", "", Reason.TOO_LARGE),
        (F, 550, "5.6.7", "", Reason.UNWRITABLE),
        (F, 530, "5.7.0", "", Reason.REPUTATION),
        (F, 535, "5.7.8", "", Reason.SET_UP),
        (F, 501, "5.5.4", "", Reason.SET_UP),
        (F, 550, "5.4.4", "", Reason.NO_SUCH_DOMAIN),
        (D, 450, "4.4.1", "", Reason.UNREACHABLE),
        (D, 0, "", "", Reason.UNREACHABLE),
        (F, 0, "", "", Reason.OTHER),
        (F, 599, "5.9.9", "", Reason.OTHER),
        (D, 499, "4.9.9", "", Reason.BUSY),
        # Not deferred, so nobody tries again in half an hour, whatever the words say.
        (F, 550, "", "greylisted", Reason.NO_SUCH_MAILBOX),
    ],
)
def test_replies_are_told_apart(state: str, code: int, status: str, hint: str, reason: Reason) -> None:
    assert reason_of(state, code=code, status=status, hint=hint) is reason


def test_what_was_not_tried_or_not_answered_needs_no_reply() -> None:
    assert reason_of("skipped", code=0, status="") is Reason.LEFT
    assert reason_of("uncertain", code=250, status="2.0.0") is Reason.NO_ANSWER
    assert reason_of("deferred", code=421, status="4.7.0", paced=True) is Reason.PACED


@given(
    st.sampled_from([state.value for state in DeliveryState]),
    st.integers(0, 999),
    st.one_of(st.just(""), st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True), st.text(max_size=12)),
    st.booleans(),
    st.sampled_from(["", "greylisted", "full", "content", "sender", "busy", "unheard of"]),
    st.booleans(),
)
def test_every_reply_has_a_reason_and_every_reason_says_what_happens(
    state: str, code: int, status: str, paced: bool, hint: str, under_way: bool
) -> None:
    reason = reason_of(state, code=code, status=status, paced=paced, hint=hint)
    told = explain(state, reason, under_way=under_way)
    assert told.words
    assert told.next
    if not under_way:
        assert not told.next.startswith("Tried again")
    if state == "failed":
        assert "Tried again" not in told.next


def test_no_reader_is_blamed_for_what_is_about_us() -> None:
    for reason in (Reason.REPUTATION, Reason.CONTENT, Reason.SET_UP):
        assert explain("failed", reason, under_way=True).about_us
    assert not explain("failed", Reason.NO_SUCH_MAILBOX, under_way=True).about_us


def test_a_group_of_another_version_is_shown_all_the_same() -> None:
    assert explain("failed", "of-tomorrow", under_way=False).words == "Refused without a reason we know"
