"""The files that are not Python are found wherever the program runs from."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.core import resources
from newsletter.core.resources import resource


def test_a_source_tree_has_its_files_beside_the_package() -> None:
    assert resource("templates", "mail", "campaign.txt").read_text().startswith("--\n")


def test_an_installed_package_has_its_files_inside_and_they_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "newsletter"
    for root in (package, tmp_path):
        (root / "sql" / "queries").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resource("sql", "queries") == package / "sql" / "queries"


def test_a_file_that_is_nowhere_says_what_to_do() -> None:
    with pytest.raises(FileNotFoundError, match=r"templates/none\.html is missing .*: install it again"):
        resource("templates", "none.html")
