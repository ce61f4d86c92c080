"""Opening a connection to a relay: aiosmtplib does EHLO, STARTTLS and AUTH, and says in its way what went wrong."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import aiosmtplib

from newsletter.core.errors import RelayUnreachable
from newsletter.delivery.relays import Relay


async def connected(relay: Relay, *, timeout: float) -> aiosmtplib.SMTP:
    """Raises `RelayUnreachable` with the reason and what to do; no mail is touched by that."""
    client = aiosmtplib.SMTP(
        hostname=relay.host,
        port=relay.port,
        username=relay.user or None,
        password=relay.password or None,
        oauth_token_generator=_token_reader(relay),
        timeout=timeout,
        use_tls=relay.tls == "implicit",
        start_tls=relay.tls == "starttls",
    )
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        client.close()
        raise RelayUnreachable(_why(relay, error)) from None
    return client


def _token_reader(relay: Relay) -> Callable[[], Awaitable[str]] | None:
    """What aiosmtplib asks for an access token (XOAUTH2) when it logs in. Raises `OSError` where the file cannot be read."""
    if relay.token_file is None:
        return None
    file = relay.token_file

    async def token() -> str:
        return (await asyncio.to_thread(file.read_text)).strip()

    return token


def _why(relay: Relay, error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return f"Relay {relay} refused user or password: check them in NEWSLETTER_SMTP_URL."
    if _was_about_certificate(error):
        return (
            f"Relay {relay} has a certificate that cannot be verified: "
            "use the host name that is in it, or correct the certificate."
        )
    if isinstance(error, aiosmtplib.SMTPException) and "AUTH extension" in str(error):
        return f"Relay {relay} takes no login: leave user and password out of NEWSLETTER_SMTP_URL."
    if isinstance(error, aiosmtplib.SMTPException) and "STARTTLS" in str(error):
        return f"Relay {relay} offers no STARTTLS: use smtps://, or ?starttls=never for a relay on this machine."
    return f"Relay {relay} cannot be reached ({type(error).__name__}): check NEWSLETTER_SMTP_URL and whether it runs."


def _was_about_certificate(error: BaseException | None) -> bool:
    """aiosmtplib wraps what TLS says, once or twice."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
