"""Looks whether an address that an operator typed answers, without becoming a way into our own network.

A host is resolved once, all of its addresses have to be public, and the connection goes to the one that was checked, whatever
the name resolves to a moment later. Each redirect is checked anew. No cookies, no proxies from the environment, nothing of the
body is read, and there are limits of time and number.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Container, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from newsletter.campaigns.preflight import Answer

WITHIN = 8.0
"""Seconds for one link, its redirects included."""
MOST_REDIRECTS = 5
LONGEST_ADDRESS = 2000
PORTS = frozenset({80, 443, 8080, 8443})
"""Where web pages are. What answers on others is no business of a link check."""
_NAT64 = IPv6Network("64:ff9b::/96")
_GIVEN_OUT = IPv6Network("2000::/3")
_SPECIAL = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # protocol assignments (RFC 6890); Oracle's cloud answers at .192
            "192.88.99.0/24",  # 6to4 relays, given up (RFC 7526)
            "168.63.129.16/32",  # Azure, to every machine in it
            "2001::/23",  # protocol assignments: Teredo, benchmarks, overlays
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address in disguise
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
"""Special ranges that some release of Python takes for global."""
_AGENT = "Mozilla/5.0 (compatible; newsletter link check)"

Resolve = Callable[[str], Awaitable[Sequence[str]]]


class LinkChecker:
    """What it takes is handed in by tests, whose server is on loopback, on any port."""

    def __init__(
        self,
        resolve: Resolve | None = None,
        may_reach: Callable[[str], bool] | None = None,
        ports: Container[int | None] = PORTS,
    ) -> None:
        self._resolve = resolve or resolved
        self._may_reach = may_reach or is_public
        self._ports = ports

    async def __call__(self, address: str, /) -> Answer:
        """Never raises."""
        try:
            async with asyncio.timeout(WITHIN):
                return await self._follow(URL(address))
        except TimeoutError:
            return Answer(ok=False, said="no answer in time")
        except socket.gaierror:
            return Answer(ok=False, said="this site is not known to the DNS", is_known=False)
        except (ClientError, OSError, ValueError) as error:
            return Answer(ok=False, said=_reason(error))

    async def _follow(self, url: URL) -> Answer:
        for _ in range(MOST_REDIRECTS + 1):
            if url.scheme not in ("http", "https") or not url.host or len(str(url)) > LONGEST_ADDRESS:
                return Answer(ok=False, said="is no address of a web page")
            if url.user or url.password:
                return Answer(ok=False, said="holds a user name or password: take it out")
            if url.port not in self._ports:
                return Answer(ok=False, said="is on a port where web pages are not, and is not fetched")
            addresses = await self._resolve(url.host)
            if not addresses or not all(map(self._may_reach, addresses)):
                return Answer(ok=False, said="leads to a private network, and is not fetched")
            status, location = await _ask(url, addresses[0])
            if location is None or not 300 <= status < 400:
                return Answer(ok=status < 400, said=f"answers {status}")
            url = url.join(URL(location))
        return Answer(ok=False, said=f"redirects more than {MOST_REDIRECTS} times")


async def _ask(url: URL, address: str) -> tuple[int, str | None]:
    """Status and where it leads on to, of the host at that address."""
    connector = TCPConnector(resolver=_Pinned(address), use_dns_cache=False, limit=1, force_close=True)
    timeout = ClientTimeout(total=WITHIN)
    headers = {"User-Agent": _AGENT, "Accept": "text/html,*/*;q=0.5"}
    async with (
        ClientSession(connector=connector, cookie_jar=DummyCookieJar(), timeout=timeout, trust_env=False) as session,
        session.get(url, allow_redirects=False, headers=headers) as answer,
    ):
        return answer.status, answer.headers.get("Location")


class _Pinned(AbstractResolver):
    """Whatever the name, the address that was checked."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:  # noqa: ARG002
        kind = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [ResolveResult(hostname=host, host=self._address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)]

    async def close(self) -> None: ...


async def resolved(host: str) -> list[str]:
    """All addresses of a host, in the order of the system's preference. Raises `socket.gaierror`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_public(text: str) -> bool:
    """Whether an address belongs to the internet, and not to this machine or a network of ours.

    IPv6 only as far as it is given out to networks (IANA: 2000::/3): what else there is stands for something near, or for an
    IPv4 address in disguise. Python's own `is_global` knows the registries of its release, which is not enough here.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address in _NAT64:  # How hosts without IPv4 reach the IPv4 internet (RFC 6052).
            address = IPv4Address(int(address) & 0xFFFFFFFF)
        elif address not in _GIVEN_OUT:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if "Certificate" in name or "SSL" in name:
        return "its certificate is not valid"
    if "Connector" in name or isinstance(error, OSError):
        return "no connection could be made"
    return "its answer could not be read"
