"""Fetching our own health page, as the world would: from the base address of the settings."""

from __future__ import annotations

import asyncio
import errno
import http.client
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

_NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH)
_LONGEST = 2000


@dataclass(frozen=True)
class Reached:
    """`status` None: there was no answer, for the `reason`."""

    status: int | None
    body: str = ""
    reason: str = ""
    could_ask: bool = True
    """False: there is no network or no DNS here, which says nothing about the address."""


async def reach(url: str, *, within: float) -> Reached:
    """GET, without following redirects. `within`: seconds for each step of it."""
    return await asyncio.to_thread(_reach, url, within)


def _reach(url: str, within: float) -> Reached:
    try:
        return _get(url, within)
    except ssl.SSLCertVerificationError as error:
        return Reached(None, reason=f"its certificate does not hold ({error.verify_message})")
    except socket.gaierror as error:
        known = error.errno == socket.EAI_NONAME
        return Reached(None, reason="its name is not known to DNS" if known else "DNS could not be asked", could_ask=known)
    except TimeoutError:
        return Reached(None, reason=f"it did not answer within {within:.0f} s")
    except OSError as error:
        could_ask = error.errno not in _NO_NETWORK
        return Reached(None, reason=error.strerror or type(error).__name__, could_ask=could_ask)
    except http.client.HTTPException as error:
        return Reached(None, reason=f"what answered is no web server ({type(error).__name__})")


def _get(url: str, within: float) -> Reached:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=within)
    try:
        connection.request("GET", parts.path, headers={"User-Agent": "newsletter doctor"})
        answer = connection.getresponse()
        return Reached(answer.status, answer.read(_LONGEST).decode("utf-8", "replace"))
    finally:
        connection.close()
