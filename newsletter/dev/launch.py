"""Runs one program so that it goes when its parent goes and, where asked, as a lesser user.

`command()` gives the argument list that starts another program through this file; run as a script, the file does its few
system calls and becomes that program, which therefore has the process id that the parent got. Standard library only and no
import of ours: it runs before every child that `newsletter dev` and the tests start, in about 25 ms.

What only Linux has (the signal at the parent's death, kept capabilities) is left out elsewhere. No file is touched here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

FAILED = 125
"""Exit code when the program could not be started; the reason is the last line on stderr."""

_LINUX = sys.platform == "linux"

# From <linux/prctl.h>, <linux/capability.h> and <linux/securebits.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_SETPCAP = 8


def command(
    program: Sequence[str | os.PathLike[str]],
    *,
    death_signal: signal.Signals,
    user: tuple[int, int] | None = None,
    reach: Sequence[Path] = (),
) -> list[str]:
    """The argument list that runs `program` (absolute path first) as a child of the calling process.

    When the *thread* that starts it ends, by whatever death, the program gets `death_signal` (on Linux). `user` (uid, gid) is
    whom it becomes, without supplementary groups; only root may ask. `reach` are folders that it has to get into: where that
    user cannot walk to one of them, because a parent is closed, it keeps the right to read past permissions, and no other.
    """
    options = [str(os.getpid()), str(int(death_signal)), ":".join(map(str, user or ())), str(len(reach))]
    # -I and -S: neither the environment nor site-packages may add to what runs here, and it starts in half the time.
    return [sys.executable, "-I", "-S", __file__, *options, *map(str, reach), *(os.fspath(word) for word in program)]


def main(arguments: Sequence[str]) -> NoReturn:
    """The other end of `command()`: take its arguments, become the program. Exits with `FAILED` when that cannot be."""
    parent, death_signal, user, count = int(arguments[0]), int(arguments[1]), arguments[2], int(arguments[3])
    reach, program = arguments[4 : 4 + count], arguments[4 + count :]
    try:
        if user:
            uid, gid = map(int, user.split(":"))
            _become(uid, gid, reach)
        _die_with(parent, death_signal)
        # What is ignored would stay ignored across exec: the first two Python ignores for itself, the others a shell does for
        # what it starts in the background, and by them a program is ended.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        os.execv(program[0], list(program))  # noqa: S606 -- without a shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error}\n")
    sys.exit(FAILED)


def _die_with(parent: int, death_signal: int) -> None:
    """Ask for `death_signal` when the parent ends. After the change of user, which would clear the request again."""
    if not _LINUX:
        return
    _prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # It ended before we had asked: nobody will tell us.
        sys.exit(FAILED)


def _become(uid: int, gid: int, reach: Sequence[str]) -> None:
    if _LINUX:
        _prctl(_PR_SET_KEEPCAPS, 1)  # Permitted but not in effect, so that the look below is that user's own.
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except PermissionError:
        raise PermissionError(f"we may not become user {uid}, as root must for this") from None
    if not _LINUX:
        return
    if all(_reachable(path) for path in reach):
        _set_capabilities(permitted=0, effective=0, inheritable=0)
    else:
        _keep_right_to_reach()


def _reachable(path: str) -> bool:
    return os.access(path, os.R_OK | os.X_OK)


def _keep_right_to_reach() -> None:
    """Keep one capability, for us and our children: to read and search anywhere or, where a container lacks it, to write too.

    PostgreSQL looks for its own files with access(2), which disregards the capabilities of anyone but root unless the secure
    bit NO_SETUID_FIXUP is set; setting it needs CAP_SETPCAP, which is given up with the rest.
    """
    held = _permitted()
    right = next((bit for bit in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if held >> bit & 1), None)
    if right is None or not held >> _CAP_SETPCAP & 1:
        raise PermissionError("its user may not walk through a folder above, and we hold no right to let it")
    mask = 1 << right
    _set_capabilities(permitted=mask | 1 << _CAP_SETPCAP, effective=mask | 1 << _CAP_SETPCAP, inheritable=mask)
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    _set_capabilities(permitted=mask, effective=mask, inheritable=mask)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, right)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    """32 of the 64 capability bits; the system calls take the lower half first."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _permitted() -> int:
    """The lower 32 permitted capabilities of this process, as a mask. All that matter here are among them."""
    halves = (_Half * 2)()
    _checked("capget", _libc().capget(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), halves))
    return int(halves[0].permitted)


def _set_capabilities(*, permitted: int, effective: int, inheritable: int) -> None:
    halves = (_Half * 2)(_Half(effective, permitted, inheritable), _Half(0, 0, 0))
    _checked("capset", _libc().capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), halves))


def _prctl(option: int, *values: int) -> None:
    # The kernel refuses some options unless the arguments that they do not use are 0.
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _checked(f"prctl({option})", _libc().prctl(ctypes.c_int(option), *padded))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(call: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
