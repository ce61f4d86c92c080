"""The real processes and a real browser."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ctypes.util import find_library
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Request, async_playwright

CHROMIUM = shutil.which("chromium")
READY_WITHIN = 60.0
SHORTEST_TOKEN = 40


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium. Where it or what drives it is missing the test is skipped, and in CI it fails."""
    if missing := [name for name, found in (("chromium", CHROMIUM), ("libatomic1", find_library("atomic"))) if not found]:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Missing: {missing}. Browser tests must run in CI.")
        pytest.skip(f"Missing: apt-get install {' '.join(missing)}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        await browser.close()


@dataclass
class Visit:
    """A browser window that remembers what it was asked to load and what it complained about."""

    context: BrowserContext
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    """That stood in addresses which were opened."""

    def listen(self) -> None:
        self.context.on("request", self._requested)
        self.context.on("console", self._said)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _requested(self, request: Request) -> None:
        if request.url.startswith("http"):
            self.hosts.add(urlsplit(request.url).hostname or "")
            self.tokens |= {part for part in urlsplit(request.url).path.split("/") if len(part) >= SHORTEST_TOKEN}


@pytest.fixture
async def visit(chromium: Browser) -> AsyncIterator[Visit]:
    context = await chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    made = Visit(context)
    made.listen()
    yield made
    await context.close()


@dataclass(frozen=True)
class Dev:
    """A running `newsletter dev`."""

    folder: Path
    said: list[str]
    process: asyncio.subprocess.Process

    def logs(self) -> str:
        """All that every process has written, PostgreSQL's included."""
        return "".join(file.read_text(errors="replace") for file in self.folder.glob(".newsletter/**/*.log"))

    def address(self, word: str) -> str:
        """The address in the line that begins with the word."""
        return next(line.split()[-1] for line in self.said if line.strip().startswith(word))

    async def run(self, command: str) -> str:
        """A command as somebody would type it in the same folder."""
        process = await asyncio.create_subprocess_shell(command, cwd=self.folder, env=environment(), stdout=PIPE, stderr=STDOUT)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, output.decode()
        return output.decode()


def environment() -> dict[str, str]:
    """This process's, with this Python's commands on the path and no settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEWSLETTER_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"}


@asynccontextmanager
async def running_dev(folder: Path, port: int) -> AsyncIterator[Dev]:
    """`newsletter dev` in that folder, from start to a clean end by SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "newsletter", "dev", "--port", str(port),
        cwd=folder, env=environment(), stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    said: list[str] = []
    try:
        async with asyncio.timeout(READY_WITHIN):
            while not any("Ready" in line for line in said):
                assert process.stdout is not None
                line = (await process.stdout.readline()).decode()
                assert line, "\n".join(said)
                said.append(line.rstrip())
        yield Dev(folder, said, process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0, "\n".join(said)
