"""The process tree of `newsletter dev`: PostgreSQL, the mailbox, the web app and a worker, started and ended together.

    newsletter dev      this process; the mailbox lives in it
    ├── postgres        unless an address of another one is given
    ├── web             newsletter serve
    └── worker          newsletter work

The children are in sessions of their own, so that Ctrl-C reaches this process alone and everything ends in its order: the two
that use the database, the mailbox, the database. If this process is killed they end too (on Linux): each has asked for that.
What they say goes to `web.log` and `worker.log` in the data folder, since the terminal is for the addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import secrets
import signal
import socket
import sys
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from newsletter.core.errors import SettingsError
from newsletter.dev import launch, mailbox
from newsletter.dev.mailbox import Mailbox
from newsletter.dev.postgres import EmbeddedPostgres

COMMANDS: Mapping[str, Sequence[str]] = {
    "web": (sys.executable, "-m", "newsletter", "serve"),
    "worker": (sys.executable, "-m", "newsletter", "work"),
}
READY_WITHIN = 60.0
"""Seconds for the web app to answer after its start."""
STOP_WITHIN = 10.0
"""Seconds that a child may take to end when asked, before it is made to."""

_POLL = 0.05
_LAST_LINES = 12
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 -- only looked for in what was asked
_SET_HERE = ("database_url", "secret", "base_url", "smtp_url", "host", "port", "development")
_HEADING = """\
# Written by `newsletter dev` at each start. What you add stays; what is below is set anew, except the secret:
# the keys in the database open with it alone.
"""


@dataclass(frozen=True)
class DevAddresses:
    """Where everything is once `prepare` is called: the database and the mailbox run, web app and worker do not yet."""

    web: str
    """`http://127.0.0.1:8080`, without a slash at its end."""
    api: str
    mailbox: str
    config: Path
    """The file with all settings, the database's address among them; what NEWSLETTER_CONFIG is for the children."""


Prepare = Callable[[DevAddresses], Awaitable[Sequence[str]]]
Say = Callable[[str], None]


async def run_dev(
    *,
    host: str,
    port: int,
    data: Path,
    prepare: Prepare,
    say: Say,
    database_url: str | None = None,
    signup_path: str = "/",
    commands: Mapping[str, Sequence[str]] = COMMANDS,
) -> int:
    """Run everything until SIGINT, SIGTERM or SIGHUP (returns 0) or a child ends by itself (returns 1, after saying which).

    `port` is the web app's, the mailbox takes the one after it. `prepare` brings the database up to date and returns the lines
    to print below the addresses, such as credentials; `signup_path` leads from the web app's address to the sign-up page.
    Without `database_url` an embedded PostgreSQL is run in `data`. Must be called in the main thread, which gets the signals.

    Raises SettingsError when a port is taken or the data folder cannot be used, and whatever `prepare` raises; nothing is left
    running then either.
    """
    began = time.monotonic()
    await asyncio.to_thread(_check_ports, host, port)
    tree = _Tree(host, port, data, prepare, say, database_url, signup_path, commands)
    running = asyncio.create_task(tree.run(began))
    # A signal ends that task alone. What clears up afterwards is outside of it, so a second signal cannot cut it short.
    with _on_signals(running.cancel) as signals:
        try:
            return await running
        except asyncio.CancelledError:
            if not signals:
                raise
            say("Stopping.")
            return 0
        finally:
            await tree.stack.aclose()


def dev_environment(config: Path) -> dict[str, str]:
    """The environment of this process with all that `config` sets taken from there.

    A NEWSLETTER_SMTP_URL left over in the shell would otherwise send mail of development into the world.
    """
    set_here = {f"NEWSLETTER_{name.upper()}{ending}" for name in _SET_HERE for ending in ("", "_FILE")}
    kept = {name: value for name, value in os.environ.items() if name not in set_here}
    return kept | {"NEWSLETTER_CONFIG": str(config)}


