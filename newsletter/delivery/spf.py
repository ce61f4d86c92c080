"""SPF (RFC 7208): whether a domain says which machines may send for it, and whether ours are among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from newsletter.delivery.resolver import Resolver

MOST_LOOKUPS = 10
"""Terms that ask DNS, beyond which receivers give up with an error (RFC 7208, section 4.6.4)."""

_VERSION = "v=spf1"
_QUALIFIERS = "+-~?"
_ASKS = ("include", "a", "mx", "ptr", "exists")

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Spf:
    """What a domain's record says, with all that it includes."""

    records: int
    """SPF records of the domain; one is right."""
    ending: str = ""
    """What it says of everybody else: + - ~ or ?; empty where it says nothing."""
    lookups: int = 0
    networks: tuple[Network, ...] = ()
    """That may send."""
    is_open_ended: bool = False
    """Holds terms that only a receiver can answer (macros, exists, ptr)."""
    broken: str = ""
    """What a receiver would stumble over."""

    def permits(self, addresses: Sequence[str]) -> bool:
        return any(_is_in(ip_address(each), self.networks) for each in addresses)


async def look_at_spf(domain: str, resolver: Resolver) -> Spf:
    """Raises `DnsUnavailable`."""
    records = await _records(domain, resolver)
    if len(records) != 1:
        return Spf(len(records))
    walk = _Walk(resolver)
    ending = await walk.go(domain, records[0])
    return Spf(1, ending, walk.lookups, tuple(walk.networks), walk.is_open_ended, walk.broken)


async def _records(domain: str, resolver: Resolver) -> list[str]:
    found = [each.strip() for each in await resolver.texts(domain)]
    return [each for each in found if each.lower().split(" ")[0] == _VERSION]


@dataclass
class _Walk:
    """Through a record and those that it includes, as far as a receiver would go."""

    resolver: Resolver
    lookups: int = 0
    networks: list[Network] = field(default_factory=list)
    is_open_ended: bool = False
    broken: str = ""

    async def go(self, domain: str, record: str) -> str:
        """What the record says of everybody else."""
        ending, redirect = "", ""
        for term in record.split()[1:]:
            qualifier = term[0] if term[0] in _QUALIFIERS else "+"
            name, value = _split(term.lstrip(_QUALIFIERS))
            if name == "all":
                return qualifier
            if name == "redirect" and "=" in term:
                redirect = value
            elif qualifier == "+":
                await self._term(domain, name, value)
            elif name in _ASKS:
                self.lookups += 1
            if self.lookups > MOST_LOOKUPS:
                return ending
        return await self._further(redirect) if redirect else ending

    async def _term(self, domain: str, name: str, value: str) -> None:
        if name in _ASKS:
            self.lookups += 1
        if "%" in value or name in ("ptr", "exists"):
            self.is_open_ended = True
        elif name in ("ip4", "ip6"):
            self._add(value)
        elif name in ("a", "mx"):
            host, _, length = value.partition("/")
            hosts = [host or domain] if name == "a" else await self.resolver.exchangers(host or domain)
            for each in hosts[:MOST_LOOKUPS]:
                for address in await self.resolver.addresses(each):
                    self._add(f"{address}/{length}" if length.isdigit() and "." in address else address)
        elif name == "include":
            await self._include(value)
        elif "=" not in name and name not in ("exp", "redirect"):
            self.broken = self.broken or f'"{name[:40]}" is no term of SPF'

    async def _include(self, domain: str) -> None:
        if self.lookups > MOST_LOOKUPS:
            return
        records = await _records(domain, self.resolver)
        if len(records) != 1:
            self.broken = self.broken or f"it includes {domain}, which has {len(records) or 'no'} SPF records"
        elif await self.go(domain, records[0]) == "+":
            self.broken = self.broken or f"it includes {domain}, which lets everybody send"

    async def _further(self, domain: str) -> str:
        self.lookups += 1
        records = await _records(domain, self.resolver) if self.lookups <= MOST_LOOKUPS else []
        if len(records) != 1:
            self.broken = self.broken or f"it leads on to {domain}, which has no SPF record"
            return ""
        return await self.go(domain, records[0])

    def _add(self, network: str) -> None:
        try:
            self.networks.append(ip_network(network, strict=False))
        except ValueError:
            self.broken = self.broken or f'"{network[:60]}" is no network'


def _split(term: str) -> tuple[str, str]:
    """`include:x` `a/24` `redirect=x`."""
    for position, character in enumerate(term):
        if character in ":=":
            return term[:position].lower(), term[position + 1 :]
        if character == "/":
            return term[:position].lower(), term[position:]
    return term.lower(), ""


def _is_in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in each for each in networks)
