"""DNS as a test says it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from newsletter.delivery.resolver import DnsUnavailable


@dataclass
class Names:
    """What each name has; `silent`: names that nobody can be asked about, or all of them."""

    txt: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hosts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    mx: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ptr: Mapping[str, Sequence[str]] = field(default_factory=dict)
    silent: bool = False
    asked: list[str] = field(default_factory=list)

    async def texts(self, name: str) -> list[str]:
        return self._found(self.txt, name)

    async def addresses(self, host: str) -> list[str]:
        return self._found(self.hosts, host)

    async def exchangers(self, domain: str) -> list[str]:
        return self._found(self.mx, domain)

    async def names(self, address: str) -> list[str]:
        return self._found(self.ptr, address)

    def _found(self, kept: Mapping[str, Sequence[str]], name: str) -> list[str]:
        self.asked.append(name)
        if self.silent:
            raise DnsUnavailable(f"DNS could not be asked for {name} (NoNameservers).")
        return list(kept.get(name, ()))
