"""What we sign can be verified by others, outlasts what relays do to a mail, and breaks when somebody adds to it."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.errors import InvalidInput
from newsletter.delivery.dkim import (
    KINDS,
    DkimKey,
    Unsigned,
    dns_record,
    generate_key,
    load_private_key,
    open_private_key,
    prepare,
    published_key,
    signed,
)
from newsletter.delivery.dkim_process import _sign

AT = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
KEYS = {kind: DkimKey("society.example", "news1", load_private_key(generate_key(kind))) for kind in KINDS}
HEAD = (
    "From: =?utf-8?q?K=C3=BCstenverein?= <letter@society.example>\r\n"
    "Reply-To: office@society.example\r\n"
    "To: jürgen@example.org\r\n"
    "Subject: The long tide, and whoever waits for\r\n the short one\r\n"
    "Date: Sat, 21 Nov 2026 15:05:00 +0100\r\n"
    "Message-ID: <abc.1@society.example>\r\n"
    "List-Id: <letter.news.example.org>\r\n"
    "List-Unsubscribe: <https://news.example.org/unsubscribe/abc>\r\n"
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    "List-Help: <https://news.example.org/privacy>\r\n"
    "Feedback-ID: c1:l1:campaign:newsletter\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "X-Relay: one\r\n"
).encode()
BODY = b"The tide  comes in.\r\n\r\n  It goes out.\t \r\n\r\n\r\n"


def relaxed(body: bytes) -> bytes:
    """RFC 6376, section 3.4.4, word by word."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def sign(head: bytes, key: DkimKey, body: bytes = BODY) -> bytes:
    unsigned = prepare(head, sha256(relaxed(body)).digest(), key, AT)
    return signed(unsigned, _sign(key.private_key, unsigned.digest))


def verifies(message: bytes, keys: Iterable[DkimKey] = KEYS.values(), *, index: int = 0) -> bool:
    """As dkimpy says, which shares no line with us."""
    records = {f"{key.record_name}.": dns_record(key).encode() for key in keys}
    try:
        return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=lambda name, timeout=5: records.get(name.decode())))
    except dkim.ValidationError:  # How it says that the body is another.
        return False


def tags(field: bytes) -> dict[str, str]:
    assert field.startswith(b"DKIM-Signature: ")
    parts = field.decode().removeprefix("DKIM-Signature:").split(";")
    return {name.strip(): "".join(value.split()) for name, _, value in (part.partition("=") for part in parts)}


@pytest.fixture(params=KINDS)
def key(request: pytest.FixtureRequest) -> DkimKey:
    return DkimKey("society.example", "news1", KEYS[request.param].private_key)


def test_others_verify_what_we_sign(key: DkimKey) -> None:
    assert verifies(sign(HEAD, key) + HEAD + b"\r\n" + BODY, [key])


def test_both_kinds_stand_side_by_side() -> None:
    two = [KEYS["rsa"], DkimKey("society.example", "news2", KEYS["ed25519"].private_key)]
    message = b"".join(sign(HEAD, each) for each in two) + HEAD + b"\r\n" + BODY
    assert all(verifies(message, two, index=index) for index in (0, 1))


def test_an_empty_body_is_signed_too(key: DkimKey) -> None:
    assert verifies(sign(HEAD, key, b"") + HEAD + b"\r\n", [key])


def test_the_field_says_what_the_standards_ask_for(key: DkimKey) -> None:
    said = tags(sign(HEAD, key))
    assert said["a"] == f"{key.kind}-sha256"
    assert (said["v"], said["c"], said["d"], said["s"]) == ("1", "relaxed/relaxed", "society.example", "news1")
    assert said["t"] == str(int(AT.timestamp()))
    assert not {"x", "l", "i", "z"} & said.keys()
    once = "reply-to to subject date message-id mime-version content-type list-id list-help feedback-id"
    twice = "from list-unsubscribe list-unsubscribe-post"
    assert sorted(said["h"].split(":")) == sorted([*once.split(), *twice.split(), *twice.split()])


