"""`make bench`: measures this machine. Prints figures, asserts nothing, ends by itself.

    python -m tests.bench [start] [answers] [rates] [ahead] [compose] [purge] [console] [watch]      without a name: all of them

Timings are noisy on a small machine: look at ratios within one run.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from aiohttp.test_utils import TestClient, TestServer

from newsletter.bench.sink import running_sink
from newsletter.campaigns.content import Draft, Format, compile_content
from newsletter.campaigns.content import Reader as Recipient
from newsletter.campaigns.frame import Frame
from newsletter.campaigns.letter import Letter
from newsletter.consent.service import Origin
from newsletter.core.i18n import translations
from newsletter.core.keys import Keyring
from newsletter.core.logs import set_up_logs
from newsletter.core.tokens import Tokens
from newsletter.delivery.compiled import compile_message
from newsletter.delivery.store import Reader
from newsletter.subscribing.joining import SignupForm
from newsletter.subscribing.links import Links
from newsletter.subscribing.lists import ListText, MailingList, Sender
from newsletter.web.server import make_app
from tests.bench.console import console
from tests.bench.purge import purge
from tests.bench.stage import LETTER, begun, bench_house, known, populate, workers
from tests.bench.watch import watch
from tests.ports import free_port
from tests.relay import ScriptedRelay

GUESSES = 400
"""Sign-ups of each kind whose time is taken."""


async def start() -> None:
    """From the command to the first page, the first time and the second."""
    with tempfile.TemporaryDirectory() as folder:
        for which in ("first", "second"):
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "newsletter", "dev", "--port", str(free_port()), cwd=folder, stdout=PIPE
            )  # fmt: skip
            assert process.stdout is not None
            while b"Ready" not in (line := await process.stdout.readline()):
                if not line:
                    raise SystemExit("newsletter dev ended by itself")
            print(f"start      {which:<8} {time.monotonic() - began:6.1f} s to ready")
            process.send_signal(signal.SIGTERM)
            await process.communicate()


async def answers() -> None:
    """Whether the time of the sign-up page's answer tells a known address from an unknown one; 50 % is chance."""
    async with bench_house() as house:
        async with TestClient(TestServer(make_app(house.services()))) as client:
            now = house.clock.now()
            for number in range(GUESSES):
                await house.joining.request(SignupForm(known(number), ("letter",), "en", Origin("bench")), now=now)
            while await house.joining.process_once(now=now):
                pass
            times: dict[bool, list[float]] = {True: [], False: []}
            for number in range(GUESSES):
                for is_known in (True, False) if number % 2 else (False, True):
                    address = known(number) if is_known else f"stranger{number}@example.org"
                    began = time.perf_counter()
                    answer = await client.post("/subscribe/letter", data={"email": address})
                    await answer.read()
                    times[is_known].append(time.perf_counter() - began)
        middle = statistics.median(times[True] + times[False])
        slower = sum(each > middle for each in times[True]) / GUESSES
        print(f"answers    known    {statistics.median(times[True]) * 1000:6.2f} ms, median of {GUESSES}")
        print(f"answers    unknown  {statistics.median(times[False]) * 1000:6.2f} ms")
        print(f"answers    guessed  {max(slower, 1 - slower) * 100:6.1f} % right by time alone")


async def rates() -> None:
    """Two workers at 50 mails a second for a minute; and a slow domain beside one that is not."""
    async with bench_house() as house, ScriptedRelay() as relay:
        await populate(house, 4000)
        async with workers(house, 2, f"smtp://127.0.0.1:{relay.port}?starttls=never&rate=50"):
            await begun(house)
            await relay.has_taken(1)
            await asyncio.sleep(60)
            print(f"rates      {len(relay.taken):>6,} mails in a minute at 50 a second (3,000 are right)")
    for limited in (False, True):
        async with bench_house() as house, ScriptedRelay() as relay:
            await populate(house, 4000, domains=("fast.example", "slow.example"))
            limits = {"NEWSLETTER_DOMAIN_RATES": "slow.example=20"} if limited else {}
            async with workers(house, 2, f"smtp://127.0.0.1:{relay.port}?starttls=never", **limits):
                began = time.monotonic()
                await begun(house)
                await relay.until(lambda: sum(mail.recipient.endswith("@fast.example") for mail in relay.taken) == 2000, 60)
                which = "20 a second to the other domain" if limited else "no limit"
                print(f"rates      {time.monotonic() - began:6.1f} s for 2,000 mails to one domain, {which}")
                if limited:
                    slow = len(relay.taken) - 2000
                    await asyncio.sleep(30)
                    print(
                        f"rates      {len(relay.taken) - 2000 - slow:>6,} mails in half a minute at 20 a second (600 are right)"
                    )


