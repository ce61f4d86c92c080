"""`newsletter operator`: who works here is looked after from the command line."""

from __future__ import annotations

import json
import re

import pyotp
import pytest
from argon2 import PasswordHasher

from newsletter.app import House
from newsletter.dev.mailbox import Mailbox
from newsletter.operators.passwords import Passwords
from tests.integration.cli.conftest import Run
from tests.integration.cli.test_commands import make_list

PASSWORD = "tide lamp slip boots"


@pytest.fixture
async def house(house: House) -> House:
    """With passwords that are hashed quickly."""
    house.__dict__["passwords"] = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    return house


def token_in(output: str) -> str:
    (token,) = re.findall(r"https://news\.example\.org/console/welcome/(\S+)", output)
    return str(token)


@pytest.fixture
async def numbers(house: House) -> dict[str, int]:
    """Of two people who have come in: Ada, an owner, and Ben, an editor."""
    found = {}
    for name, role in (("Ada", "owner"), ("Ben", "editor")):
        invited = await house.accounts.invite(name, role, f"{name}@house.example", now=house.clock.now())
        await house.accounts.welcome(token_in(invited.link), PASSWORD, now=house.clock.now())
        found[name] = invited.operator_id
    return found


async def test_create_prints_the_link_that_sets_the_password_and_mails_it_where_it_can(
    run: Run, house: House, mailbox: Mailbox
) -> None:
    made = await run("operator", "create", "Ada", "--role", "owner", "--address", "ada@house.example")
    assert made.output.startswith("Operator Ada was added.\nIt sets the password, once, within three days;")
    assert await house.accounts.welcome(token_in(made.output), PASSWORD, now=house.clock.now()) == "ada@house.example"
    await make_list(run)
    mailed = await run("operator", "create", "Ben", "--address", "ben@house.example", "--json")
    told = json.loads(mailed.output)
    assert (told["is_mailed"], "/console/welcome/" in told["link"]) == (True, True)
    assert "A mail with this link is on its way, too." in (await run("operator", "invite", "Ben")).output
    for address in ("ben@house.example", "x@"):
        assert (await run("operator", "create", "Carl", "--address", address)).exit_code == 1
    assert [each.name for each in await house.accounts.everybody()] == ["Ada", "Ben"]


async def test_they_are_listed_with_what_an_owner_wants_to_know(run: Run, numbers: dict[str, int]) -> None:
    shown = (await run("operator", "list")).output
    assert re.search(r"Ada +owner +Ada@house\.example +set +off", shown)
    assert max(map(len, shown.splitlines())) <= 80
    assert [each["role"] for each in json.loads((await run("operator", "list", "--json")).output)] == ["owner", "editor"]


async def test_a_lost_password_gets_a_new_link(run: Run, house: House, numbers: dict[str, int]) -> None:
    again = await run("operator", "invite", "Ben")
    assert await house.accounts.welcome(token_in(again.output), "boots slip lamp tide", now=house.clock.now())
    assert "There is no operator" in (await run("operator", "invite", "Carl")).output


async def test_a_role_is_changed_and_the_last_owner_stays(run: Run, house: House, numbers: dict[str, int]) -> None:
    assert (await run("operator", "role", "Ben", "viewer")).output == "Ben is viewer now.\n"
    assert (await house.accounts.own(numbers["Ben"])).role == "viewer"
    refused = await run("operator", "role", "Ada", "editor")
    assert (refused.exit_code, "last owner" in refused.output) == (1, True)
    assert (await run("operator", "remove", "Ada", "--yes")).exit_code == 1


async def test_a_second_factor_is_taken_off_who_lost_it(run: Run, house: House, numbers: dict[str, int]) -> None:
    assert (await run("operator", "second-factor", "Ben")).output == "Ben has no second factor.\n"
    now = house.clock.now()
    enrolment = await house.accounts.prepare_second_factor(numbers["Ben"], issuer="x")
    code = pyotp.TOTP(enrolment.secret).at(now)
    await house.accounts.begin_second_factor(numbers["Ben"], code, keep_session=0, now=now)
    assert (await run("operator", "second-factor", "Ben")).output == "Ben has a second factor.\n"
    declined = await run("operator", "second-factor", "Ben", "--remove")
    assert "the password alone signs Ben in?" in declined.output
    assert (await house.accounts.own(numbers["Ben"])).totp_since
    assert (await run("operator", "second-factor", "Ben", "--remove", "--yes")).exit_code == 0
    assert (await house.accounts.own(numbers["Ben"])).totp_since is None


async def test_letting_somebody_go_asks_first_and_is_on_record(run: Run, house: House, numbers: dict[str, int]) -> None:
    declined = await run("operator", "remove", "Ben")
    assert (declined.exit_code, "It cannot be taken back." in declined.output) == (1, True)
    assert (await run("operator", "remove", "Ben", "--yes")).output == "Ben may not sign in any more.\n"
    assert [each.name for each in await house.accounts.everybody()] == ["Ada"]
    (last,) = await house.operators.log(size=1)
    assert (last.operator, last.action) == ("command line", "operator.end")
