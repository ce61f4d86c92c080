"""Addresses of web pages, as operators give them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_ALLOWED = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""RFC 3986 section 2: nothing that a header, a page or a log would have to escape. urllib takes much more."""
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


def is_page(url: str) -> bool:
    """Whether it is the whole address of a web page that every part of ours and every browser reads in one way.

    That is http or https, a host that can exist, a port that can exist, no user name. Letters outside ASCII have to be written
    as A-labels and percent codes.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    authority, host = parts.netloc.rpartition("]")[2], parts.hostname or ""
    fits = url.startswith(("http://", "https://")) and "@" not in parts.netloc and port != 0 and not authority.endswith(":")
    return fits and bool(_ALLOWED.fullmatch(url)) and _is_host(host, bracketed=parts.netloc.startswith("["))


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        return _is_ip(host, 6)
    if re.fullmatch(r"[0-9.]+", host):  # Browsers read such as 1.2.3 as a number (WHATWG URL); we take the usual form alone.
        return _is_ip(host, 4)
    return len(host) <= 253 and bool(_HOST.fullmatch(host))


def _is_ip(host: str, version: int) -> bool:
    try:
        return ip_address(host).version == version and "%" not in host
    except ValueError:
        return False
