"""Trying a relay without a mail: connect, encrypt, log in, look at what it announces, say goodbye."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import aiosmtplib

from newsletter.core.errors import RelayUnreachable
from newsletter.delivery.connect import connected
from newsletter.delivery.relays import Relay

QUIT_WITHIN = 1.0


@dataclass(frozen=True)
class Announced:
    """What a relay says of itself, after TLS and login where they are asked for."""

    tls: str
    """Such as TLSv1.3; empty: the connection is not encrypted."""
    is_signed_in: bool
    logins: tuple[str, ...]
    """Ways to log in that it offers (AUTH)."""
    extensions: tuple[str, ...]
    """In capital letters, by name."""
    size: int | None
    """Octets of the largest mail that it takes; None: it does not say."""

    def has(self, extension: str) -> bool:
        return extension in self.extensions


async def probe(relay: Relay, *, within: float) -> Announced:
    """No mail is sent. Raises `RelayUnreachable` with the reason and what to do."""
    try:
        async with asyncio.timeout(within):
            client = await connected(relay, timeout=within)
    except TimeoutError:
        raise RelayUnreachable(f"Relay {relay} did not answer within {within:.0f} s: look whether it runs.") from None
    try:
        return _announced(client, relay)
    finally:
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(QUIT_WITHIN):
                await client.quit()
        client.close()


def _announced(client: aiosmtplib.SMTP, relay: Relay) -> Announced:
    tls = client.transport.get_extra_info("ssl_object") if client.transport else None
    said = client.esmtp_extensions
    size = said.get("size", "").strip()
    return Announced(
        tls=(tls.version() or "TLS") if tls else "",
        is_signed_in=bool(relay.user),
        logins=tuple(sorted(each.upper() for each in client.supported_auth_methods)),
        extensions=tuple(sorted(name.upper() for name in said)),
        size=int(size) if size.isascii() and size.isdigit() and int(size) else None,
    )
