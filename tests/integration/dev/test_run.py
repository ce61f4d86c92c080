"""`newsletter dev` starts one process tree, says where everything is, and leaves nothing behind.

The web app and the worker are stand-ins here: what is proved is the tree, not what runs in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import asyncpg
import pytest
from click.testing import CliRunner

from newsletter.app import House
from newsletter.core.errors import SchemaMismatch, SettingsError
from newsletter.dev import folder, run
from newsletter.dev.command import dev as dev_command
from newsletter.dev.demo import prepare_demo
from newsletter.dev.run import DevAddresses, dev_environment, run_dev
from tests.ports import free_port

WEB = """
import http.server, os, pathlib, tomllib
config = pathlib.Path(os.environ["NEWSLETTER_CONFIG"])
settings = tomllib.loads(config.read_text())
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
server = http.server.HTTPServer((settings["host"], settings["port"]), Ready)
fresh = config.parent / "web.new"
fresh.write_text(str(os.getpid()))
fresh.rename(config.parent / "web.pid")  # whole, or not there
print("web listens", flush=True)
server.serve_forever()
"""
WORK = """
import os, pathlib, signal
fresh = pathlib.Path(os.environ["NEWSLETTER_CONFIG"]).with_name("worker.new")
fresh.write_text(str(os.getpid()))
fresh.rename(fresh.with_name("worker.pid"))
signal.pause()
"""
COMMANDS: dict[str, Sequence[str]] = {"web": (sys.executable, "-c", WEB), "worker": (sys.executable, "-c", WORK)}
ELSEWHERE = "postgresql://newsletter:secret@db.example/newsletter"
"""Nothing here connects to it: with an address given, no PostgreSQL is started, which saves its second."""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder for the tests that need a PostgreSQL and do not care whether it is new: making one takes a second."""
    return tmp_path_factory.mktemp("used") / "data"


