"""No line of a log holds a mail address, a token or a full network address, whoever wrote it."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from newsletter.core.errors import InvalidInput
from newsletter.core.keys import Keyring
from newsletter.core.logs import get_logger, network_of, scrub, set_up_logs
from newsletter.core.tokens import Purpose, Tokens

TOKEN = Tokens(Keyring(b"a" * 32, {7: b"k" * 32}, 7)).mint(Purpose.UNSUBSCRIBE, b"p" * 24)
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Logging as a process sets it up; gives what was written, each line read as JSON."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    set_up_logs("info", process="test")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail_with(message: str, kind: type[Exception] = ValueError) -> None:
    raise kind(message)


def test_an_event_is_one_line_of_json_with_its_name_time_level_and_process(lines: Lines) -> None:
    get_logger("newsletter.room").info("job_done", job="keep:left", changed=3)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "job_done", "job": "keep:left", "changed": 3, "level": "info", "logger": "newsletter.room",
                    "process": "test"}  # fmt: skip


def test_what_is_below_the_level_is_not_written(lines: Lines) -> None:
    get_logger("newsletter.room").debug("detail")
    logging.getLogger("library").debug("detail")
    assert lines() == []


def test_our_own_events_are_scrubbed_wherever_the_address_hides(lines: Lines) -> None:
    get_logger("newsletter.room").info(
        "said ada@example.org",
        plain="ada@example.org",
        nested={"to": ["<ada@example.org>", {"ada@example.org": 1}]},
        octets=b"ada@example.org",
        broken="To:\nada@example.org\r\n\tada@example.org",
        error=ValueError("ada@example.org"),
        link=f"/unsubscribe/{TOKEN}",
        peer=("192.0.2.77", 4711),
    )
    (line,) = lines()
    text = json.dumps(line)
    assert "ada" not in text
    assert TOKEN not in text
    assert "192.0.2.77" not in text
    assert line["broken"] == "To:\n[address]\r\n\t[address]"
    assert line["peer"] == ["192.0.2.0", 4711]


def test_what_libraries_log_is_scrubbed_too(lines: Lines) -> None:
    library = logging.getLogger("aiosmtplib")
    library.warning("RCPT TO:<%s> from %s refused", "ada@example.org", "2001:db8:1:2::5")
    library.error("stack", stack_info=True, extra={"mail": "ada@example.org"})
    first, _ = lines()
    assert first["event"] == "RCPT TO:<[address]> from 2001:db8:1:: refused"
    assert "ada@example.org" not in json.dumps(lines())


@pytest.mark.parametrize("logger", ["newsletter.room", "aiohttp.server"])
def test_the_text_of_an_error_that_is_not_ours_stays_out(lines: Lines, logger: str) -> None:
    try:
        fail_with("Ada Lovelace <ada@example.org> is no address")
    except ValueError as error:
        (get_logger(logger) if logger == "newsletter.room" else logging.getLogger(logger)).exception("failed")
        get_logger(logger).error("failed", exc_info=error)
    for line in lines():
        assert line["error"] == "ValueError"
        assert line["at"][-1].endswith(" fail_with")
        assert "Ada" not in json.dumps(line)
        assert "ada" not in json.dumps(line)


def test_the_text_of_our_own_errors_is_kept_and_scrubbed(lines: Lines) -> None:
    try:
        fail_with("The list is not there; write to ada@example.org.", InvalidInput)
    except InvalidInput:
        get_logger("newsletter.room").exception("failed")
    (line,) = lines()
    assert line["reason"] == "The list is not there; write to [address]"


def test_an_error_that_quotes_its_cause_does_not_bring_it_in(lines: Lines) -> None:
    try:
        try:
            fail_with("ada@example.org")
        except ValueError as error:
            raise RuntimeError("while working on ada@example.org") from error
    except RuntimeError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    assert "ada" not in json.dumps(lines())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_asyncio_says_of_a_failure_has_none_of_its_text(
    lines: Lines, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """It writes the text of an error, and the arguments of a call, into the message itself."""
    loop = new_loop()

    async def fail() -> None:
        fail_with("Ada Lovelace of Harbour Street 4")

    async def forgotten() -> None:
        task = asyncio.ensure_future(fail())
        loop.call_soon(fail_with, "Ada Lovelace of Harbour Street 4")
        await asyncio.wait([task])

    loop.run_until_complete(forgotten())
    loop.close()
    gc.collect()
    first, second = sorted(lines(), key=lambda line: str(line["event"]))
    assert first["event"].startswith("Exception in callback")
    assert second["event"] == "Task exception was never retrieved"
    assert {first["error"], second["error"]} == {"ValueError"}
    for word in ("Ada", "Lovelace", "Harbour"):
        assert word not in json.dumps(lines())


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.org",
        "Ada.Lovelace+news@sub.example.co.uk",
        "o'brien@example.org",
        "ada/lovelace=x@example.org",
        "{ada}@example.org",
        "üser@exämple.org",
        "用户@例え.jp",
        "ada%40example.org",
        "m%C3%BCller%40b%C3%BCcher.example",
        "ada%2540example.org",
        '"ada lovelace"@example.org',
        "ada@[192.0.2.7]",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "<{}>: refused", "to={}&list=letter", "'{}',", 'say "{}"', "a {}. b", "x\n{}\ny", "/p/{}?q=1"]
)
def test_no_part_of_an_address_is_left(address: str, around: str) -> None:
    rest = scrub(around.format(address))
    assert "[address]" in rest
    for part in ("ada", "Ada", "Lovelace", "lovelace", "brien", "example", "ser@", "mple", "用户", "例", "ller", "cher"):
        assert part not in rest


@given(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_address_survives_in_any_company(local: str, domain: str, before: str, after: str) -> None:
    assert f"{local}@{domain}." not in scrub(f"{before} {local}@{domain}.org {after}")


def test_tokens_of_every_kind_are_taken_out() -> None:
    assert scrub(f"GET /unsubscribe/{TOKEN}?x=1") == "GET /unsubscribe/[token]?x=1"
    assert scrub(f"GET /confirm/{TOKEN}/refuse") == "GET /confirm/[token]/refuse"
    assert scrub(f"Authorization: Bearer nl_{'x' * 43}") == "Authorization: Bearer [token]"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("from 192.0.2.77 port 4711", "from 192.0.2.0 port 4711"),
        ("from 192.0.2.77:4711", "from 192.0.2.0:4711"),
        ("no answer from 192.0.2.77.", "no answer from 192.0.2.0."),
        ("...192.0.2.77...", "...192.0.2.0..."),
        ("[2001:db8:1:2::5]:443", "[2001:db8:1::]:443"),
        ("2001:DB8:0001:0002:0003:0004:0005:0006", "2001:db8:1::"),
        ("2001:db8:1:2::5: connection refused", "2001:db8:1::: connection refused"),
        ("peer:2001:db8:1:2::5", "peer:2001:db8:1::"),
        ("fe80::1%eth0", "fe80::%eth0"),
        ("::ffff:192.0.2.77 spoke", "::.0.2.0 spoke"),
        ("::ffff:c000:24d", "192.0.2.0"),
    ],
)
def test_network_addresses_are_shortened(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T14:05:00.123456Z",
        "14:05:00",
        "version 1.2.3, PostgreSQL 18.1, Python 3.11.2",
        "1.2.3.4.5",
        "0b9c1f3a-7c55-8e1d-9c3f-1f2e3d4c5b6a",
        "newsletter/core/logs.py:103 scrub",
        "https://news.example.org/subscribe/letter",
        "std::vector",
        "12:34",
        "keep:left",
    ],
)
def test_times_versions_ids_and_places_stay(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::5", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("localhost", ""),
        ("", ""),
    ],
)
def test_of_a_network_address_only_the_network_is_kept(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize("filler", ["a", "a:", "1.", '"', "%4", "a@", "fe80:", "'"])
def test_scrubbing_takes_time_in_proportion_to_the_text(filler: str) -> None:
    """A relay's reply or a foreign log line may be long; at quadratic cost these would take minutes."""
    began = time.perf_counter()
    scrub(filler * (300_000 // len(filler)))
    assert time.perf_counter() - began < 5
