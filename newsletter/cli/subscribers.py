"""`newsletter subscriber`: what people ask for by letter or telephone, by the same use cases as on their own page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import click

from newsletter.app import House
from newsletter.cli.house import WIDTH, as_json, command, moment, number_of, open_house, print_json, settings
from newsletter.consent.service import Origin
from newsletter.core.errors import InvalidInput, NotFound
from newsletter.core.i18n import languages
from newsletter.operators.service import COMMAND_LINE
from newsletter.privacy.export import as_csv, as_record
from newsletter.privacy.my_data import Holdings
from newsletter.privacy.receipts import Receipt, receipts
from newsletter.privacy.rights import EVERY_LIST, Actor, NothingHeld
from newsletter.privacy.rules import PAUSES, Why
from newsletter.privacy.words import EVENTS, OUTCOMES, VIAS
from newsletter.subscribing.lists import list_by_slug
from newsletter.subscribing.rules import Via

BY = Actor(Via.OPERATOR, Origin("newsletter subscriber"), COMMAND_LINE)
LANGUAGE = "en"

address = click.argument("address")
yes = click.option("--yes", is_flag=True, help="Do not ask.")
one_list = click.option("--list", "slug", metavar="LIST", help="Only this list; default: all.")


@dataclass(frozen=True)
class Known:
    """An open house, and somebody whom it knows or once knew."""

    house: House
    who: UUID

    async def held(self, verb: str) -> Holdings:
        return await self.house.my_data.held_for_operator(self.who, verb, operator=COMMAND_LINE, now=self.house.clock.now())


@asynccontextmanager
async def _known(given: str) -> AsyncIterator[Known]:
    """The address is never repeated: it would be in the terminal's history a second time, and in a log where there is one."""
    async with open_house(settings(), name="subscriber") as house:
        try:
            yield Known(house, house.my_data.id_of(given))
        except NothingHeld:
            raise NotFound("Nobody is known by this address: check how it is spelled.") from None


async def _list_id(house: House, slug: str | None) -> int:
    return (await list_by_slug(house.db, slug)).list_id if slug else EVERY_LIST


@click.group()
def subscriber() -> None:
    """What people ask for by letter or telephone about their data.

    Every verb takes their ADDRESS, and is written down in the audit log
    without it.
    """


@subscriber.command()
@address
@as_json
@command
async def show(address: str, *, as_json: bool) -> None:
    """All that is held about somebody (GDPR Article 15)."""
    async with _known(address) as known:
        held = await known.held("show")
    if held.is_empty:
        raise NotFound("Nothing is held about this address: check how it is spelled.")
    if as_json:
        print_json(as_record(held, LANGUAGE))
    else:
        _print_held(held)


