"""The local mailbox: an SMTP server that catches every mail, and pages to read them. For `newsletter dev` and the tests.

Both listen on 127.0.0.1 alone, whatever `newsletter dev` is told about its own address: the mails hold working links. Caught
mails are files (`ID.eml`, and `ID.json` with what SMTP said) in a folder closed to others, the newest 500 of them, so that a
restart finds them again. A mail is complete when its .eml is there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import weakref
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Envelope as SmtpEnvelope

from newsletter.core.errors import SettingsError
from newsletter.dev import letters
from newsletter.dev.letters import Envelope, Letter
from newsletter.dev.mailbox_pages import make_app

HOST = "127.0.0.1"
KEEP = 500
LARGEST = 25 * 1024 * 1024
"""Octets of one mail; what larger ones meet is 552, as with the relays of the world."""

_ID = re.compile(r"\d{16}")  # Microseconds since 1970, so that names sort by time until the year 2286.


class Mailbox:
    """An async context manager: inside it, mail sent to `smtp_port` is kept and shown at `url`.

    `smtp_port` and `http_port` are 0 for any free one, and hold the real ones inside. Raises SettingsError on entering when a
    port is taken or the folder cannot be written.
    """

    def __init__(self, folder: Path, *, smtp_port: int = 0, http_port: int = 0, keep: int = KEEP) -> None:
        self.folder = folder
        self.smtp_port = smtp_port
        self.http_port = http_port
        self._keep = keep
        self._caught: dict[str, Envelope] = {}  # Oldest first.
        self._arrival = asyncio.Condition()
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://{HOST}:{self.http_port}/"

    @property
    def smtp_url(self) -> str:
        """The setting `smtp_url` that sends here."""
        return f"smtp://{HOST}:{self.smtp_port}?starttls=never"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._open_folder()
            self.smtp_port = await self._serve_smtp(stack)
            self.http_port = await self._serve_pages(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def envelopes(self) -> list[Envelope]:
        """What was caught, newest first."""
        return list(reversed(self._caught.values()))

    def letter(self, id_: str) -> Letter | None:
        """One mail in full; None when it is not, or no longer, kept."""
        envelope = self._caught.get(id_)
        if envelope is None:
            return None
        try:
            source = (self.folder / f"{id_}.eml").read_bytes()
        except FileNotFoundError:  # Somebody tidied the folder by hand.
            del self._caught[id_]
            return None
        content = letters.read(source)
        return Letter(headers=content.headers, text=content.text, html=content.html, envelope=envelope, source=source)

    async def messages(self) -> list[Letter]:
        """All mails in full, newest first."""
        found = []
        for envelope in self.envelopes():
            letter = self.letter(envelope.id)
            if letter is not None:
                found.append(letter)
            await asyncio.sleep(0)  # Reading 500 takes a second, in which mail still has to be taken.
        return found

    async def wait_for(self, match: Callable[[Letter], bool], *, within: float = 10.0) -> Letter:
        """The newest mail that matches, waiting up to `within` seconds for one to arrive. Raises TimeoutError."""
        seen: set[str] = set()
        async with asyncio.timeout(within), self._arrival:
            while True:
                for envelope in self.envelopes():
                    letter = None if envelope.id in seen else self.letter(envelope.id)
                    seen.add(envelope.id)
                    if letter is not None and match(letter):
                        return letter
                await self._arrival.wait()

    async def handle_DATA(self, server: SMTP, session: Any, envelope: SmtpEnvelope) -> str:  # noqa: ARG002, N802 -- aiosmtpd's
        """Called by aiosmtpd with one mail. The answer says that it was taken only when it is on disk."""
        content = envelope.content
        source = content if isinstance(content, bytes) else (content or "").encode("utf-8", "surrogateescape")
        caught = self._describe(source, envelope.mail_from or "", envelope.rcpt_tos)
        try:
            self._store(caught, source)
        except OSError as error:
            return f"452 4.3.1 The mailbox's folder cannot be written: {error.strerror}"
        async with self._arrival:
            self._arrival.notify_all()
        return f"250 2.0.0 Kept as {caught.id}"

    def _describe(self, source: bytes, sender: str, recipients: list[str]) -> Envelope:
        to, subject = letters.to_and_subject(source)
        # The clock of this machine, not the database's: it is the edge at which the mail arrives, and nothing is due by it.
        received = datetime.now(UTC)
        number = max(round(received.timestamp() * 1_000_000), int(next(reversed(self._caught), "0")) + 1)
        return Envelope(
            id=f"{number:016d}",
            received=received,
            sender=letters.clean(sender),
            recipients=tuple(letters.clean(recipient) for recipient in recipients),
            to=to,
            subject=subject,
        )

    def _store(self, caught: Envelope, source: bytes) -> None:
        said = {"received": caught.received.isoformat(), "sender": caught.sender, "recipients": caught.recipients,
                "to": caught.to, "subject": caught.subject}  # fmt: skip
        _write(self.folder / f"{caught.id}.json", json.dumps(said).encode())
        part = self.folder / f"{caught.id}.part"
        _write(part, source)
        part.rename(self.folder / f"{caught.id}.eml")
        self._caught[caught.id] = caught
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._caught) > self._keep:
            oldest = next(iter(self._caught))
            del self._caught[oldest]
            for ending in (".eml", ".json"):
                (self.folder / f"{oldest}{ending}").unlink(missing_ok=True)

    def _open_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = sorted(file.stem for file in self.folder.glob("*.eml") if _ID.fullmatch(file.stem))
            self._caught = {name: self._remembered(name) for name in names}
            self._forget_oldest()
        except OSError as error:
            raise SettingsError(
                f"The mailbox's folder {self.folder} cannot be used ({error.strerror}): make it writable, "
                "or choose another data folder with --data."
            ) from None

    def _remembered(self, id_: str) -> Envelope:
        """From the file beside the mail or, where that is missing or broken, from the mail and its name."""
        try:
            said = json.loads((self.folder / f"{id_}.json").read_text())
            return Envelope(
                id=id_,
                received=datetime.fromisoformat(said["received"]),
                sender=str(said["sender"]),
                recipients=tuple(map(str, said["recipients"])),
                to=str(said["to"]),
                subject=str(said["subject"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            to, subject = letters.to_and_subject((self.folder / f"{id_}.eml").read_bytes())
            return Envelope(id_, datetime.fromtimestamp(int(id_) / 1_000_000, UTC), "", (), to, subject)

    async def _serve_smtp(self, stack: AsyncExitStack) -> int:
        # It logs every session with its addresses.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        loop = asyncio.get_running_loop()
        sessions: weakref.WeakSet[SMTP] = weakref.WeakSet()

        def session() -> SMTP:
            made = SMTP(self, enable_SMTPUTF8=True, data_size_limit=LARGEST, hostname="localhost", ident="mailbox", loop=loop)
            sessions.add(made)
            return made

        try:
            server = await loop.create_server(session, HOST, self.smtp_port)
        except OSError as error:
            raise _taken(self.smtp_port, error) from None

        async def close() -> None:
            server.close()
            for made in list(sessions):  # Python 3.12 and later wait for open sessions, which clients keep for minutes.
                if isinstance(made.transport, asyncio.Transport):
                    made.transport.abort()
            await server.wait_closed()

        stack.push_async_callback(close)
        return int(server.sockets[0].getsockname()[1])

    async def _serve_pages(self, stack: AsyncExitStack) -> int:
        runner = web.AppRunner(make_app(self), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, HOST, self.http_port).start()
        except OSError as error:
            raise _taken(self.http_port, error) from None
        return int(runner.addresses[0][1])


def _write(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)


def _taken(port: int, error: OSError) -> SettingsError:
    return SettingsError(
        f"The mailbox cannot listen on port {port} of {HOST} ({error.strerror}): stop what listens there, "
        "or choose another port."
    )
