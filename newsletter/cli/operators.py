"""`newsletter operator` and `newsletter token`: who may do what."""

from __future__ import annotations

from datetime import timedelta

import click

from newsletter.app import House
from newsletter.cli.house import as_json, command, moment, open_house, print_json, print_table, settings
from newsletter.core.errors import NotFound
from newsletter.operators.accounts import Invited
from newsletter.operators.rules import ROLES, Scope
from newsletter.operators.service import COMMAND_LINE


@click.group()
def operator() -> None:
    """People who run newsletters."""


address_option = click.option("--address", help="Mail address to sign in with; the link goes there where mail can be sent.")


@operator.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="editor", show_default=True)
@address_option
@as_json
@command
async def create_operator(name: str, role: str, address: str | None, *, as_json: bool) -> None:
    """Add an operator; NAME must be new.

    Prints a link that sets the password, once, within three days.
    """
    async with open_house(settings(), name="operator") as house:
        invited = await house.accounts.invite(name, role, address, now=house.clock.now())
    if not as_json:
        click.echo(f"Operator {name} was added.")
    _show_link(invited, as_json=as_json)


@operator.command("list")
@as_json
@command
async def list_operators(*, as_json: bool) -> None:
    """All who were not let go."""
    async with open_house(settings(), name="operator") as house:
        found = await house.accounts.everybody()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.name,
            each.role,
            each.address or "–",
            "set" if each.has_password else "not yet",
            "on" if each.has_second_factor else "off",
            moment(each.last_seen),
        )
        for each in found
    ]
    print_table(rows, "NAME", "ROLE", "ADDRESS", "PASSWORD", "2ND FACTOR", "LAST SEEN")


@operator.command("invite")
@click.argument("name")
@as_json
@command
async def invite(name: str, *, as_json: bool) -> None:
    """A new link for NAME, who lost theirs or their password."""
    async with open_house(settings(), name="operator") as house:
        invited = await house.accounts.invite_again(await _number(house, name), now=house.clock.now())
    _show_link(invited, as_json=as_json)


@operator.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@command
async def change_role(name: str, role: str) -> None:
    """Change what NAME may do, from their next click on."""
    async with open_house(settings(), name="operator") as house:
        await house.accounts.change_role(await _number(house, name), role, by=COMMAND_LINE, now=house.clock.now())
    click.echo(f"{name} is {role} now.")


@operator.command("second-factor")
@click.argument("name")
@click.option("--remove", is_flag=True, help="Their password alone signs them in then.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
async def second_factor(name: str, *, remove: bool, yes: bool) -> None:
    """Whether NAME has one; with --remove, take it off who lost it."""
    async with open_house(settings(), name="operator") as house:
        number = await _number(house, name)
        if not remove:
            has_one = (await house.accounts.own(number)).totp_since is not None
            click.echo(f"{name} has {'a' if has_one else 'no'} second factor.")
            return
        if not yes:
            click.confirm(f"Remove it, so that the password alone signs {name} in?", abort=True, err=True)
        await house.accounts.drop_second_factor(number, by=COMMAND_LINE, now=house.clock.now())
    click.echo(f"{name} has no second factor any more.")


@operator.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
async def remove(name: str, *, yes: bool) -> None:
    """Let NAME go: address, password, sessions and tokens end at once."""
    async with open_house(settings(), name="operator") as house:
        number = await _number(house, name)
        if not yes:
            click.confirm(f"Let {name} go? It cannot be taken back.", abort=True, err=True)
        await house.accounts.let_go(number, by=COMMAND_LINE, now=house.clock.now())
    click.echo(f"{name} may not sign in any more.")


async def _number(house: House, name: str) -> int:
    """Raises `NotFound`."""
    for each in await house.accounts.everybody():
        if each.name == name:
            return each.operator_id
    raise NotFound(f'There is no operator "{name[:100]}": newsletter operator list shows all.')


def _show_link(invited: Invited, *, as_json: bool) -> None:
    if as_json:
        print_json(invited)
        return
    if invited.is_mailed:
        click.echo("A mail with this link is on its way, too.")
    click.echo("It sets the password, once, within three days; give it to nobody else:")
    click.echo(invited.link)


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
