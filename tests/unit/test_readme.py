"""What the README says of settings and commands is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from click import Context, Group
from pydantic_core import PydanticUndefined

from newsletter.cli.main import main
from newsletter.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "**required**"
    if default is None:
        return "–"
    if isinstance(default, tuple):
        return f"`{', '.join(map(str, default))}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_the_table_of_settings_is_that_of_the_program() -> None:
    rows = re.findall(r"^\| `NEWSLETTER_.*$", README, re.MULTILINE)
    assert rows == [
        f"| `NEWSLETTER_{name.upper()}` | {shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def test_every_command_that_it_names_exists() -> None:
    named = re.findall(r"(?:\.venv/bin/|`)newsletter ([a-z]+)(?: ([a-z]+))?", README)
    assert len(named) >= 8
    for group, verb in named:
        command = main.get_command(Context(main), group)
        assert command is not None, group
        assert not isinstance(command, Group) or verb in command.commands, (group, verb)
