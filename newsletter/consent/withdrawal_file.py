"""The file that withdrawals are appended to, outside the database: its format, and the files that it is continued from.

The first line is a header, each other one a withdrawal:

    {"withdrawals": 1, "installation": "1f0c…", "begins": 0, "since": "2026-11-21T14:05:00+00:00"}
    {"number": 1, "kind": "erased", "id": "8b1d…", "list": 0, "at": "2026-11-21T14:05:07.120000+00:00"}

`withdrawals` is the number of the format; `begins` how many octets of withdrawals stand in the files before it, so that a place
in all of them together is one number. A file that is a day old or large is closed: it gets its last moment as an ending
(`NAME.20261122T000003Z-0000000000000000`) and a new one is begun. No address and no secret stands in it: ids are keyed.

Everything here blocks; callers use a thread. Nothing changes what was written, but for the piece of a line that
a crash in the middle of a write has left.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from newsletter.core.errors import Conflict, InvalidInput

FORMAT = 1
LARGEST = 16 * 1024 * 1024
"""Octets after which a file is closed: about 130,000 withdrawals."""
LONGEST_LINE = 1000
KINDS = frozenset({"unsubscribed", "refused", "objected", "restricted", "complained", "erased"})
_CLOSED = re.compile(r"\.(\d{8}T\d{6}Z)-(\d{16})$")
_MOMENT = "%Y%m%dT%H%M%SZ"


class NotOurs(Conflict):
    """A file of withdrawals that another installation wrote."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Somebody withdrew. `list_id` 0: from everything."""

    number: int
    kind: str
    subscriber_id: UUID
    list_id: int
    occurred_at: datetime
    until: datetime | None = None
    """When a pause ends by itself."""


@dataclass(frozen=True)
class Torn:
    """What a crash left of a last line."""

    path: Path
    line: int


@dataclass(frozen=True)
class WithdrawalFile:
    """One of the files, as it was when it was opened."""

    path: Path
    installation: str
    begins: int
    since: datetime
    header: int
    """Octets of the first line."""
    size: int
    """Octets of all of it."""

    @property
    def end(self) -> int:
        """Its place among all octets of withdrawals."""
        return self.begins + self.size - self.header


# ------------------------------------------------------------------------------------------------------------- reading


def open_file(path: Path, installation: str) -> WithdrawalFile:
    """Raises `FileNotFoundError`, `InvalidInput` for what is no file of withdrawals, `NotOurs` for another installation's."""
    with path.open("rb") as file:
        first = file.readline(LONGEST_LINE)
        size = os.fstat(file.fileno()).st_size
    told = _parsed(first)
    if told.get("withdrawals") != FORMAT:
        raise InvalidInput(
            f"{path}, line 1: this is no file of withdrawals that this program reads. Name the file that "
            "NEWSLETTER_WITHDRAWAL_LOG was set to, or upgrade.",
            line=1,
        )
    try:
        made = WithdrawalFile(
            path, str(told["installation"]), _counted(told["begins"]), _moment(told["since"]), len(first), size
        )
    except (KeyError, ValueError, TypeError):
        raise InvalidInput(f"{path}, line 1: the header is damaged. Take another copy of the file.", line=1) from None
    if made.installation != installation:
        raise NotOurs(
            f"{path} was written by another installation: its codes are nobody's here. Name the file of this installation; "
            "after a restore, check that the database and its secret are the right ones."
        )
    return made


def withdrawals_in(file: WithdrawalFile, *, after: int = 0) -> Iterator[Withdrawal | Torn]:
    """From a place on, in the order they were written; at the end `Torn` where the last line is not whole.

    Raises `InvalidInput` with the line's number for what is no withdrawal; numbers are right when read from the beginning.
    """
    with file.path.open("rb") as lines:
        lines.seek(file.header + max(0, after - file.begins))
        number = 1
        for line in lines:
            number += 1
            try:
                yield _withdrawal(line)
            except (KeyError, ValueError, TypeError):
                if not line.endswith(b"\n"):
                    yield Torn(file.path, number)
                    return
                raise InvalidInput(
                    f"{file.path}, line {number}: this is no withdrawal. Take another copy of the file, or take this line out "
                    "if you know that it does not belong here.",
                    line=number,
                ) from None