async def ahead() -> None:
    """From a sign-up to the confirmation mail at the relay, while a campaign of 100,000 is being sent."""
    async with bench_house() as house, running_sink() as sink, ScriptedRelay() as relay:
        await populate(house, 100_000)
        # The campaign goes to the sink; what is for example.net goes to a relay of our own, which tells the time.
        urls = f"smtp://{sink.host}:{sink.port}?starttls=never,smtp://127.0.0.1:{relay.port}?starttls=never&domain=example.net"
        async with workers(house, 1, urls):
            number = await begun(house)
            times: list[float] = []
            for stranger in range(60):
                before = len(relay.taken)
                began = time.monotonic()
                form = SignupForm(f"stranger{stranger}@example.net", ("letter",), "en", Origin("bench"))
                await house.joining.request(form, now=house.clock.now())
                await relay.has_taken(before + 1)
                times.append(time.monotonic() - began)
            still = (await house.campaigns.status(number)).state
        p95 = sorted(times)[len(times) * 95 // 100]
        middle = statistics.median(times)
        print(f"ahead      {middle * 1000:6.0f} ms from sign-up to relay, p95 {p95 * 1000:.0f} ms; campaign {still}")


async def compose() -> None:
    """Processor time of one reader's mail of 10 KB, everything included; and of its body alone, without and with the hash
    that DKIM asks for."""
    now = datetime.now(UTC)
    readers = [
        Reader(uuid4(), known(number), "Ada Lovelace", "en", now - timedelta(days=number % 300), 1, now)
        for number in range(2000)
    ]
    greeting = "{% if name %}Dear {{ name }}{% else %}Hello{% endif %}"
    for which, body in {"plain": LETTER, "logic": LETTER.replace("Dear {{ name }}", greeting)}.items():
        letter = bench_letter(body)
        octets = len(letter.compose(readers[0], now).data)
        took = cpu_time(partial(letter.compose, now=now), readers)
        print(f"compose    {which:<8} {took * 1e6:6.1f} µs a mail of {octets:,} octets")
    content = bench_letter(LETTER).contents["en"]
    message = compile_message([], text=content.text.content, html=content.html.content, boundary="b")
    values = content.values(Recipient("Ada Lovelace", "3 March 2026", "https://news.example.org/unsubscribe/" + "x" * 55))
    for which, digest in (("body", False), ("hashed", True)):
        took = cpu_time(partial(message.fill, values=values, digest=digest), [()] * len(readers))
        print(f"compose    {which:<8} {took * 1e6:6.1f} µs for the body{' and its SHA-256' if digest else ''}")


def cpu_time(act: Callable[[Any], object], things: Sequence[object]) -> float:
    """Seconds for one of them. The best of several: what others do on this machine only ever adds."""
    times: list[float] = []
    for _ in range(15):
        began = time.process_time()
        for thing in things:
            act(thing)
        times.append(time.process_time() - began)
    return min(times) / len(things)


def bench_letter(body: str) -> Letter:
    """Without a database."""
    sender = Sender(1, "Society", "letter@society.example", None, "Harbour Street 4", "privacy@society.example", None)
    mailing_list = MailingList(
        list_id=1,
        slug="letter",
        public=True,
        closed=False,
        languages=("en",),
        time_zone="Europe/Berlin",
        list_id_header="letter.news.example.org",
        return_urls=(),
        sender=sender,
        texts={"en": ListText("The Letter", "Monthly.")},
    )
    site = "https://news.example.org"
    frame = Frame(
        list_name="The Letter",
        list_description="Monthly.",
        sender_name=sender.name,
        postal_address=sender.postal_address,
        legal_notice_url=None,
        subscribe_url=f"{site}/subscribe/letter",
        privacy_url=f"{site}/privacy",
        erase_days=14,
        translations=translations("en"),
    )
    tokens = Tokens(Keyring(address_key=b"a" * 32, token_keys={1: b"t" * 32}, current_token_key=1))
    content = compile_content(Draft("en", "The long tide", "", Format.MARKDOWN, body), frame=frame)
    return Letter(1, mailing_list, {"en": content}, Links(tokens, site), b"m" * 32, "society.example")


BENCHES: dict[str, Callable[[], Awaitable[None]]] = {
    "start": start,
    "answers": answers,
    "rates": rates,
    "ahead": ahead,
    "compose": compose,
    "purge": purge,
    "console": console,
    "watch": watch,
}


async def main(names: list[str]) -> None:
    set_up_logs("error", process="bench")
    for name in names or BENCHES:
        await BENCHES[name]()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