class Dev:
    """One `newsletter dev` in this process, and what it said."""

    def __init__(self, data: Path, **options: Any) -> None:
        self.data = data
        self.port = free_port(neighbours=1)
        self.lines: list[str] = []
        self.addresses: DevAddresses | None = None
        self.ready = asyncio.Event()
        self.options: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "data": data, "commands": COMMANDS}
        self.options |= {"prepare": self.prepare, **options}
        for former in data.glob("*.pid"):
            former.unlink()

    async def prepare(self, addresses: DevAddresses) -> Sequence[str]:
        self.addresses = addresses
        return ["Operator  ada@northwind.example", "Password  correct-horse"]

    def say(self, line: str) -> None:
        self.lines.append(line)
        if "Ready in" in line:
            self.ready.set()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def settings(self) -> dict[str, Any]:
        return tomllib.loads((self.data / "config.toml").read_text())

    def pids(self) -> dict[str, int]:
        found = {name: int((self.data / f"{name}.pid").read_text()) for name in ("web", "worker")}
        cluster = self.data / "postgres" / "postmaster.pid"
        return found | ({"postgres": int(cluster.read_text().split()[0])} if cluster.exists() else {})

    async def run(self) -> int:
        async with asyncio.timeout(60):
            return await run_dev(**self.options, say=self.say)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[int]]:
        """Inside: it has said that it is ready, and the worker has begun."""
        task = asyncio.create_task(self.run())
        until_ready = asyncio.create_task(self.ready.wait())
        try:
            await asyncio.wait({task, until_ready}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            await until((self.data / "worker.pid").exists)
            yield task
        finally:
            until_ready.cancel()
            task.cancel()
            await asyncio.wait({task})


async def until(condition: Any, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.005)


def all_gone(pids: Mapping[str, int]) -> bool:
    return not any(folder.alive(pid) for pid in pids.values())


async def status_of(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


async def test_it_runs_everything_says_where_and_ends_it_all(tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def make_table(addresses: DevAddresses) -> Sequence[str]:
        connection = await asyncpg.connect(tomllib.loads(addresses.config.read_text())["database_url"])
        await connection.execute("CREATE TABLE IF NOT EXISTS started (at timestamptz)")
        await connection.execute("INSERT INTO started VALUES (now())")
        counted = await connection.fetchval("SELECT count(*) FROM started")
        await connection.close()
        return [f"Started {counted} times"]

    first = Dev(data, prepare=make_table, signup_path="/subscribe/demo")
    async with first.running() as task:
        before, pids = first.settings(), first.pids()
        assert set(pids) == {"web", "worker", "postgres"}
        assert await status_of(f"http://127.0.0.1:{first.port}/readyz") == 200
        assert await status_of(f"http://127.0.0.1:{first.port + 1}/") == 200
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0
    assert all_gone(pids)
    for port in (first.port, first.port + 1):
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
    assert f"Sign-up page  http://127.0.0.1:{first.port}/subscribe/demo" in first.said
    assert "Started 1 times" in first.said

    second = Dev(data, prepare=make_table)
    began = time.monotonic()
    async with second.running() as task:
        assert time.monotonic() - began < 10
        os.kill(os.getpid(), signal.SIGINT)
        assert await task == 0
    assert "Started 2 times" in second.said
    assert second.settings()["secret"] == before["secret"]


async def test_the_addresses_and_the_credentials_fit_a_narrow_terminal(tmp_path: Path) -> None:
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE)
    async with dev.running():
        pass
    base = f"http://127.0.0.1:{dev.port}"
    assert (
        f"  Sign-up page  {base}/\n  Console       {base}/console/\n  Mailbox       http://127.0.0.1:{dev.port + 1}/\n"
        f"  API           {base}/api/v1/\n" in dev.said
    )
    assert dev.said.count("Password  correct-horse") == 1
    assert max(len(line) for line in dev.lines if str(dev.data) not in line) <= 80


async def test_the_settings_are_private_complete_and_keep_what_the_person_added(tmp_path: Path) -> None:
    dev = Dev(tmp_path, database_url=ELSEWHERE)
    (tmp_path / "config.toml").write_text('secret = "kept"\nerase_left_days = 1\nport = 1\ntrusted_proxies = ["::1/128"]\n')
    async with dev.running():
        settings = dev.settings()
        async with aiosmtplib.SMTP(
            port=int(settings["smtp_url"].rpartition(":")[2].partition("?")[0]), hostname="127.0.0.1"
        ) as relay:
            assert (await relay.noop()).code == 250
    assert stat.S_IMODE((tmp_path / "config.toml").stat().st_mode) == 0o600
    assert settings.pop("smtp_url").endswith("?starttls=never")
    assert settings == {
        "secret": "kept",
        "erase_left_days": 1,
        "trusted_proxies": ["::1/128"],
        "database_url": ELSEWHERE,
        "base_url": f"http://127.0.0.1:{dev.port}",
        "host": "127.0.0.1",
        "port": dev.port,
        "development": True,
    }


async def test_a_made_secret_is_long_enough(tmp_path: Path) -> None:
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE)
    async with dev.running():
        assert len(dev.settings()["secret"]) >= 32
    assert not (dev.data / "postgres").exists()


def test_settings_left_in_the_shell_do_not_reach_the_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMTP_URL", "SECRET_FILE", "DATABASE_URL", "CONFIG", "LOG_LEVEL"):
        monkeypatch.setenv(f"NEWSLETTER_{name}", "left over")
    seen = {name: value for name, value in dev_environment(tmp_path / "config.toml").items() if name.startswith("NEWSLETTER_")}
    assert seen == {"NEWSLETTER_CONFIG": str(tmp_path / "config.toml"), "NEWSLETTER_LOG_LEVEL": "left over"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::1", "localhost"])
async def test_it_can_listen_elsewhere(tmp_path: Path, host: str) -> None:
    family = "http.server.HTTPServer.address_family = 10 if ':' in settings['host'] else 2\n"
    web = (sys.executable, "-c", WEB.replace("server = ", f"{family}server = "))
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE, host=host, commands=COMMANDS | {"web": web})
    shown = {"0.0.0.0": "127.0.0.1", "::1": "[::1]"}.get(host, host)
    async with dev.running():
        assert f"Sign-up page  http://{shown}:{dev.port}/" in dev.said
        assert await status_of(f"http://127.0.0.1:{dev.port + 1}/") == 200


@pytest.mark.parametrize(("name", "how"), [("web", "with exit code 3"), ("worker", "with exit code 3")])
async def test_a_child_that_fails_ends_everything_and_is_named(tmp_path: Path, name: str, how: str) -> None:
    failing = (sys.executable, "-c", "print('a reason'); raise SystemExit(3)")
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE, commands=COMMANDS | {name: failing})
    assert await dev.run() == 1
    assert dev.said.count("Password  correct-horse") == 1
    assert f"{name} ended by itself, {how}" in dev.said
    assert "  a reason" in dev.said
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", dev.port + 1)


