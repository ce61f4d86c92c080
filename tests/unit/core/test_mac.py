"""A MAC with its key prepared is the standard's."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.mac import Mac


@given(key=st.binary(max_size=200), prefix=st.binary(max_size=80), messages=st.lists(st.binary(max_size=200), max_size=3))
def test_it_is_hmac_sha256_for_keys_and_messages_of_any_length(key: bytes, prefix: bytes, messages: list[bytes]) -> None:
    mac = Mac(key, prefix)
    for message in messages:
        assert mac.digest(message) == hmac.digest(key, prefix + message, "sha256")
