"""Asking DNS, for whoever looks a sender over. None where DNS says so; an error where nobody could be asked: never mixed up.

Closed networks have name servers that deny every name. So a "there is none" is believed only of a server that knows where the
root of all names is.
"""

from __future__ import annotations

from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
import dns.reversename

from newsletter.core.errors import NewsletterError

ANSWER_WITHIN = 4.0
"""Seconds for one question, tries and servers together."""


class DnsUnavailable(NewsletterError):
    """Nobody could be asked: no server of names, no network, no answer in time. Says nothing about the name."""


class Resolver(Protocol):
    """Each answers with none where DNS says that there are none, and raises `DnsUnavailable` where it could not be asked."""

    async def texts(self, name: str) -> list[str]:
        """TXT records, each as one text."""

    async def addresses(self, host: str) -> list[str]:
        """Of a host, IPv4 and IPv6."""

    async def exchangers(self, domain: str) -> list[str]:
        """Hosts that take a domain's mail (MX)."""

    async def names(self, address: str) -> list[str]:
        """Host names that an address is said to belong to (PTR)."""


class SystemResolver:
    """By the name servers of this machine, or those of `ask`."""

    def __init__(self, ask: dns.asyncresolver.Resolver | None = None, *, within: float = ANSWER_WITHIN) -> None:
        self._asks = ask
        self._within = within
        self._knows_the_world = False

    async def texts(self, name: str) -> list[str]:
        return [b"".join(each.strings).decode("utf-8", "replace") for each in await self._ask(_name(name), "TXT")]

    async def addresses(self, host: str) -> list[str]:
        found = [await self._ask(_name(host), kind) for kind in ("A", "AAAA")]
        return [each.address for answers in found for each in answers]

    async def exchangers(self, domain: str) -> list[str]:
        found = sorted(await self._ask(_name(domain), "MX"), key=lambda each: int(each.preference))
        return [_host(each.exchange) for each in found]

    async def names(self, address: str) -> list[str]:
        return [_host(each.target) for each in await self._ask(dns.reversename.from_address(address), "PTR")]

    async def _ask(self, name: dns.name.Name | None, kind: str) -> list[Any]:
        if name is None:  # Whatever cannot be a name is none.
            return []
        found = await self._answers(name, kind)
        if not found:
            await self._check_for_the_world()
        return found

    async def _check_for_the_world(self) -> None:
        """Raises `DnsUnavailable`."""
        if not self._knows_the_world:
            self._knows_the_world = bool(await self._answers(dns.name.root, "NS"))
        if not self._knows_the_world:
            raise DnsUnavailable("The name server here knows no name at all, so nothing follows from what it denies.")

    async def _answers(self, name: dns.name.Name, kind: str) -> list[Any]:
        try:
            ask = self._asks or dns.asyncresolver.Resolver()  # Anew each time: the machine may have changed its network.
            return list(await ask.resolve(name, kind, lifetime=self._within, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnavailable(f"DNS could not be asked for {name} ({type(error).__name__}).") from None


def _name(text: str) -> dns.name.Name | None:
    try:
        return dns.name.from_text(text)
    except dns.exception.DNSException:
        return None


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
