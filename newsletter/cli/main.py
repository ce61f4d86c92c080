"""`newsletter`: the group that all commands hang on."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from newsletter import __version__
from newsletter.cli.house import mistyped


class Commands(click.Group):
    """Our commands, and those that come as entry points: `dev` lives in a part that production does not install."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with mistyped():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """All below it, too."""
        with mistyped():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _entry_points():
            return _load(_entry_points()[cmd_name])
        return super().get_command(ctx, cmd_name)


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="newsletter.commands")}


def _load(point: EntryPoint) -> click.Command:
    try:
        loaded: click.Command = point.load()
    except ModuleNotFoundError as missing:
        return _unavailable(point.name, missing.name or "a package")
    return loaded


def _unavailable(name: str, missing: str) -> click.Command:
    @click.command(name, help="Not installed here: pip install 'newsletter[dev]'.")
    def command() -> None:
        raise click.ClickException(f"`newsletter {name}` needs {missing}: install it with pip install 'newsletter[dev]'.")

    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__)
def main() -> None:
    """Newsletters whose privacy policy keeps itself.

    Settings come from the environment (NEWSLETTER_DATABASE_URL and others) and
    from the file that NEWSLETTER_CONFIG names. In a folder where `newsletter
    dev` runs, the other commands use its database.
    """


_FILES = (
    "campaigns",
    "database",
    "dkim",
    "doctor",
    "evidence",
    "lists",
    "operators",
    "policy",
    "privacy",
    "processes",
    "promises",
    "requests",
    "subprocessors",
    "subscribers",
    "suppressions",
)
"""Of this folder; each says in COMMANDS what it adds."""

for _file in _FILES:
    for _command in import_module(f"newsletter.cli.{_file}").COMMANDS:
        main.add_command(_command)
