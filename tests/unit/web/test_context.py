"""Who is asking, behind whichever proxies."""

from __future__ import annotations

from ipaddress import ip_network
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from newsletter.web.context import client_address, printable
from newsletter.web.services import SERVICES, Services

PROXIES = ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "2001:db8:5::/48")


def asked_by(peer: str | None, *forwarded: str) -> str | None:
    app = web.Application()
    app[SERVICES] = cast("Services", SimpleNamespace(trusted_proxies=[ip_network(each) for each in PROXIES]))
    headers = CIMultiDict([("X-Forwarded-For", each) for each in forwarded])
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: (peer, 1) if name == "peername" and peer else default
    address = client_address(make_mocked_request("GET", "/", headers=headers, app=app, transport=transport))
    return str(address) if address else None


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", (), "198.51.100.7"),
        ("198.51.100.7", ("203.0.113.9",), "198.51.100.7"),  # a stranger's word
        ("127.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("127.0.0.1", ("203.0.113.9, 198.51.100.7",), "198.51.100.7"),  # what stands further left was typed by the client
        ("127.0.0.1", ("203.0.113.9, 198.51.100.7, 10.1.2.3",), "198.51.100.7"),
        ("127.0.0.1", ("203.0.113.9", "198.51.100.7"), "198.51.100.7"),
        ("127.0.0.1", ("10.1.2.3, 10.1.2.4",), "10.1.2.3"),
        ("127.0.0.1", ("203.0.113.9, unknown",), "127.0.0.1"),
        ("127.0.0.1", ("",), "127.0.0.1"),
        ("127.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        ("127.0.0.1", ("[2001:db8::1]:4711",), "2001:db8::1"),
        ("127.0.0.1", ("2001:db8::1",), "2001:db8::1"),
        ("::1", ('"[2001:db8::1]"',), "2001:db8::1"),
        ("2001:db8:5::9", ("203.0.113.9",), "203.0.113.9"),
        ("::ffff:127.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("127.0.0.1", ("::ffff:203.0.113.9",), "203.0.113.9"),
        ("fe80::1%eth0", (), "fe80::1"),
        (None, ("203.0.113.9",), None),
    ],
)
def test_the_client_is_the_right_most_hop_that_no_proxy_of_ours_is(
    peer: str | None, forwarded: tuple[str, ...], expected: str | None
) -> None:
    assert asked_by(peer, *forwarded) == expected


def test_evidence_is_text_alone_and_not_longer_than_its_column() -> None:
    assert printable("a\r\nb\udcff\x00\u202ec\u00e9", 100) == "abcé"
    assert printable("a" * 600, 500) == "a" * 500
