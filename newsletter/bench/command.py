"""`newsletter bench`: measures this machine."""

from __future__ import annotations

import os

import click

from newsletter.bench.delivery import Measured, measure
from newsletter.bench.sink import Sink
from newsletter.cli.house import as_json, command, print_json
from newsletter.core.errors import InvalidInput
from newsletter.core.logs import set_up_logs
from newsletter.settings import load_settings


@click.group()
def bench() -> None:
    """Measure this machine, with its own limit beside it."""


@bench.command("delivery")
@click.option("--readers", type=click.IntRange(1, 10_000_000), default=100_000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True)
@click.option("--sink", metavar="HOST:PORT", help="An SMTP sink that runs already.")
@as_json
@command
async def delivery(*, readers: int, workers: int, sink: str | None, as_json: bool) -> None:
    """Send a campaign to readers that do not exist.

    In a database made for it on the server of NEWSLETTER_DATABASE_URL, or in
    an embedded one; with real workers; to Postfix's smtp-sink or, where that is
    not installed, to a sink of our own. The limit is what a sender reaches with
    the same bytes over as many connections, without a database.
    """
    set_up_logs("error", process="bench")
    found = await measure(
        readers=readers,
        workers=workers,
        database_url=_configured(),
        given=_running(sink) if sink else None,
        say=lambda words: click.echo(f"{words} ...", err=True),
    )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _configured() -> str | None:
    """The server of the settings; not that of a development folder, whose role may make no database."""
    if url := os.environ.get("NEWSLETTER_DATABASE_URL"):
        return url
    if not (os.environ.get("NEWSLETTER_CONFIG") or os.environ.get("NEWSLETTER_DATABASE_URL_FILE")):
        return None
    return load_settings(os.environ).database_url.get_secret_value()


def _running(sink: str) -> Sink:
    host, _, port = sink.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput("--sink takes a host and a port: 127.0.0.1:2525.")
    return Sink(host, int(port), sink)


def _print(found: Measured) -> None:
    for label, value in (
        ("Messages", f"{found.messages:,} of {found.message_bytes:,} bytes, to {found.sink}"),
        ("Workers", f"{found.workers}"),
        ("Rate", f"{found.messages_per_second:,.0f} a second"),
        ("Limit", f"{found.limit_messages_per_second:,.0f} a second, without a database"),
        ("Ratio", f"{found.ratio:.0%}"),
        ("Worker CPU", f"{found.worker_cpu_us_per_message:.0f} µs a message"),
        ("Worker memory", f"{found.worker_peak_rss_mb:.0f} MB at most"),
        ("Planned in", f"{found.planned_in_s:.2f} s"),
        ("First message", f"after {found.first_after_s:.2f} s"),
    ):
        click.echo(f"{label:<14} {value}")
