"""Two lists, and people who have rights."""

from __future__ import annotations

from tests.integration.subscribing.conftest import _quiet, people

__all__ = ["_quiet", "people"]
