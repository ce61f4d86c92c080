"""`newsletter operator` and `newsletter token`: who may do what."""

from __future__ import annotations

from datetime import timedelta

import click

from newsletter.cli.house import as_json, command, moment, open_house, print_json, print_table, settings
from newsletter.operators.rules import ROLES
from newsletter.operators.service import Scope


@click.group()
def operator() -> None:
    """People who run newsletters."""


@operator.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="editor", show_default=True)
@command
async def create_operator(name: str, role: str) -> None:
    """Add an operator; NAME must be new."""
    async with open_house(settings(), name="operator") as house:
        await house.operators.create(name, role, now=house.clock.now())
    click.echo(f"Operator {name} was added.")


@click.group()
def token() -> None:
    """API tokens."""


@token.command("create")
@click.argument("name")
@click.option("--operator", "operator_name", default="owner", show_default=True)
@click.option("--scope", "scopes", multiple=True, type=click.Choice([scope.value for scope in Scope]), help="Default: all.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 3650))
@command
async def create_token(name: str, operator_name: str, scopes: tuple[str, ...], days: int) -> None:
    """Make a token; it is shown now and never again."""
    async with open_house(settings(), name="token") as house:
        made = await house.operators.create_token(
            operator_name, name, scopes or list(Scope), valid_for=timedelta(days=days), now=house.clock.now()
        )
    click.echo(made)


@token.command("show")
@as_json
@command
async def show_tokens(*, as_json: bool) -> None:
    """All tokens, without what is secret about them."""
    async with open_house(settings(), name="token") as house:
        found = await house.operators.tokens()
    if as_json:
        print_json(found)
        return
    rows = [
        (str(each.token_id), each.name, each.operator, "revoked" if each.revoked_at else f"until {moment(each.expires_at)}")
        for each in found
    ]
    print_table(rows, "NUMBER", "NAME", "OPERATOR", "VALID")


@token.command("revoke")
@click.argument("number", type=click.IntRange(min=1))
@command
async def revoke_token(number: int) -> None:
    """Make a token useless at once."""
    async with open_house(settings(), name="token") as house:
        await house.operators.revoke_token(number, now=house.clock.now())
    click.echo(f"Token {number} is revoked.")


COMMANDS = [operator, token]