@pytest.mark.parametrize("domain", ["society.example", "a-rather-long-name-of-a-host." * 4 + "society.example"])
def test_the_field_is_folded_below_78_columns_and_only_a_domain_may_be_longer(key: DkimKey, domain: str) -> None:
    field = sign(HEAD, DkimKey(domain, "news1", key.private_key))
    assert field.endswith(b"\r\n")
    first, *others = field.removesuffix(b"\r\n").split(b"\r\n")
    assert first.startswith(b"DKIM-Signature: v=1;")
    assert all(line.startswith(b" ") and line.strip() for line in others)
    assert all(len(line) < 78 or domain.encode() in line for line in (first, *others))
    assert verifies(field + HEAD + b"\r\n" + BODY, [DkimKey(domain, "news1", key.private_key)])


def test_headers_that_are_missing_are_not_listed(key: DkimKey) -> None:
    """Of a confirmation mail: relays of some providers add a way out of their own, which must not break it."""
    head = b"From: a@society.example\r\nTo: b@example.org\r\nAuto-Submitted: auto-generated\r\n"
    field = sign(head, key)
    assert tags(field)["h"] == "from:from:to:auto-submitted"
    assert verifies(field + head + b"List-Unsubscribe: <https://relay.example>\r\n\r\n" + BODY, [key])


@pytest.mark.parametrize(
    "added",
    [
        b"From: Mallory <mallory@society.example>\r\n",
        b"List-Unsubscribe: <https://mallory.example>\r\n",
        b"list-unsubscribe-post:List-Unsubscribe=One-Click\r\n",
    ],
)
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_second_from_or_way_out_breaks_the_signature(key: DkimKey, added: bytes, where: str) -> None:
    field = sign(HEAD, key)
    message = field + (added + HEAD if where == "first" else HEAD + added) + b"\r\n" + BODY
    assert not verifies(message, [key])


@pytest.mark.parametrize("name", re.findall(rb"^([\w-]+):", HEAD, re.MULTILINE))
def test_a_covered_header_can_be_neither_changed_nor_taken_away(name: bytes) -> None:
    key = KEYS["ed25519"]
    field = sign(HEAD, key)
    if name == b"X-Relay":
        assert verifies(field + HEAD.replace(b"X-Relay: one\r\n", b"") + b"\r\n" + BODY, [key])
        return
    changed = HEAD.replace(name + b": ", name + b": x", 1)
    taken = re.sub(rb"(?m)^%s:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*" % name, b"", HEAD, count=1)
    assert name + b":" not in taken.splitlines()
    for head in (changed, taken):
        if b"From:" in head:
            assert not verifies(field + head + b"\r\n" + BODY, [key])


def test_another_body_breaks_the_signature(key: DkimKey) -> None:
    assert not verifies(sign(HEAD, key) + HEAD + b"\r\n" + BODY + b"Buy!\r\n", [key])


def test_of_headers_with_one_name_each_is_signed(key: DkimKey) -> None:
    head = HEAD + b"List-Archive: <https://one.example>\r\nlist-archive: <https://two.example>\r\n"
    field = sign(head, key)
    assert tags(field)["h"].split(":").count("list-archive") == 2
    assert verifies(field + head + b"\r\n" + BODY, [key])
    assert not verifies(field + head.replace(b"one.example", b"six.example") + b"\r\n" + BODY, [key])


def test_what_relays_do_to_blanks_and_folds_is_borne(key: DkimKey) -> None:
    head = (
        HEAD.replace(b"Subject: The long tide, and", b"SUBJECT:\tThe\r\n\t long   tide,\r\n and")
        .replace(b"waits for\r\n the short one\r\n", b"waits for the short one  \r\n")
        .replace(b"\nTo: ", b"\nto:  ")
        .replace(b"Feedback-ID: ", b"Feedback-ID:")
    )
    assert head != HEAD
    body = b"The tide comes in.  \r\n\r\n\tIt goes  out.\r\n"
    assert verifies(b"Received: from a by b\r\n" + sign(HEAD, key) + head + b"X-Spam: no\r\n\r\n" + body, [key])
    assert verifies(sign(head, key, body) + HEAD + b"\r\n" + BODY, [key])


VALUES = st.text(
    st.one_of(
        st.sampled_from(" \t"),
        st.sampled_from(":;="),
        st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\v\f\x00"),
    ),
    max_size=200,
)


