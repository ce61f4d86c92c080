"""What a handler knows besides its request: the services it may call, the request's one moment in time, who is asking."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

from newsletter.consent.service import Origin
from newsletter.web.services import NOW, SERVICES, Services

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

OPEN_TO = web.RequestKey("open_to", str)
"""The site whose script may read the answer."""
LEADS_TO = web.RequestKey("leads_to", str)
"""The site that the form on the page may lead on to, since browsers hold a form's redirects to its page's policy too."""
POLICY = web.RequestKey("policy", str)
"""Content-Security-Policy of this answer, where it is another than that of its pages: a mail shown in a frame."""
CONSOLE = "/console"
LONGEST_FORM = 500
LONGEST_AGENT = 300


def services(request: web.Request) -> Services:
    return request.app[SERVICES]


def is_console(request: web.Request) -> bool:
    """Whether an operator's page is asked for."""
    return request.path == CONSOLE or request.path.startswith(f"{CONSOLE}/")


def set_moment(request: web.Request) -> None:
    """Read the clock, once for each request."""
    request[NOW] = services(request).clock.now()


def moment(request: web.Request) -> datetime:
    """When the request came in; nothing below looks at a clock."""
    return request[NOW]


def origin(request: web.Request, form: str) -> Origin:
    """Where something was said; `form` is the page or header that was used."""
    address = client_address(request)
    agent = printable(request.headers.get("User-Agent", ""), LONGEST_AGENT)
    return Origin(printable(form, LONGEST_FORM), str(address) if address else None, agent)


def printable(text: str, longest: int) -> str:
    """Headers may hold anything (aiohttp passes broken UTF-8 on as surrogates); the database takes text alone."""
    return "".join(character for character in text[:longest] if character.isprintable())


def client_address(request: web.Request) -> Address | None:
    """Who is asking, as far as that can be believed: None where not even the connection says.

    Each proxy adds whom it heard from at the right end of X-Forwarded-For. So the list is read from there, for as long as the
    one who speaks is a proxy of ours; whatever stands further left was typed by the client.
    """
    trusted = services(request).trusted_proxies
    heard = _parsed(request.remote or "")
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    while heard and hops and _is_among(heard, trusted):
        hop = _parsed(hops.pop())
        if hop is None:
            break
        heard = hop
    return heard


def is_ours(request: web.Request) -> bool:
    """Whether somebody on this machine or in a trusted network asks for themselves."""
    address = client_address(request)
    if "X-Forwarded-For" in request.headers and address == _parsed(request.remote or ""):
        return False  # It was passed on, and does not say for whom.
    return address is not None and _is_among(address, services(request).trusted_proxies)


def _parsed(text: str) -> Address | None:
    """An address as proxies write it: bare, with a port, or in brackets."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_among(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
