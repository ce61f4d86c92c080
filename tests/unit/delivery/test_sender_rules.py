"""What receivers would say of a sender's records: SPF, DKIM, DMARC, the names of machines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from newsletter.core.findings import Result
from newsletter.delivery import sender_rules
from newsletter.delivery.dmarc import Dmarc, agrees, look_at_dmarc
from newsletter.delivery.resolver import DnsUnavailable
from newsletter.delivery.signing import KeyShown
from newsletter.delivery.spf import look_at_spf
from tests.names import Names

D = "letters.example"
RELAY = {"mail.example": ["192.0.2.7"]}
AT = datetime(2026, 11, 21, tzinfo=UTC)
PUBLIC = "MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
KEY = KeyShown("k1", D, "ed25519", AT, AT, f"k1._domainkey.{D}", f"v=DKIM1; k=ed25519; p={PUBLIC}")


@pytest.mark.parametrize(
    ("records", "result", "said"),
    [
        ([], "bad", "There is no record"),
        (["some other text"], "bad", "There is no record"),
        (["v=spf10 -all"], "bad", "There is no record"),
        (["v=spf1 ip4:192.0.2.0/24 -all"], "good", "ends with -all, and names the relay"),
        (["V=SPF1 IP4:192.0.2.7 ~ALL"], "good", "~all"),
        (["v=spf1 -all", "v=spf1 ~all"], "bad", "2 records"),
        (["v=spf1 +all"], "bad", "lets everybody"),
        (["v=spf1 ip4:192.0.2.7"], "warn", "does not say what to do"),
        (["v=spf1 ip4:192.0.2.7 ?all"], "warn", "does not say what to do"),
        (["v=spf1 ip4:198.51.100.1 -all"], "warn", "does not name the addresses of mail.example"),
        (["v=spf1 a:mail.example -all"], "good", "names the relay"),
        (["v=spf1 a:mail.example/24 -all"], "good", "names the relay"),
        (["v=spf1 mx -all"], "good", "names the relay"),
        (["v=spf1 include:provider.example -all"], "good", "names the relay"),
        (["v=spf1 redirect=provider.example"], "good", "ends with ~all"),
        (["v=spf1 include:nobody.example -all"], "bad", "includes nobody.example"),
        (["v=spf1 include:open.example -all"], "bad", "open.example, which lets everybody send"),
        (["v=spf1 redirect=nobody.example"], "bad", "nobody.example"),
        (["v=spf1 ip4:192.0.2.999 -all"], "bad", "no network"),
        (["v=spf1 ipv4:192.0.2.7 -all"], "bad", "no term of SPF"),
        (["v=spf1 include:loop.example -all"], "bad", "more than 10 times"),
        (["v=spf1 " + "a " * 11 + "-all"], "bad", "more than 10 times"),
        (["v=spf1 exists:%{i}.list.example -all"], "good", "-all"),
    ],
)
async def test_spf_is_read_as_a_receiver_reads_it(records: list[str], result: str, said: str) -> None:
    names = Names(
        txt={
            D: records,
            "provider.example": ["v=spf1 ip4:192.0.2.0/28 ~all"],
            "open.example": ["v=spf1 +all"],
            "loop.example": ["v=spf1 include:loop.example -all"],
        },
        hosts={"mail.example": ["192.0.2.7"]},
        mx={D: ["mail.example"]},
    )
    finding = sender_rules.spf_finding(D, await look_at_spf(D, names), RELAY)
    assert (finding.result, said in finding.found) == (result, True), finding
    assert bool(finding.advice) == (result != "good")


async def test_without_a_record_the_advice_is_a_record_that_fits_the_relay() -> None:
    finding = sender_rules.spf_finding(D, await look_at_spf(D, Names()), RELAY | {"six.example": ["2001:db8::7"]})
    assert '"v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all"' in finding.advice


@pytest.mark.parametrize(
    ("txt", "result", "said"),
    [
        ({}, "bad", "There is no record"),
        ({f"_dmarc.{D}": ["v=DMARC1; p=reject; rua=mailto:d@letters.example"]}, "good", "p=reject, with reports"),
        ({f"_dmarc.{D}": ["v=DMARC1; p=none; rua=mailto:d@letters.example"]}, "good", "p=none, with reports"),
        ({f"_dmarc.{D}": ["v=DMARC1; p=none"]}, "warn", "nobody is told"),
        ({f"_dmarc.{D}": ["v=DMARC1;p=quarantine"]}, "good", "p=quarantine."),
        ({f"_dmarc.{D}": ["v=dmarc1; p=reject"]}, "bad", "There is no record"),  # The version is case-sensitive.
        ({f"_dmarc.{D}": ["p=reject; v=DMARC1"]}, "bad", "There is no record"),
        ({f"_dmarc.{D}": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]}, "bad", "There is no record"),
        ({f"_dmarc.{D}": ["v=DMARC1; p=rejekt"]}, "bad", "p= is rejekt"),
        ({f"_dmarc.{D}": ["v=DMARC1; rua=mailto:d@letters.example"]}, "warn", "counts as p=none"),
    ],
)
async def test_dmarc_is_read_as_a_receiver_reads_it(txt: dict[str, list[str]], result: str, said: str) -> None:
    finding = sender_rules.dmarc_finding(D, await look_at_dmarc(D, Names(txt=txt)), [D])
    assert (finding.result, said in finding.found) == (result, True), finding


@pytest.mark.parametrize(
    ("domain", "txt", "expected"),
    [
        ("a.letters.example", {"_dmarc.letters.example": "v=DMARC1; p=reject"}, ("letters.example", "reject")),
        ("a.letters.example", {"_dmarc.letters.example": "v=DMARC1; p=reject; sp=none"}, ("letters.example", "none")),
        ("a.letters.example", {"_dmarc.example": "v=DMARC1; p=reject; psd=y"}, ("example", "reject")),
        (
            "a.b.letters.example",
            {"_dmarc.b.letters.example": "v=DMARC1; p=none; psd=n", "_dmarc.letters.example": "v=DMARC1; p=reject"},
            ("b.letters.example", "none"),
        ),
        (
            "a.b.letters.example",
            {"_dmarc.b.letters.example": "v=DMARC1; p=none", "_dmarc.letters.example": "v=DMARC1; p=reject"},
            ("letters.example", "reject"),
        ),
    ],
)
async def test_the_record_that_counts_is_found_by_walking_up(
    domain: str, txt: dict[str, str], expected: tuple[str, str]
) -> None:
    """RFC 9989, section 4.10."""
    found = await look_at_dmarc(domain, Names(txt={name: [text] for name, text in txt.items()}))
    assert (found.at, found.policy) == expected


async def test_a_long_name_is_not_asked_for_label_by_label() -> None:
    names = Names()
    await look_at_dmarc(".".join("abcdefghijklmnop") + ".example", names)
    assert len(names.asked) == 8


def test_a_signature_speaks_for_the_domains_of_its_organisation() -> None:
    assert agrees("news.letters.example", "letters.example", "letters.example")
    assert not agrees("provider.example", "letters.example", "letters.example")
    assert not agrees("xletters.example", "letters.example", "letters.example")
    strange = sender_rules.dmarc_finding(D, Dmarc(D, "reject", True, D), ["provider.example"])
    assert (strange.result, "does not speak for" in strange.found) == ("bad", True)


@pytest.mark.parametrize(
    ("records", "result"),
    [
        ([KEY.record], "good"),
        ([f"v=DKIM1; p={PUBLIC}; k=ed25519"], "good"),
        ([], "bad"),
        ([KEY.record, KEY.record], "bad"),
        (["v=DKIM1; k=ed25519; p="], "bad"),
        (["v=DKIM1; k=ed25519; p=AAAA"], "bad"),
    ],
)
def test_the_key_that_we_sign_with_is_the_one_in_dns(records: list[str], result: str) -> None:
    assert sender_rules.dkim_finding(KEY, records).result == result


def test_what_the_relay_signs_is_not_known_and_said_so() -> None:
    assert sender_rules.no_dkim_finding(D, []).result is Result.UNKNOWN
    assert sender_rules.no_dkim_finding(D, [KEY]).result is Result.WARN
    assert sender_rules.one_click_finding(D, we_sign=False).result is Result.UNKNOWN
    assert "List-Unsubscribe-Post" in sender_rules.one_click_finding(D, we_sign=True).found


@pytest.mark.parametrize(
    ("names", "confirmed", "is_ours", "result"),
    [
        ({}, {}, True, "unknown"),
        ({"192.0.2.7": ["mail.example"]}, {"mail.example": ["192.0.2.7"]}, True, "good"),
        ({"192.0.2.7": ["x.example", "mail.example"]}, {"mail.example": ["192.0.2.7"]}, True, "good"),
        ({"192.0.2.7": []}, {}, True, "bad"),
        ({"192.0.2.7": ["mail.example"]}, {"mail.example": ["192.0.2.8"]}, True, "bad"),
        ({"192.0.2.7": ["mail.example"], "2001:db8::7": []}, {"mail.example": ["192.0.2.7"]}, True, "bad"),
        ({"192.0.2.7": []}, {}, False, "warn"),
    ],
)
def test_the_name_of_an_address_has_to_lead_back(
    names: dict[str, list[str]], confirmed: dict[str, list[str]], is_ours: bool, result: str
) -> None:
    assert sender_rules.reverse_finding("mail.example", names, confirmed, is_ours=is_ours).result == result


async def test_where_nobody_can_be_asked_nothing_is_made_up() -> None:
    for look in (look_at_spf, look_at_dmarc):
        with pytest.raises(DnsUnavailable):
            await look(D, Names(silent=True))