async def test_credentials_are_shown_though_a_signal_ends_the_start(tmp_path: Path) -> None:
    """They were made once, in a database that stays."""
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE, commands=COMMANDS | {"web": (sys.executable, "-c", WORK)})
    task = asyncio.create_task(dev.run())
    await until((dev.data / "worker.pid").exists)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == 0
    assert dev.said.count("  Password  correct-horse") == 1


def test_the_port_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    async def run_dev(**options: Any) -> int:
        asked.update(options)
        return 0

    monkeypatch.setattr("newsletter.dev.command.run_dev", run_dev)
    data = ["--data", str(tmp_path)]
    for arguments, port in (([], 9090), (["--port", "9191"], 9191)):
        CliRunner(env={"NEWSLETTER_PORT": "9090"}).invoke(dev_command, [*data, *arguments])
        assert asked["port"] == port
    CliRunner(env={"NEWSLETTER_PORT": ""}).invoke(dev_command, data)
    assert asked["port"] == 8080


async def test_a_later_start_says_how_to_make_a_token(house: House) -> None:
    first, later = await prepare_demo(house), await prepare_demo(house)
    assert any("nl_" in line for line in first)
    assert later[-1].strip() == ".venv/bin/newsletter token create NAME"
    assert max(len(line) for line in [*first, *later] if "://" not in line) <= 78


async def test_the_way_in_for_the_first_owner_is_shown_until_somebody_has_taken_it(house: House) -> None:
    for _ in range(2):
        lines = await prepare_demo(house)
        (link,) = (line for line in lines if "/console/welcome/" in line)
    await house.accounts.welcome(link.rpartition("/")[2], "tide lamp slip boots", "ada@house.example", now=house.clock.now())
    assert not any("welcome" in line for line in await prepare_demo(house))


def test_make_run_hands_the_port_on() -> None:
    makefile = str(Path(__file__).parents[3])
    for given, ends in (([], "newsletter dev"), (["PORT=9090"], "newsletter dev --port 9090")):
        shown = subprocess.run(
            ["make", "--dry-run", "--always-make", "-C", makefile, "run", *given], capture_output=True, text=True, check=True
        )
        assert shown.stdout.splitlines()[-2 if "Leaving" in shown.stdout else -1].rstrip().endswith(ends)


@pytest.mark.parametrize("name", ["web", "worker", "postgres"])
async def test_a_child_that_is_killed_ends_everything_and_is_named(tmp_path: Path, used: Path, name: str) -> None:
    dev = Dev(used) if name == "postgres" else Dev(tmp_path / "data", database_url=ELSEWHERE)
    async with dev.running() as task:
        pids = dev.pids()
        os.kill(pids[name], signal.SIGKILL)
        assert await task == 1
    assert f"{name} ended by itself, by SIGKILL" in dev.said
    assert all_gone(pids)


async def test_a_child_that_does_not_listen_is_made_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STOP_WITHIN", 0.1)
    deaf = (sys.executable, "-c", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WORK)
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE, commands=COMMANDS | {"worker": deaf})
    async with dev.running() as task:
        pids = dev.pids()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task == 0
    assert all_gone(pids)


async def test_a_second_ctrl_c_does_not_leave_anything_behind(tmp_path: Path) -> None:
    may_end = tmp_path / "may end"
    wait = f"while not pathlib.Path({str(may_end)!r}).exists(): time.sleep(.005)"
    slow = f"import pathlib, signal, time\ndef end(*_):\n    {wait}\n    exit()\nsignal.signal(signal.SIGTERM, end)\n{WORK}"
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE, commands=COMMANDS | {"worker": (sys.executable, "-c", slow)})
    async with dev.running() as task:
        pids = dev.pids()
        os.kill(os.getpid(), signal.SIGINT)
        await until(lambda: "Stopping." in dev.said)
        os.kill(os.getpid(), signal.SIGINT)
        await until(lambda: not folder.alive(pids["web"]))
        assert not task.done()
        may_end.touch()
        assert await task == 0
    assert all_gone(pids)


