"""Where the files lie that are not Python: SQL statements, migrations, templates.

In an installed wheel they are inside the package; in a source tree they are beside it. Nothing else needs to know which.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def resource(*parts: str) -> Path:
    """Return the file or folder at `parts`, whose first one is `sql` or `templates`: `resource("sql", "migrations")`.

    Raises FileNotFoundError when neither place has it, which means an installation that was cut short.
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        found = root.joinpath(*parts)
        if found.exists():
            return found
    wanted = "/".join(parts)
    raise FileNotFoundError(f"{wanted} is missing from this installation of newsletter: install it again")
