"""What is built from the tree works by itself."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import zipfile
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from tests.conftest import POLICY, SECRET

ROOT = Path(__file__).parents[2]


async def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Output of a command that has to succeed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=cwd, env={"PATH": os.environ["PATH"], **(environment or {})}, stdout=PIPE, stderr=STDOUT
    )
    output = (await asyncio.wait_for(process.communicate(), 100))[0].decode()
    assert process.returncode == 0, output
    return output


async def test_the_wheel_installed_by_itself_migrates_a_database(tmp_path: Path, empty_database_url: str) -> None:
    await run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "newsletter/sql/migrations/0001_foundation.sql" in names
    assert "newsletter/templates/mail/campaign.html" in names
    assert "newsletter/locale/de/LC_MESSAGES/messages.po" in names
    assert not [name for name in names if name.startswith(("tests", "sql", "templates")) or name.endswith(".pyc")]

    home = tmp_path / "environment"
    await run(sys.executable, "-m", "venv", "--without-pip", home, cwd=tmp_path)
    pip = (sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--quiet")
    await run(*pip, "--no-deps", "--no-index", "--no-compile", wheel, cwd=tmp_path)
    (site,) = home.glob("lib/python*/site-packages")
    # The dependencies are those that are installed here; the project itself comes from the wheel.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    command = home / "bin/newsletter"
    assert str(site) in await run(home / "bin/python", "-c", "import newsletter; print(newsletter.__file__)", cwd=tmp_path)
    assert "migrate" in await run(command, "--help", cwd=tmp_path)
    environment = {
        "NEWSLETTER_DATABASE_URL": empty_database_url,
        "NEWSLETTER_SECRET": SECRET,
        "NEWSLETTER_BASE_URL": "https://news.example.org",
        "NEWSLETTER_SMTP_URL": "smtps://relay.example.org",
    } | POLICY
    assert "applied 0001 foundation" in await run(command, "migrate", cwd=tmp_path, environment=environment)
