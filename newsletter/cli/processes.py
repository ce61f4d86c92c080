"""`newsletter serve` and `newsletter work`: the two kinds of process; any number of each."""

from __future__ import annotations

import asyncio

import click

from newsletter.cli.house import beside, command, open_house, settings, until_signal, wait_for_database
from newsletter.core.logs import set_up_logs
from newsletter.web.server import serve as serve_web


@click.command()
@click.option("--host", help="Address to listen on; default: the setting.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on; default: the setting.")
@command
async def serve(host: str | None, port: int | None) -> None:
    """Run the web app until it is told to stop."""
    chosen = settings()
    set_up_logs(chosen.log_level, process="serve")
    stop = asyncio.Event()
    await wait_for_database(chosen)
    async with open_house(chosen, name="serve", connections=10) as house, beside(house.keep_current(), until_signal(stop)):
        await serve_web(house.services(), host=host or chosen.host, port=port or chosen.port, stop=stop)


@click.command()
@command
async def work() -> None:
    """Deliver mail and keep the schedule until told to stop."""
    chosen = settings()
    set_up_logs(chosen.log_level, process="work")
    stop = asyncio.Event()
    await wait_for_database(chosen)
    async with open_house(chosen, name="work", connections=10) as house, beside(house.keep_current(), until_signal(stop)):
        await house.look_at_withdrawals()
        await house.worker().run(stop)


COMMANDS = [serve, work]
