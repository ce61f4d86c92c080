"""Asking a real name server on loopback: what it denies is believed only of one that knows where the world begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from newsletter.delivery.resolver import DnsUnavailable, SystemResolver

ROOT = ". 300 IN NS a.root-servers.example."
ZONE = (
    'letters.example. 300 IN TXT "v=spf1 " "-all"',
    "mail.example. 300 IN A 192.0.2.7",
    "mail.example. 300 IN AAAA 2001:db8::7",
    "letters.example. 300 IN MX 20 later.example.",
    "letters.example. 300 IN MX 10 Mail.example.",
    "7.2.0.192.in-addr.arpa. 300 IN PTR Mail.example.",
)


class NameServer(asyncio.DatagramProtocol):
    """Knows these records and denies all else; without any it does not answer at all."""

    def __init__(self, *records: str) -> None:
        self._records = records

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._records:
            return
        asked = dns.message.from_wire(data)
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        question = asked.question[0]
        for record in self._records:
            name, ttl, _, kind, value = record.split(" ", 4)
            made = dns.rrset.from_text(name, int(ttl), "IN", kind, value)
            if made.name == question.name and made.rdtype == question.rdtype:
                kept = answer.find_rrset(answer.answer, made.name, made.rdclass, made.rdtype, create=True)
                kept.add(made[0], made.ttl)
        answer.set_rcode(dns.rcode.NOERROR if answer.answer else dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)


Serve = Callable[..., Awaitable[SystemResolver]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    opened: list[asyncio.DatagramTransport] = []

    async def serve(*records: str) -> SystemResolver:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(*records), local_addr=("127.0.0.1", 0))
        opened.append(transport)
        ask = dns.asyncresolver.Resolver(configure=False)
        ask.nameservers = ["127.0.0.1"]
        ask.port = transport.get_extra_info("sockname")[1]
        return SystemResolver(ask, within=0.3)

    yield serve
    for transport in opened:
        transport.close()


async def test_records_are_read_as_they_are(serve: Serve) -> None:
    resolver = await serve(ROOT, *ZONE)
    assert await resolver.texts("letters.example") == ["v=spf1 -all"]
    assert await resolver.addresses("mail.example") == ["192.0.2.7", "2001:db8::7"]
    assert await resolver.exchangers("letters.example") == ["mail.example", "later.example"]
    assert await resolver.names("192.0.2.7") == ["mail.example"]


async def test_what_a_server_that_knows_the_world_denies_is_not_there(serve: Serve) -> None:
    resolver = await serve(ROOT, *ZONE)
    assert await resolver.texts("nobody.example") == []
    assert await resolver.texts("mail.example") == []
    assert await resolver.texts("no..name") == []


async def test_a_server_that_denies_everything_is_not_believed(serve: Serve) -> None:
    resolver = await serve(*ZONE)
    assert await resolver.texts("letters.example") == ["v=spf1 -all"]
    with pytest.raises(DnsUnavailable, match="knows no name at all"):
        await resolver.texts("nobody.example")


async def test_silence_is_no_answer(serve: Serve) -> None:
    with pytest.raises(DnsUnavailable, match="could not be asked"):
        await (await serve()).texts("letters.example")