@given(subject=VALUES, to=VALUES, break_at=st.integers(0, 200), kind=st.sampled_from(KINDS))
def test_whatever_a_header_says_its_signature_verifies(subject: str, to: str, break_at: int, kind: str) -> None:
    words = re.split(r"(?=[ \t][^ \t])", subject)
    at = break_at % len(words)
    folded = "".join(words[:at]) + "\r\n" + "".join(words[at:]) if at else subject
    head = f"From: a@society.example\r\nSubject:{folded}\r\nTo: {to}\r\nDate: now\r\n".encode()
    key = KEYS[kind]
    assert verifies(sign(head, key) + head + b"\r\n" + BODY, [key])


@pytest.mark.parametrize("blank", [b"\r", b"\n", b"\v", b"\f"])
def test_a_head_that_is_not_one_is_refused(blank: bytes) -> None:
    with pytest.raises(InvalidInput, match="line breaks or other control characters"):
        prepare(b"From: a@society.example\r\nSubject: a" + blank + b"b\r\n", bytes(32), KEYS["rsa"], AT)


def test_a_mail_from_nobody_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without From"):
        prepare(b"To: a@society.example\r\n", bytes(32), KEYS["rsa"], AT)


def test_the_example_of_rfc_8463() -> None:
    """Appendix A: key, record, hash of the body and signature. The hash of the headers is made by hand."""
    seed = b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = DkimKey("football.example.com", "brisbane", Ed25519PrivateKey.from_private_bytes(seed))
    assert key.record_name == "brisbane._domainkey.football.example.com"
    assert dns_record(key) == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n"
    assert b64encode(sha256(relaxed(body)).digest()) == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    canonical = (
        b"from:Joe SixPack <joe@football.example.com>\r\n"
        b"to:Suzie Q <suzie@shopping.example.net>\r\n"
        b"subject:Is dinner ready?\r\n"
        b"date:Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"message-id:<20030712040037.46341.5F8J@football.example.com>\r\n"
        b"dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; d=football.example.com; i=@football.example.com; "
        b"q=dns/txt; s=brisbane; t=1528637909; h=from : to : subject : date : message-id : from : subject : date; "
        b"bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b="
    )
    signature = _sign(key.private_key, sha256(canonical).digest())
    assert b64encode(signature) == (b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==")
    assert signed(Unsigned(b"DKIM-Signature: b=", b""), signature).count(b"\r\n") == 2


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_rsa_keys_are_taken_in_both_forms(form: PrivateFormat) -> None:
    key = KEYS["rsa"].private_key
    assert DkimKey("a.example", "s", load_private_key(key.private_bytes(Encoding.PEM, form, NoEncryption()))).public == (
        KEYS["rsa"].public
    )


def test_a_key_is_the_same_after_it_was_stored(key: DkimKey) -> None:
    assert DkimKey("a.example", "s", open_private_key(key.der)).public == key.public


def _pem(key: rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("pem", "says"),
    [
        (lambda: b"hello", "not a private key in PEM: make one"),
        (lambda: KEYS["rsa"].der, "not a private key in PEM"),
        (lambda: _pem(rsa.generate_private_key(65537, 1024)), "has 1024 bits: .* 2048 or more. Make a longer one"),
        (lambda: _pem(ec.generate_private_key(ec.SECP256R1())), "RSA and Ed25519 keys only"),
        (lambda: _pem(rsa.generate_private_key(65537, 2048), b"password"), "locked by a password: take it off"),
    ],
)
def test_keys_that_cannot_sign_are_refused_with_the_remedy(pem: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        load_private_key(pem())  # type: ignore[operator]
    assert refused.value.field == "key"


def test_a_key_shows_nothing_of_itself(key: DkimKey) -> None:
    _ = key.der, key.public
    assert repr(key) == "DkimKey(domain='society.example', selector='news1')"


@pytest.mark.parametrize(
    ("record", "public"),
    [
        ("v=DKIM1; k=rsa; p=AB CD\r\n EF", "ABCDEF"),
        ("p=ABCD==", "ABCD=="),
        ("v=DKIM1; h=sha1:sha256; s=email; t=y; p=ABCD", "ABCD"),
        ("v=DKIM1; p=", None),
        ("v=DKIM1; h=sha1; p=ABCD", None),
        ("v=DKIM1; s=tlsrpt; p=ABCD", None),
        ("v=DKIM2; p=ABCD", None),
        ("v=spf1 -all", None),
        ("", None),
    ],
)
def test_what_a_record_publishes(record: str, public: str | None) -> None:
    assert published_key(record) == public
