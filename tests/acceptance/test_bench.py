"""`newsletter bench delivery` measures what it says, on a machine with nothing but Python."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

READERS = 300


async def test_a_bench_sends_every_message_and_prints_the_limit_beside_its_rate(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEWSLETTER_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "newsletter", "bench", "delivery", "--readers", str(READERS), "--workers", "2", "--json",
        cwd=tmp_path, env=environment, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    found = json.loads(out)
    assert (found["messages"], found["workers"]) == (READERS, 2)
    assert abs(found["ratio"] - found["messages_per_second"] / found["limit_messages_per_second"]) < 0.01
    assert all(found[name] > 0 for name in ("worker_cpu_us_per_message", "worker_peak_rss_mb", "message_bytes"))
    assert list(tmp_path.iterdir()) == []
