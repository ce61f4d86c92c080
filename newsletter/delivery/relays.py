"""A relay: an SMTP server that takes our mail, how we want to talk to it, and for whom.

    smtp://user:password@host:587?name=bulk&weight=3&connections=20&rate=50&domain=example.org

name          what a sender's `relay` refers to; default: host:port
weight        share of the mail among relays that may take it; 0: only the mail of senders that name this relay. Default 1
connections   at once, all workers together; default: as many as each worker may open
rate          mails a second at most, all workers together
domain        takes mail for this recipient domain, and for no other; may be given several times
auth=xoauth2  log in with the access token in the file `token_file`, which is read anew for each connection
starttls=never   for a relay on this machine
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

import idna

from newsletter.core.errors import InvalidInput

_LOOKS_LIKE = "must look like smtp://user:password@host:587 or smtps://user:password@host"
_OPTIONS = ("name", "weight", "connections", "rate", "domain", "auth", "token_file", "starttls")


@dataclass(frozen=True)
class Relay:
    """Where to connect. Certificates are verified wherever TLS is used."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Literal["starttls", "implicit", "never"] = "starttls"
    """`starttls` means required: a relay that does not offer it gets no mail."""
    label: str = ""
    weight: int = 1
    connections: int | None = None
    rate: float | None = None
    domains: frozenset[str] = frozenset()
    token_file: Path | None = None

    @property
    def name(self) -> str:
        return self.label or f"{self.host}:{self.port}"

    @property
    def is_on_this_machine(self) -> bool:
        return _is_loopback(self.host)

    def __str__(self) -> str:
        return self.name


def relays_from_urls(urls: str) -> list[Relay]:
    """Comma-separated addresses, in the order that they are tried. Raises `ValueError`, whose text never quotes the address."""
    relays = [_relay_from_url(url.strip()) for url in urls.split(",")]
    if len({relay.name for relay in relays}) < len(relays):
        raise ValueError("names one relay twice: give each a ?name= of its own")
    if all(relay.domains or not relay.weight for relay in relays):
        raise ValueError("needs one relay at least that takes mail for every domain and every list")
    return relays


def eligible(relays: Sequence[Relay], *, wanted: str | None, domain: str) -> list[Relay]:
    """The relays that may take a mail: those bound to its recipient's domain, else the one that its sender names, else those
    that are there for all."""
    bound = [relay for relay in relays if domain in relay.domains]
    named = [relay for relay in relays if relay.name == wanted]
    return bound or named or [relay for relay in relays if relay.weight and not relay.domains]


def known_relay(name: str, relays: Sequence[Relay]) -> str:
    """That name, if one has it. Raises `InvalidInput` with the names that there are."""
    names = [relay.name for relay in relays]
    if name not in names:
        raise InvalidInput(f'There is no relay "{name[:100]}"; there are {", ".join(names)}.', field="relay")
    return name


def _relay_from_url(url: str) -> Relay:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # Whose text quotes what may be a piece of a password.
        raise ValueError(_LOOKS_LIKE) from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ValueError(_LOOKS_LIKE)
    options = _options(parts.query)
    plain = "starttls" in options
    if plain and options["starttls"] != ["never"]:
        raise ValueError("knows for starttls only ?starttls=never")
    if plain and not _is_loopback(parts.hostname):
        raise ValueError("may have ?starttls=never only for a relay on this machine (localhost, 127.0.0.1 or ::1)")
    implicit = parts.scheme == "smtps"
    return Relay(
        host=parts.hostname,
        port=port or (465 if implicit else 587),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls="implicit" if implicit else "never" if plain else "starttls",
        label=_one(options, "name") or "",
        weight=_whole(options, "weight", least=0) if "weight" in options else 1,
        connections=_whole(options, "connections", least=1) if "connections" in options else None,
        rate=_rate(options),
        domains=frozenset(map(domain_name, options.get("domain", ()))),
        token_file=_token_file(options, parts.username),
    )


def _options(query: str) -> dict[str, list[str]]:
    options = parse_qs(query, keep_blank_values=True)
    if options.keys() - set(_OPTIONS):  # Not quoted: a password with a ? in it looks like one.
        raise ValueError(f"has an option that there is not; there are {', '.join(_OPTIONS)}")
    return options


def _one(options: dict[str, list[str]], name: str) -> str | None:
    values = options.get(name)
    if values is None:
        return None
    if len(values) != 1 or not values[0] or not values[0].isprintable() or len(values[0]) > 100:
        raise ValueError(f"must have one value for {name}")
    return values[0]


def _whole(options: dict[str, list[str]], name: str, *, least: int) -> int:
    value = _one(options, name) or ""
    if not (value.isascii() and value.isdigit() and least <= int(value) <= 10_000):
        raise ValueError(f"must have for {name} a whole number from {least} to 10000")
    return int(value)


def _rate(options: dict[str, list[str]]) -> float | None:
    if (value := _one(options, "rate")) is None:
        return None
    try:
        rate = float(value)
    except ValueError:
        rate = 0
    if not 0 < rate <= 1_000_000:
        raise ValueError("must have for rate a number of mails a second, such as 50 or 0.5")
    return rate


def _token_file(options: dict[str, list[str]], user: str | None) -> Path | None:
    auth, file = _one(options, "auth"), _one(options, "token_file")
    if auth not in (None, "xoauth2") or (auth is None) != (file is None):
        raise ValueError("must have both auth=xoauth2 and token_file=/path, or neither")
    if file and not user:
        raise ValueError("must say whose token it is: smtp://user@host?auth=xoauth2&token_file=/path")
    return Path(file) if file else None


def domain_name(text: str) -> str:
    """A recipient domain as an address in the database has it, in lower-case A-labels. Raises `ValueError`."""
    try:
        return idna.encode(text.strip().rstrip("."), uts46=True).decode().lower()
    except idna.IDNAError:
        raise ValueError("must have a domain such as example.org for each recipient domain") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
