"""The data folder of the embedded PostgreSQL: whose it is, who has it in use, which version made it.

One process at a time holds its lock, and so does the server that it started. PostgreSQL refuses to run as root, so root hands
the cluster in it to another user: the owner of the folder around, or else `nobody`. No permission outside the cluster is
changed for that; `launch` gets that user through closed parent folders.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from newsletter.core.errors import SettingsError

FREE_WITHIN = 15.0
"""Seconds that we wait for the server of a killed process to shut down."""
POLL = 0.02
"""Seconds between two looks at something that nobody announces."""


def check_version(cluster: Path, ours: str) -> None:
    """Refuse a cluster of another major version. Raises SettingsError; a cluster that is yet to be made is fine."""
    if not cluster.exists():
        return
    try:
        found = (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise SettingsError(f"The folder {cluster} holds no database: move it away to begin anew.") from None
    if found != ours:
        raise SettingsError(
            f"The database in {cluster} was made by PostgreSQL {found}, and this is PostgreSQL {ours}: move that folder away "
            f"to begin anew, or run a PostgreSQL {found} on it and set NEWSLETTER_DATABASE_URL."
        )


def unusable(data: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"The data folder {data} cannot be used ({error.filename or data}: {error.strerror}): "
        "make it writable, or choose another with --data."
    )


def _in_use(data: Path, pid: int | None) -> SettingsError:
    by = f"process {pid}" if pid else "another process"
    return SettingsError(f"The data folder {data} is in use by {by}: stop that one, or choose another folder with --data.")


def locked(data: Path) -> int:
    """A file descriptor that holds the folder's lock; the server inherits it, so the lock ends with the last of us.

    Raises SettingsError when another living process has it. One whose process was killed is shutting down: that is waited for.
    """
    lock = os.open(data / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _await_lock(lock, data)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _await_lock(lock: int, data: Path) -> None:
    deadline = time.monotonic() + FREE_WITHIN
    while not _try_lock(lock):
        holder = _holder(lock)
        if (holder and alive(holder)) or time.monotonic() > deadline:
            raise _in_use(data, holder)
        time.sleep(POLL)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> int | None:
    """Who took the lock; None in the instant before it has written that down."""
    text = os.pread(lock, 20, 0)
    return int(text) if text.isdigit() else None


def alive(pid: int) -> bool:
    """Whether the process lives; one that has ended and waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2][:1] if sys.platform == "linux" else ""
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True
    return state not in {"Z", "X"}


def remove_stale_pid_file(data: Path, cluster: Path) -> None:
    """PostgreSQL refuses to start while any process has the id in its pid file, as is likely after the machine was restarted.

    Holding the lock we know that no server of ours is alive; one that somebody started by hand is recognised and refused.
    """
    pid = status(cluster)[0]
    if pid and _serves(pid, cluster):
        raise _in_use(data, pid)
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _serves(pid: int, cluster: Path) -> bool:
    """Whether that process is a PostgreSQL server on this cluster."""
    if not alive(pid):
        return False
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == cluster.resolve()
        except OSError:  # Somebody else's process: it could not own the cluster.
            return False
    said = subprocess.run(["/bin/ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)  # noqa: S603
    return said.stdout.strip().endswith("postgres")


def status(cluster: Path) -> tuple[int, str]:
    """Process id and state in the server's pid file (lines 1 and 8); 0 and nothing when there is no such file or line yet."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return 0, ""
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    return pid, lines[7].strip() if len(lines) > 7 else ""


def server_user(cluster: Path) -> tuple[int, int] | None:
    """Uid and gid that the server runs as; None for those of this process, which is right for everybody but root.

    A new cluster takes a user with a name, since initdb insists on one: in a container, a folder from outside often belongs to
    a bare number. Raises SettingsError where there is no such user.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    for place in (cluster.parent, cluster.parent.parent):
        if (uid := place.stat().st_uid) != 0 and (named := named_user(uid)):
            return named.pw_uid, named.pw_gid
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise without_user("PostgreSQL refuses to run as root, and there is no user nobody to run it as") from None
    return nobody.pw_uid, nobody.pw_gid


def named_user(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def without_user(reason: str) -> SettingsError:
    return SettingsError(
        f"{reason}: start as an ordinary user with an entry in /etc/passwd, "
        "or set NEWSLETTER_DATABASE_URL to a PostgreSQL of your own."
    )


def hand_over(paths: Sequence[Path], user: tuple[int, int]) -> None:
    try:
        for path in paths:
            os.chown(path, *user)
    except OSError as error:
        reason = f"PostgreSQL refuses to run as root, and here root may not hand files to user {user[0]} ({error.strerror})"
        raise without_user(reason) from None


def write_private(file: Path, text: str) -> None:
    """Make the file anew with mode 0600, whatever was there before."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