@dataclass
class _Tree:
    """What was started so far: `stack` ends it, in reverse order, however far the start had come."""

    host: str
    port: int
    data: Path
    prepare: Prepare
    say: Say
    database_url: str | None
    signup_path: str
    commands: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        self.data = self.data.absolute()
        self.stack = AsyncExitStack()  # What has to be ended, the last that was started first.
        self._ends: dict[asyncio.Task[int], str] = {}

    async def run(self, began: float) -> int:
        """Start everything in order, then return 1 when a child has ended by itself. Ended by cancelling."""
        database_url = self.database_url or await self._start_postgres()
        box = await self.stack.enter_async_context(Mailbox(self.data / "mailbox", http_port=self.port + 1))
        addresses = self._addresses(box)
        self._write_config(addresses, database_url, box)
        lines = await self.prepare(addresses)
        try:
            await self._start_children(addresses.config)
            ready = asyncio.create_task(self._answers())
            await asyncio.wait({ready, *self._ends}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
                self._announce(addresses, lines, time.monotonic() - began)
                lines = ()
            else:
                ready.cancel()
                await asyncio.wait({ready})
        finally:
            self._say_all(lines)  # However the start ended: credentials are made once, and no later start shows them again.
        ended, _ = await asyncio.wait(self._ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ended:
            self._report(self._ends[end], end.result())
        return 1

    async def _start_postgres(self) -> str:
        server = EmbeddedPostgres(self.data)
        # Before the start: a signal during it leaves a thread that goes on starting, and stop() waits for that.
        self.stack.push_async_callback(asyncio.to_thread, server.stop)
        await asyncio.to_thread(server.start)
        self._watch("postgres", asyncio.to_thread(server.wait))
        return server.url

    def _addresses(self, box: Mailbox) -> DevAddresses:
        web = f"http://{_in_url(_reachable(self.host))}:{self.port}"
        return DevAddresses(web=web, api=f"{web}/api/v1/", mailbox=box.url, config=self.data / "config.toml")

    def _write_config(self, addresses: DevAddresses, database_url: str, box: Mailbox) -> None:
        kept = _read_config(addresses.config)
        ours = (
            database_url,
            kept.get("secret") or secrets.token_urlsafe(32),
            addresses.web,
            box.smtp_url,
            self.host,
            self.port,
            True,
        )
        settings = kept | dict(zip(_SET_HERE, ours, strict=True))
        # What JSON writes for text, numbers, truth values and lists of them is TOML too.
        text = _HEADING + "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items())
        fresh = addresses.config.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                out.write(text)
            fresh.replace(addresses.config)
        except OSError as error:
            raise SettingsError(
                f"{addresses.config} cannot be written ({error.strerror}): make its folder writable, "
                "or choose another with --data."
            ) from None

    async def _start_children(self, config: Path) -> None:
        children: list[asyncio.subprocess.Process] = []
        self.stack.push_async_callback(_end, children)
        for name, command in self.commands.items():
            with _fresh_log(self._log(name)).open("wb") as log:
                child = await asyncio.create_subprocess_exec(
                    *launch.command(command, death_signal=signal.SIGTERM),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dev_environment(config),
                    start_new_session=True,
                )
            children.append(child)
            self._watch(name, child.wait())

    def _watch(self, name: str, end: Awaitable[int]) -> None:
        async def ended() -> int:
            return await end

        task = asyncio.create_task(ended())
        self._ends[task] = name
        self.stack.callback(task.cancel)

    async def _answers(self) -> None:
        """Return when the web app says that it is ready. Raises SettingsError when it does not in time."""
        url = f"http://{_in_url(_reachable(self.host))}:{self.port}/readyz"
        said = "no answer"
        deadline = time.monotonic() + READY_WITHIN
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                        said = f"status {answer.status}"
                await asyncio.sleep(_POLL)
        raise SettingsError(f"The web app did not become ready ({said} from {url}). Its log is {self._log('web')}")

    def _announce(self, addresses: DevAddresses, lines: Sequence[str], seconds: float) -> None:
        self.say("")
        self.say(f"  Sign-up page  {addresses.web}{self.signup_path}")
        self.say(f"  Console       {addresses.web}/console/")
        self.say(f"  Mailbox       {addresses.mailbox}")
        self.say(f"  API           {addresses.api}")
        self.say("")
        self._say_all(lines)
        if lines:
            self.say("")
        self.say(f"  Ready in {seconds:.1f} s. Ctrl-C ends everything. Data and logs are in")
        self.say(f"  {self.data}")

    def _say_all(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.say(f"  {line}" if line else "")

    def _report(self, name: str, code: int) -> None:
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        self.say(f"{name} ended by itself, {how}, so everything else is ended too. Its log is {self._log(name)}")
        with contextlib.suppress(OSError):
            for line in self._log(name).read_text(errors="replace").splitlines()[-_LAST_LINES:]:
                self.say(f"  {line}")

    def _log(self, name: str) -> Path:
        return self.data / f"{name}.log"


@contextlib.contextmanager
def _on_signals(act: Callable[[], object]) -> Iterator[list[signal.Signals]]:
    """Call `act` on each signal that means stop; gives the list of those that came. Puts the former handlers back."""
    loop = asyncio.get_running_loop()
    came: list[signal.Signals] = []

    def come(number: signal.Signals) -> None:
        came.append(number)
        act()

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if former[signal.SIGHUP] is signal.SIG_IGN:  # Under nohup, losing the terminal is no reason to end.
        del former[signal.SIGHUP]
    for number in former:
        loop.add_signal_handler(number, come, number)
    try:
        yield came
    finally:
        for number, handler in former.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def _end(children: Sequence[asyncio.subprocess.Process]) -> None:
    """Ask all to end, wait, and kill what has not ended in time."""
    for send in (asyncio.subprocess.Process.terminate, asyncio.subprocess.Process.kill):
        for child in children:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    send(child)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN):
                await asyncio.gather(*(child.wait() for child in children))


def _check_ports(host: str, port: int) -> None:
    """Raises SettingsError when web app or mailbox will not be able to listen, before anything has been started."""
    if not 1 <= port < 65535:
        raise SettingsError(
            f"Port {port} does not serve, since the mailbox takes the one after it: choose a --port below 65535."
        )
    _check_port(host, port, "")
    _check_port(mailbox.HOST, port + 1, ", which the mailbox takes because it follows the web app's,")


def _check_port(host: str, port: int, why: str) -> None:
    try:
        places = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise SettingsError(f"The host {host!r} is not known: give an address of this machine with --host.") from None
    errors = [error for place in places if (error := _error_of_binding(place))]
    # Of a name with several addresses one may be missing here, as ::1 of localhost often is; the servers make do as well.
    absent = [error for error in errors if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)]
    if len(errors) > len(absent) or len(absent) == len(places):
        worst = next((error for error in errors if error not in absent), errors[0])
        raise SettingsError(_why_not(host, port, why, worst))


def _error_of_binding(place: tuple[Any, ...]) -> OSError | None:
    family, kind, protocol, _, address = place
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As the servers do: a port in TIME_WAIT is free.
            probe.bind(address)
    except OSError as error:
        return error
    return None


def _why_not(host: str, port: int, why: str, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} of {host}{why} is in use: stop what listens there, or choose another with --port "
                "(make run PORT=…)."
            )
        case errno.EACCES:
            return f"Port {port} of {host}{why} may be opened by root alone: choose one from 1024 up with --port."
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine: give one that is with --host."
    return f"Port {port} of {host}{why} cannot be opened ({error.strerror}): choose other ones with --host and --port."


def _reachable(host: str) -> str:
    """What to connect to when the web app listens on `host`: a wildcard is no address."""
    return _WILDCARDS.get(host, host)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _read_config(file: Path) -> dict[str, Any]:
    """What the file of the last start says; nothing when there is none. Raises SettingsError when it cannot be read."""
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"{file} cannot be read ({error}): correct it. It holds the secret that opens the database beside it, "
            "so delete it only together with its whole folder."
        ) from None


def _fresh_log(file: Path) -> Path:
    """The file, its former content moved to NAME.1, and itself empty and closed to others."""
    if file.exists():
        file.replace(file.with_name(f"{file.name}.1"))
    file.touch(mode=0o600)
    return file