def _withdrawal(line: bytes) -> Withdrawal:
    told = _parsed(line)
    kind = told["kind"]
    if kind not in KINDS:
        raise ValueError(kind)
    until = _moment(told["until"]) if "until" in told else None
    return Withdrawal(_counted(told["number"]), kind, UUID(str(told["id"])), _counted(told["list"]), _moment(told["at"]), until)


def _parsed(line: bytes) -> dict[str, Any]:
    """Empty for what is no JSON object."""
    try:
        told = json.loads(line) if len(line) <= LONGEST_LINE else None
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _counted(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(value)
    return value


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.astimezone(UTC)


def closed_files(path: Path) -> list[Path]:
    """The files that `path` continues, oldest first."""
    found = [each for each in path.parent.glob(f"{path.name}.*") if _CLOSED.search(each.name.removeprefix(path.name))]
    return sorted(found, key=lambda each: each.name[-16:])


def closed_at(path: Path) -> datetime:
    """When the file at `path` got its last line at the latest. Its name says it: a copy has another time of change."""
    found = _CLOSED.search(path.name)
    assert found is not None
    return datetime.strptime(found[1], _MOMENT).replace(tzinfo=UTC)


def newest(path: Path, installation: str) -> WithdrawalFile | None:
    """The file that is written, or the last that was where a crash came before the next was begun; None: there is none."""
    try:
        return open_file(path, installation)
    except FileNotFoundError:
        before = closed_files(path)
        return open_file(before[-1], installation) if before else None


# ------------------------------------------------------------------------------------------------------------- writing


def append(file: WithdrawalFile, withdrawals: Sequence[Withdrawal]) -> WithdrawalFile:
    """On the disk when it returns. What a crash has left of a last line is cut off first: its withdrawal is not lost, since the
    database counts it as unwritten."""
    with file.path.open("r+b") as out:
        out.truncate(_whole(out))
        out.seek(0, os.SEEK_END)
        out.write(b"".join(map(_line, withdrawals)))
        out.flush()
        os.fsync(out.fileno())
        return WithdrawalFile(file.path, file.installation, file.begins, file.since, file.header, out.tell())


def _whole(file: BinaryIO) -> int:
    """Octets up to the end of the last whole line, looked for from the end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - LONGEST_LINE)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _line(withdrawal: Withdrawal) -> bytes:
    told = {
        "number": withdrawal.number,
        "kind": withdrawal.kind,
        "id": str(withdrawal.subscriber_id),
        "list": withdrawal.list_id,
        "at": withdrawal.occurred_at.isoformat(),
    }
    if withdrawal.until:
        told["until"] = withdrawal.until.isoformat()
    return json.dumps(told).encode() + b"\n"


def begin(path: Path, installation: str, *, begins: int, now: datetime) -> WithdrawalFile:
    """A new file; whole or not there at all. Readable by its owner alone.

    Its owner is that of the folder where root makes it: a worker with less rights has to go on with it.
    """
    told = {"withdrawals": FORMAT, "installation": installation, "begins": begins, "since": now.isoformat()}
    header = json.dumps(told).encode() + b"\n"
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        out.write(header)
        out.flush()
        os.fsync(descriptor)
    fresh.rename(path)
    _keep_names(path.parent)
    return WithdrawalFile(path, installation, begins, now, len(header), len(header))


def is_full(file: WithdrawalFile, now: datetime) -> bool:
    """Whether it is to be closed: it has withdrawals, and is large or of another day."""
    return file.size > file.header and (file.size >= LARGEST or now - file.since >= timedelta(days=1))


def close(file: WithdrawalFile, now: datetime) -> WithdrawalFile:
    """Give it its last name."""
    closed = file.path.with_name(f"{file.path.name}.{now.astimezone(UTC):{_MOMENT}}-{file.begins:016}")
    file.path.rename(closed)
    _keep_names(closed.parent)
    return replace(file, path=closed)


def delete_closed(path: Path, *, before: datetime, size: int) -> list[datetime]:
    """The oldest files that were closed before then, `size` of them at most; when each was closed."""
    due = closed_before(path, before)[:size]
    for each in due:
        each.unlink(missing_ok=True)
    return [closed_at(each) for each in due]


def closed_before(path: Path, before: datetime) -> list[Path]:
    """The files that were closed by then, oldest first; never the newest of all, which says how far they went."""
    closed = closed_files(path)
    return [each for each in (closed if path.exists() else closed[:-1]) if closed_at(each) <= before]


def _keep_names(folder: Path) -> None:
    """What a folder says is on the disk when the folder itself was synced (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
