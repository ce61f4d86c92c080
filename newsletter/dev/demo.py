"""What a newcomer finds: one list, one campaign ready to send, and the first credentials."""

from __future__ import annotations

from newsletter.app import House
from newsletter.campaigns.content import Draft, Format
from newsletter.campaigns.service import NewCampaign
from newsletter.operators.service import DEMO
from newsletter.subscribing.lists import ListText, NewList, NewSender, all_lists, create_list

SLUG = "letter"
_INDENT = " " * 14

_ENGLISH = """\
# The long tide

Dear {{ name | default: "reader" }},

On the night of the 21st the water stands higher than in eleven years. We meet at the slip at nine, with lamps.

- Warm clothes, and boots that you trust.
- Children are welcome; dogs stay ashore.

[See who else comes]({{ links.subscribe }})
"""

_GERMAN = """\
# Die lange Flut

Guten Tag{% if name != "" %}, {{ name }}{% endif %},

in der Nacht zum 22. steht das Wasser so hoch wie seit elf Jahren nicht. Wir treffen uns um neun an der Slipanlage, mit
Laternen.

- Warme Kleidung und Stiefel, denen Sie trauen.
- Kinder sind willkommen, Hunde bleiben an Land.

[Wer noch kommt]({{ links.subscribe }})
"""


async def prepare_demo(house: House) -> list[str]:
    """Make list and campaign where there are none yet; returns lines to print: the way into the console, until somebody has
    taken it, and the first credentials, once."""
    now = house.clock.now()
    if not await all_lists(house.db):
        await create_list(house.db, _demo_list(), _demo_sender(), base_host=house.host, now=now)
        drafts = (
            Draft("en", "The long tide", "What the harbour is talking about.", Format.MARKDOWN, _ENGLISH),
            Draft("de", "Die lange Flut", "Worüber der Hafen spricht.", Format.MARKDOWN, _GERMAN),
        )
        await house.campaigns.create(NewCampaign(SLUG, "The long tide", drafts), by=DEMO, now=now)
    token = await house.operators.first_credentials(now=now)
    return [*_console(await house.accounts.first_owner(now=now)), *_token(token)]


def _console(link: str | None) -> list[str]:
    """Nobody needs it any more once there is a password: the address stands above."""
    if link is None:
        return []
    return [f"First owner   {link}", f"{_INDENT}(sets your password, once)"]


def _token(token: str | None) -> list[str]:
    if token is None:
        return ["API token     shown at the first start; for a new one:", f"{_INDENT}.venv/bin/newsletter token create NAME"]
    return [f"API token     {token}", f"{_INDENT}(shown only now; keep it)"]


def _demo_list() -> NewList:
    return NewList(
        slug=SLUG,
        texts={
            "en": ListText(
                "The Northwind Letter",
                "One letter on the first Friday of the month: excursions, tides, and what the harbour is talking about.",
            ),
            "de": ListText(
                "Der Nordwind-Brief",
                "Ein Brief am ersten Freitag im Monat: Ausflüge, Gezeiten und worüber der Hafen spricht.",
            ),
        },
        time_zone="Europe/Berlin",
    )


def _demo_sender() -> NewSender:
    return NewSender(
        name="Northwind Society",
        from_address="letter@northwind.example",
        postal_address="Harbour Street 4, 24937 Flensburg",
        contact="privacy@northwind.example",
    )
