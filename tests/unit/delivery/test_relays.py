"""A relay's address says how to talk to it and for whom; what is wrong with it is said without quoting it."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from newsletter.delivery.relays import Relay, domain_name, eligible, relays_from_urls


def one(url: str) -> Relay:
    (relay,) = relays_from_urls(url)
    return relay


def test_an_address_alone_is_enough() -> None:
    relay = one("smtp://relay.example.org")
    assert relay == Relay("relay.example.org", 587, tls="starttls")
    assert (relay.weight, relay.connections, relay.rate, relay.domains, relay.token_file) == (1, None, None, frozenset(), None)


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://relay.example.org", 587, "starttls"),
        ("smtp://relay.example.org:25/", 25, "starttls"),
        ("smtps://relay.example.org", 465, "implicit"),
        ("smtps://relay.example.org:4650", 4650, "implicit"),
        ("smtp://localhost:25?starttls=never", 25, "never"),
        ("smtp://[::1]:25?starttls=never&weight=2", 25, "never"),
    ],
)
def test_scheme_and_port_say_how_it_is_spoken_to(url: str, port: int, tls: str) -> None:
    relay = one(url)
    assert (relay.port, relay.tls) == (port, tls)


def test_user_and_password_are_unquoted() -> None:
    relay = one("smtp://letter%40example.org:p%40ss%2Fw%2C@relay.example.org")
    assert (relay.user, relay.password) == ("letter@example.org", "p@ss/w,")


def test_every_option_is_read() -> None:
    relay = one("smtp://ada@relay.example.org?name=bulk&weight=3&connections=20&rate=0.5&auth=xoauth2&token_file=/run/token")
    assert (str(relay), relay.weight, relay.connections, relay.rate) == ("bulk", 3, 20, 0.5)
    assert relay.token_file == Path("/run/token")


def test_a_name_can_be_anything_that_is_printed() -> None:
    assert one("smtp://relay.example.org?name=f%C3%BCr%20alle").name == "für alle"
    assert one("smtp://relay.example.org:25").name == "relay.example.org:25"


def test_domains_are_read_as_addresses_have_them() -> None:
    all_of_them, bound = relays_from_urls(
        "smtp://a.example.org,smtp://b.example.org?domain=Example.NET&domain=b%C3%BCcher.example&domain=example.com."
    )
    assert bound.domains == {"example.net", "xn--bcher-kva.example", "example.com"}
    assert all_of_them.domains == frozenset()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("tls=no", "has an option that there is not; there are name, weight, "),
        ("starttls=no", r"knows for starttls only \?starttls=never"),
        ("starttls=never", r"only for a relay on this machine \(localhost, 127.0.0.1 or ::1\)"),
        ("name=", "must have one value for name"),
        ("name=a&name=b", "must have one value for name"),
        ("name=a%0Ab", "must have one value for name"),
        ("name=" + "x" * 101, "must have one value for name"),
        ("weight=-1", "must have for weight a whole number from 0 to 10000"),
        ("weight=1.5", "must have for weight a whole number from 0 to 10000"),
        ("weight=10001", "must have for weight a whole number from 0 to 10000"),
        ("weight=%C2%B2", "must have for weight a whole number from 0 to 10000"),
        ("connections=0", "must have for connections a whole number from 1 to 10000"),
        ("connections=many", "must have for connections a whole number from 1 to 10000"),
        ("rate=0", "must have for rate a number of mails a second"),
        ("rate=-5", "must have for rate a number of mails a second"),
        ("rate=nan", "must have for rate a number of mails a second"),
        ("rate=inf", "must have for rate a number of mails a second"),
        ("rate=1e7", "must have for rate a number of mails a second"),
        ("rate=fast", "must have for rate a number of mails a second"),
        ("domain=", "must have a domain such as example.org"),
        ("domain=exa%20mple", "must have a domain such as example.org"),
        ("auth=login", "must have both auth=xoauth2 and token_file=/path, or neither"),
        ("auth=xoauth2", "must have both auth=xoauth2 and token_file=/path, or neither"),
        ("token_file=/run/token", "must have both auth=xoauth2 and token_file=/path, or neither"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_with_the_remedy(options: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        relays_from_urls(f"smtp://ada@other.example.org,smtp://ada@relay.example.org?{options}")


def test_a_token_is_somebodys() -> None:
    with pytest.raises(ValueError, match="must say whose token it is"):
        relays_from_urls("smtp://relay.example.org?auth=xoauth2&token_file=/run/token")


@pytest.mark.parametrize(
    "url",
    [
        "http://user:geheim@relay.example.org",
        "smtp://",
        "smtp://user:geheim/x@relay.example.org",
        "smtp://user:25/geheim@relay.example.org",
        "smtp://user:25#geheim@relay.example.org",
        "smtp://user:25?geheim@relay.example.org",
        "smtp://user:25?geheim=x@relay.example.org",
        "smtp://user:geheim℀@relay.example.org",
        "smtp://user:geheim@[relay.example.org",
        "smtp://user:geheim@relay.example.org:port",
        "smtp://user:geheim@relay.example.org:99999",
        "smtp://user:x,geheim@relay.example.org",
        "smtp://user:geheim@relay.example.org?weight=geheim",
        "smtp://user:geheim@relay.example.org?domain=geheim%20x",
        "smtp://user:geheim@relay.example.org?rate=geheim",
    ],
)
def test_an_address_that_is_refused_is_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|has an option") as refused:
        relays_from_urls(url)
    said = [str(refused.value), *(str(each) for each in (refused.value.__cause__,) if each)]
    assert "geheim" not in "".join(said)
    assert "geheim" not in "".join(traceback.format_exception(refused.value)).replace(url, "")


def test_a_password_is_in_no_text_about_a_relay() -> None:
    relay = one("smtp://user:geheim@relay.example.org")
    assert "geheim" not in repr(relay) + str(relay)


@pytest.mark.parametrize(
    "urls",
    [
        "smtp://a.example.org,smtp://a.example.org:587",
        "smtp://a.example.org?name=bulk,smtp://b.example.org?name=bulk",
        "smtp://a.example.org:25,smtp://b.example.org?name=a.example.org:25",
    ],
)
def test_two_relays_of_one_name_are_refused(urls: str) -> None:
    with pytest.raises(ValueError, match="names one relay twice"):
        relays_from_urls(urls)


@pytest.mark.parametrize(
    "urls", ["smtp://a?domain=example.org", "smtp://a?weight=0", "smtp://a?domain=example.org,smtp://b?weight=0"]
)
def test_one_relay_at_least_takes_all_mail(urls: str) -> None:
    with pytest.raises(ValueError, match="needs one relay at least that takes mail for every domain and every list"):
        relays_from_urls(urls)
    assert relays_from_urls(f"{urls},smtp://all")


# Which may take a mail.


ALL, TOO, NAMED, BOUND = (
    Relay("all", 25),
    Relay("too", 25, weight=2),
    Relay("named", 25, label="named", weight=0),
    Relay("bound", 25, domains=frozenset({"example.net"})),
)
RELAYS = [ALL, TOO, NAMED, BOUND]


@pytest.mark.parametrize(
    ("wanted", "domain", "may"),
    [
        (None, "example.org", [ALL, TOO]),
        (None, "", [ALL, TOO]),
        ("named", "example.org", [NAMED]),
        ("too:25", "example.org", [TOO]),
        ("named", "example.net", [BOUND]),
        (None, "example.net", [BOUND]),
        (None, "sub.example.net", [ALL, TOO]),
        ("gone", "example.org", [ALL, TOO]),
    ],
)
def test_the_domains_relay_comes_before_the_senders_and_that_before_the_others(
    wanted: str | None, domain: str, may: list[Relay]
) -> None:
    assert eligible(RELAYS, wanted=wanted, domain=domain) == may


@pytest.mark.parametrize("text", ["", " ", ".", "a b", "a..b", "@"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        domain_name(text)