@subscriber.command()
@address
@click.option("--format", "kind", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@command
async def export(address: str, kind: str) -> None:
    """The same for programs, to be passed on (GDPR Article 20)."""
    async with _known(address) as known:
        held = await known.held("export")
    if held.is_empty:
        raise NotFound("Nothing is held about this address: check how it is spelled.")
    if kind == "csv":
        click.echo(as_csv(held, LANGUAGE), nl=False)
    else:
        print_json(as_record(held, LANGUAGE))


@subscriber.command()
@address
@as_json
@command
async def receipt(address: str, *, as_json: bool) -> None:
    """What somebody agreed to, when and in which words; one for each list."""
    async with _known(address) as known:
        held = await known.held("receipt")
    if held.person is None:
        raise NotFound(_no_receipt(held))
    made = receipts(held, LANGUAGE)
    if as_json:
        print_json(made)
        return
    for each in made:
        _print_receipt(each)


@subscriber.command()
@address
@click.option("--name", help="What they are called; empty: no name.")
@click.option("--language", type=click.Choice(languages()))
@command
async def correct(address: str, name: str | None, language: str | None) -> None:
    """Correct name or language (Article 16).

    To change an address, the person signs up with the new one, or changes it
    on their page: it has to be confirmed there.
    """
    if name is None and language is None:
        raise InvalidInput("Say what to correct: --name, --language or both.")
    async with _known(address) as known:
        await known.house.rights.correct(known.who, name=name, language=language, by=BY, now=known.house.clock.now())
    click.echo("Corrected.")


@subscriber.command()
@address
@one_list
@click.option("--months", type=click.Choice([str(each) for each in PAUSES]), help="Default: until it is resumed.")
@command
async def restrict(address: str, slug: str | None, months: str | None) -> None:
    """Send nothing for a while (Article 18)."""
    async with _known(address) as known:
        await known.house.rights.restrict(
            known.who,
            await _list_id(known.house, slug),
            months=int(months) if months else None,
            by=BY,
            now=known.house.clock.now(),
        )
    click.echo(f"Paused for {number_of(int(months), 'month')}." if months else "Paused until resumed.")


@subscriber.command()
@address
@one_list
@command
async def resume(address: str, slug: str | None) -> None:
    """End a pause: that of one list, or the one of all lists."""
    async with _known(address) as known:
        await known.house.rights.resume(known.who, await _list_id(known.house, slug), by=BY, now=known.house.clock.now())
    click.echo("No pause holds any more." if not slug else f"{slug} is not paused any more.")


@subscriber.command("object")
@address
@click.option("--why", type=click.Choice([each.value for each in Why]), default=Why.NONE.value, show_default=True)
@yes
@command
async def object_(address: str, why: str, *, yes: bool) -> None:
    """Never write again (Article 21); ends all subscriptions."""
    if not yes:
        click.confirm("End all subscriptions, and never write to this address again?", abort=True)
    async with _known(address) as known:
        await known.house.rights.object_to_mail(known.who, why=Why(why), by=BY, now=known.house.clock.now())
    click.echo("Objected. Only the person can lift it, by a link from the page for their data.")


@subscriber.command()
@address
@one_list
@command
async def unsubscribe(address: str, slug: str | None) -> None:
    """End one subscription, or all."""
    async with _known(address) as known:
        chosen = [await _list_id(known.house, slug)] if slug else None
        await known.house.rights.unsubscribe(known.who, chosen, by=BY, now=known.house.clock.now())
    click.echo("Unsubscribed.")


@subscriber.command()
@address
@yes
@command
async def erase(address: str, *, yes: bool) -> None:
    """Delete everything about somebody now (Article 17)."""
    if not yes:
        click.confirm("Delete everything about this address? It cannot be taken back.", abort=True)
    async with _known(address) as known:
        await known.house.rights.erase(known.who, by=BY, now=known.house.clock.now())
    click.echo("Deleted. What stays is a code, and the proof of consent as the settings say.")


# How it looks on a terminal of 80 columns.


def _no_receipt(held: Holdings) -> str:
    if held.is_empty:
        return "Nobody is known by this address, so there is no receipt: check how it is spelled."
    if held.evidence:
        until = max(each.expires_at for each in held.evidence)
        return (
            "This person was erased, so there is no receipt. Sealed evidence of earlier consents is kept until "
            f"{moment(until)}."
        )
    return "This person was erased, so there is no receipt; no evidence is kept any more."


def _print_held(held: Holdings) -> None:
    if held.person is None:
        click.echo("Erased: nothing but codes and sealed evidence is held.")
    else:
        _line("Address", held.person.address)
        _line("Name", held.person.name or "–")
        _line("Language", held.person.language)
        _line("Since", moment(held.person.created_at))
        if held.erase_at:
            _line("Deleted on", moment(held.erase_at))
    _print_list("Subscriptions", [
        f"{held.lists[row.list_id].slug}: {row.state}, asked {moment(row.requested_at)}, "
        f"confirmed {moment(row.confirmed_at)}, unsubscribed {moment(row.unsubscribed_at)}"
        for row in held.subscriptions
    ])  # fmt: skip
    _print_list("Consent", [
        f"{moment(each.occurred_at)}  {EVENTS[each.kind]}{_of(held, each.list_id)}"
        f"{', ' + VIAS[each.via] if each.via else ''}"
        for each in held.events
    ])  # fmt: skip
    _print_list("Letters sent", [
        f"{moment(each.attempted_at)}  {each.campaign}: {OUTCOMES[each.state]}" for each in held.deliveries
    ])  # fmt: skip
    _print_list("Stands against mailing", [
        f"{each.reason}{_of(held, each.list_id)} since {moment(each.since)}, "
        f"until {moment(each.until) if each.until else 'it is lifted'}"
        for each in held.suppressions
    ])  # fmt: skip
    _print_list("Sealed evidence", [
        f"{moment(each.occurred_at)}  {EVENTS[each.kind]}{_of(held, each.list_id)}, kept until {moment(each.expires_at)}"
        for each in held.evidence
    ])  # fmt: skip
    _print_list("Waiting", [
        *(f"{moment(each.received_at)}  {each.kind}, until {moment(each.expires_at)}" for each in held.handed_in),
        *(f"{moment(each.created_at)}  mail ({each.kind}), until {moment(each.expires_at)}" for each in held.mails),
    ])  # fmt: skip
    click.echo("\nEverything, with words and origins: newsletter subscriber export ADDRESS")


def _of(held: Holdings, list_id: int | None) -> str:
    return f" ({held.lists[list_id].slug})" if list_id and list_id in held.lists else ""


def _line(name: str, value: str) -> None:
    click.echo(click.wrap_text(value, WIDTH, f"{name:<12}", " " * 12))


def _print_list(heading: str, lines: list[str]) -> None:
    if lines:
        click.echo(f"\n{heading}")
        for line in lines:
            click.echo(click.wrap_text(line, WIDTH, "  ", "    "))


def _print_receipt(made: Receipt) -> None:
    click.echo(f"\nConsent receipt: {made.list_name}")
    _line("From", f"{made.sender}, {made.sender_address}")
    _line("Questions", made.contact)
    _line("To", made.person)
    _line("What for", made.purpose)
    _line("Ground", made.legal_basis)
    _line("Asked", f"{moment(made.asked_at)}, {made.asked_from or '–'}")
    _line("Words", made.wording or "–")
    _line("Confirmed", f"{moment(made.confirmed_at)}, {made.confirmed_by or '–'}")
    if made.withdrawn_at:
        _line("Withdrawn", f"{moment(made.withdrawn_at)}, {VIAS.get(made.withdrawn_by or '', '–')}")


COMMANDS = [subscriber]
