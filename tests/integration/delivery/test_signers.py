"""Processes that sign: in order, on each loop, after one was killed, and gone when they are closed."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from newsletter.delivery import dkim, dkim_process
from newsletter.delivery.dkim import KINDS, DkimKey, Signers, SigningFailed, Unsigned, generate_key, load_private_key

KEYS = [DkimKey("society.example", kind, load_private_key(generate_key(kind))) for kind in KINDS]
RSA, ED25519 = KEYS


def some(count: int, start: int = 0) -> list[Unsigned]:
    return [Unsigned(b"", sha256(str(number).encode()).digest()) for number in range(start, start + count)]


def check(signatures: list[bytes], unsigned: list[Unsigned], key: DkimKey) -> None:
    """Raises where one is not over what is at its place."""
    for signature, mail in zip(signatures, unsigned, strict=True):
        match key.private_key:
            case RSAPrivateKey():
                key.private_key.public_key().verify(signature, mail.digest, PKCS1v15(), Prehashed(SHA256()))
            case Ed25519PrivateKey():
                key.private_key.public_key().verify(signature, mail.digest)


def pids(signers: Signers) -> list[int]:
    return [slot.process.pid for slot in signers._all if slot.process]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
async def signers() -> AsyncIterator[Signers]:
    made = Signers(2)
    yield made
    await made.close()


async def _many_slices() -> list[int]:
    signers = Signers(2)
    try:
        slices = [(some(20, 20 * number), KEYS[number % 2]) for number in range(12)]
        results = await asyncio.gather(*(signers.sign(unsigned, key) for unsigned, key in slices))
        for signatures, (unsigned, key) in zip(results, slices, strict=True):
            check(signatures, unsigned, key)
        return pids(signers)
    finally:
        await signers.close()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_signatures_come_in_the_order_of_the_mails_from_all_processes(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        started = runner.run(_many_slices())
    assert len(set(started)) == 2
    assert all(map(is_gone, started))


async def test_processes_are_started_when_they_are_needed_and_stay(signers: Signers) -> None:
    assert pids(signers) == []
    assert await signers.sign([], RSA) == []
    assert pids(signers) == []
    await signers.sign(some(1), RSA)
    (first,) = pids(signers)
    await signers.sign(some(1), ED25519)
    assert pids(signers) == [first]


async def test_a_process_that_was_killed_is_replaced(signers: Signers) -> None:
    await signers.sign(some(1), RSA)
    (killed,) = pids(signers)
    os.kill(killed, signal.SIGKILL)
    check(await signers.sign(some(40), RSA), some(40), RSA)
    assert pids(signers) != [killed]


async def test_a_process_that_is_killed_while_it_signs_costs_nothing(signers: Signers) -> None:
    await signers.sign(some(1), RSA)
    (killed,) = pids(signers)
    job = asyncio.create_task(signers.sign(some(400), RSA))
    await asyncio.sleep(0)
    os.kill(killed, signal.SIGKILL)
    check(await job, some(400), RSA)


async def test_two_deaths_in_a_row_are_an_error_and_the_next_slice_is_tried_again(
    signers: Signers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies.py").write_text("raise SystemExit(1)")
    with monkeypatch.context() as patch:
        patch.setattr(dkim, "_PROGRAM", tmp_path / "dies.py")
        with pytest.raises(SigningFailed, match="ended twice in a row: look in the log"):
            await signers.sign(some(1), RSA)
    check(await signers.sign(some(3), RSA), some(3), RSA)


async def test_a_process_that_does_not_answer_is_given_up(
    signers: Signers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(dkim, "_PROGRAM", tmp_path / "sleeps.py")
    monkeypatch.setattr(dkim, "_ANSWER_WITHIN", 0.05)
    with pytest.raises(SigningFailed):
        await signers.sign(some(1), RSA)
    assert pids(signers) == []


async def test_a_slice_that_is_cancelled_leaves_nothing_for_the_next(signers: Signers) -> None:
    await signers.sign(some(1), RSA)
    (first,) = pids(signers)
    job = asyncio.create_task(signers.sign(some(400), RSA))
    await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert is_gone(first)
    check(await signers.sign(some(3, 7), RSA), some(3, 7), RSA)


async def test_closing_ends_what_runs_and_what_waits() -> None:
    signers = Signers(1)
    await signers.sign(some(1), RSA)
    started = pids(signers)
    jobs = [asyncio.create_task(signers.sign(some(50), RSA)) for _ in range(3)]
    await asyncio.sleep(0)
    await signers.close()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results] == [SigningFailed] * 3
    assert all(map(is_gone, started))
    with pytest.raises(SigningFailed, match="ending"):
        await signers.sign(some(1), RSA)
    await signers.close()


async def test_closing_while_a_process_starts_leaves_none() -> None:
    signers = Signers(1)
    job = asyncio.create_task(signers.sign(some(1), RSA))
    await asyncio.sleep(0)
    await signers.close()
    with pytest.raises(SigningFailed):
        await job
    assert pids(signers) == []


async def test_a_signal_for_all_processes_of_a_service_leaves_the_end_to_us(signers: Signers) -> None:
    """systemd sends SIGTERM to each; what is in hand is finished first."""
    await signers.sign(some(1), RSA)
    before = pids(signers)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(before[0], number)
    check(await signers.sign(some(1), RSA), some(1), RSA)
    assert pids(signers) == before


def test_a_process_ends_with_its_input() -> None:
    """So it does not outlive whoever started it, however that one ended; half a job is no job."""
    job = struct.pack("!HH", len(ED25519.der), 1) + ED25519.der + bytes(32)
    program = [sys.executable, "-P", str(dkim._PROGRAM)]
    ended = subprocess.run(program, input=job + job[:3], capture_output=True, check=True, timeout=30)
    assert ended.stdout == struct.pack("!H", 64) + ED25519.private_key.sign(bytes(32))  # type: ignore[call-arg]
    assert ended.stderr == b""


def test_keys_are_kept_open_up_to_a_bound() -> None:
    fresh = [Ed25519PrivateKey.generate() for _ in range(dkim_process.KEYS_AT_MOST + 1)]
    keys = [DkimKey("society.example", "news1", key) for key in [*fresh, fresh[0]]]
    jobs, answers = io.BytesIO(), io.BytesIO()
    for key in keys:
        jobs.write(struct.pack("!HH", len(key.der), 1) + key.der + bytes(32))
    jobs.seek(0)
    dkim_process.serve(jobs, answers)
    signatures = [key.private_key.sign(bytes(32)) for key in keys]  # type: ignore[call-arg]
    assert answers.getvalue() == b"".join(struct.pack("!H", 64) + signature for signature in signatures)


async def test_a_busy_loop_does_not_starve_the_signing(signers: Signers) -> None:
    """It did when threads stood between loop and processes: none came while a campaign was made out."""
    await signers.sign(some(1), ED25519)
    job = asyncio.create_task(signers.sign(some(32), ED25519))
    turns = 0
    while not job.done():
        turns += 1
        sum(range(5000))
        await asyncio.sleep(0)  # A loop that never waits.
    check(await job, some(32), ED25519)
    assert turns < 2000
