"""A relay: an SMTP server that takes our mail, and how we want to talk to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Relay:
    """Where to connect. Certificates are verified wherever TLS is used."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Literal["starttls", "implicit", "never"] = "starttls"
    """`starttls` means required: a relay that does not offer it gets no mail."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def relays_from_urls(urls: str) -> list[Relay]:
    """Comma-separated addresses, in the order that they are tried. Raises `ValueError`, whose text never quotes the address."""
    return [_relay_from_url(url.strip()) for url in urls.split(",")]


def _relay_from_url(url: str) -> Relay:
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("must look like smtp://user:password@host:587 or smtps://user:password@host")
    plain = parse_qs(parts.query) == {"starttls": ["never"]}
    if parts.query and not plain:
        raise ValueError("knows only the option ?starttls=never")
    if plain and not _is_loopback(parts.hostname):
        raise ValueError("may have ?starttls=never only for a relay on this machine (localhost, 127.0.0.1 or ::1)")
    implicit = parts.scheme == "smtps"
    return Relay(
        host=parts.hostname,
        port=parts.port or (465 if implicit else 587),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls="implicit" if implicit else "never" if plain else "starttls",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