async def test_a_signal_while_it_starts_ends_it_too(used: Path) -> None:
    begun = asyncio.Event()

    async def take_long(_: DevAddresses) -> Sequence[str]:
        begun.set()
        await asyncio.Event().wait()
        return []

    dev = Dev(used, prepare=take_long)
    task = asyncio.create_task(dev.run())
    await begun.wait()
    pid = int((dev.data / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(os.getpid(), signal.SIGTERM)
    assert await task == 0
    assert not folder.alive(pid)
    assert "Sign-up" not in dev.said


async def test_former_signal_handlers_are_back_afterwards(tmp_path: Path) -> None:
    former = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE)
    async with dev.running():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] != former
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == former


async def test_what_preparing_refuses_comes_through_and_nothing_stays(tmp_path: Path) -> None:
    async def refuse(_: DevAddresses) -> Sequence[str]:
        raise SchemaMismatch("This database is newer than this program: install the newer one.")

    dev = Dev(tmp_path / "data", database_url=ELSEWHERE, prepare=refuse)
    with pytest.raises(SchemaMismatch, match="install the newer one"):
        await dev.run()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", dev.port + 1)
    assert not (dev.data / "web.log").exists()


@pytest.mark.parametrize(("taken", "why"), [(0, ""), (1, ", which the mailbox takes because it follows the web app's,")])
async def test_a_port_in_use_is_one_clear_line_before_anything_starts(tmp_path: Path, taken: int, why: str) -> None:
    dev = Dev(tmp_path / "data")
    said = rf"Port {dev.port + taken} of 127\.0\.0\.1{why} is in use: stop what listens there, or choose another with --port "
    said += r"\(make run PORT=…\)\."
    with socket.create_server(("127.0.0.1", dev.port + taken)), pytest.raises(SettingsError, match=said):
        await dev.run()
    assert not dev.data.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": 65535}, "choose a --port below 65535"),
        ({"host": "192.0.2.1"}, "192.0.2.1 is not an address of this machine: give one that is with --host"),
        ({"host": "no.such.host.invalid"}, "is not known: give an address of this machine with --host"),
    ],
)
async def test_an_address_that_cannot_be_is_one_clear_line(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        await Dev(tmp_path / "data", **options).run()


async def test_broken_settings_are_not_overwritten_since_they_hold_the_secret(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('secret = "half')
    with pytest.raises(SettingsError, match=r"cannot be read .* correct it"):
        await Dev(tmp_path, database_url=ELSEWHERE).run()
    assert (tmp_path / "config.toml").read_text() == 'secret = "half'


async def test_a_web_app_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "READY_WITHIN", 0.2)
    dev = Dev(tmp_path / "data", database_url=ELSEWHERE, commands=COMMANDS | {"web": (sys.executable, "-c", WORK)})
    with pytest.raises(SettingsError, match=r"did not become ready \(no answer from .*/readyz\)\. Its log is .*web\.log"):
        await dev.run()
    assert dev.said.count("  Password  correct-horse") == 1, "made once, so shown however the start ends"
    begun = [int(file.read_text()) for file in dev.data.glob("*.pid")]
    assert not any(folder.alive(pid) for pid in begun)


async def test_logs_of_the_run_before_are_kept_once(tmp_path: Path) -> None:
    for _ in range(2):
        async with Dev(tmp_path, database_url=ELSEWHERE).running():
            await until(lambda: "web listens" in (tmp_path / "web.log").read_text())
    assert "web listens" in (tmp_path / "web.log.1").read_text()
    assert stat.S_IMODE((tmp_path / "web.log").stat().st_mode) == 0o600


async def test_when_it_is_killed_its_children_end_by_themselves(used: Path) -> None:
    """Linux tells children that their parent has died; elsewhere the next start says what is in its way."""
    if sys.platform != "linux":
        return
    dev = Dev(used)
    code = f"""
import asyncio, sys
from pathlib import Path
sys.path[:] = {[path for path in sys.path if path]!r}
from newsletter.dev.run import run_dev
async def prepare(_):
    return []
asyncio.run(run_dev(host="127.0.0.1", port={dev.port}, data=Path({str(used)!r}), prepare=prepare,
                    say=lambda line: print(line, flush=True), commands={dict(COMMANDS)!r}))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    while "Ready in" not in (line := (await process.stdout.readline()).decode()):
        assert line or not process.stdout.at_eof()
    await until((used / "worker.pid").exists)
    pids = dev.pids()
    assert set(pids) == {"web", "worker", "postgres"}
    process.kill()
    await process.wait()
    await until(lambda: all_gone(pids))
