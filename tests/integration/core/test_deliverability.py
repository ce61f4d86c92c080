"""Whether a domain takes mail is asked of a real name server; one that is slow, away or not set up refuses nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from newsletter.core import addresses
from newsletter.core.addresses import check_deliverable, parse_address
from newsletter.core.errors import InvalidAddress

MX = {"takes.example.org": "10 mx.example.net.", "null.example.org": "0 ."}


class NameServer(threading.Thread):
    """Answers over UDP; knows the domains above and no other, leaves slow ones unanswered, has an error for broken ones."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self) -> None:
        while True:
            question, sender = self.socket.recvfrom(4096)
            if not question:
                return
            answer = self.answer(dns.message.from_wire(question))
            if answer:
                self.socket.sendto(answer.to_wire(), sender)

    def answer(self, question: dns.message.Message) -> dns.message.Message | None:
        self.asked += 1
        name = question.question[0].name.to_text(omit_final_dot=True)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if name.startswith("slow"):
            return None
        if name.startswith("broken"):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in MX:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.question[0].rdtype == dns.rdatatype.MX:
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "MX", MX[name]))
        return answer

    def stop(self) -> None:
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.join()
        self.socket.close()


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What earlier tests were told, and whom they asked."""
    addresses._resolver.cache_clear()
    yield
    addresses._resolver.cache_clear()


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """This machine's resolver asks it, and no other."""
    server = NameServer()
    server.start()

    def configure(resolver: dns.resolver.Resolver, _file: str) -> None:
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = server.port

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", configure)
    yield server
    server.stop()


async def check(address: str) -> None:
    await asyncio.to_thread(check_deliverable, parse_address(address), timeout=1)


@pytest.mark.parametrize("domain", ["takes.example.org", "broken.example.org", "slow.example.org"])
async def test_a_domain_that_takes_mail_or_cannot_be_asked_about_is_taken(name_server: NameServer, domain: str) -> None:
    await check(f"ada@{domain}")


@pytest.mark.parametrize("domain", ["nowhere.example.org", "null.example.org", "bücher.example.org"])
async def test_a_domain_that_takes_no_mail_is_refused_with_a_sentence(name_server: NameServer, domain: str) -> None:
    with pytest.raises(InvalidAddress, match="The part after the @ takes no mail") as refused:
        await check(f"ada@{domain}")
    assert refused.value.field == "email"


async def test_a_domain_is_asked_about_once_while_the_answer_holds(name_server: NameServer) -> None:
    for address in ("ada@takes.example.org", "ben@takes.example.org"):
        await check(address)
    assert name_server.asked == 1


async def test_a_machine_without_a_name_server_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def configure(_resolver: dns.resolver.Resolver, _file: str) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", configure)
    await check("ada@takes.example.org")
