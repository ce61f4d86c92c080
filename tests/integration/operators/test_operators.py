"""Tokens are shown once and stored as hashes; they say who may do what, and for how long; what was done is on record."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from newsletter.app import House
from newsletter.core.database import Database
from newsletter.core.errors import Conflict, DatabaseError, Forbidden, InvalidInput, NotFound
from newsletter.operators.accounts import Accounts
from newsletter.operators.rules import Scope
from newsletter.operators.service import PREFIX, Operators, audit
from tests.conftest import START

YEAR = timedelta(days=365)
READ = [Scope.READ.value]


@pytest.fixture
def operators(db: Database) -> Operators:
    return Operators(db)


@pytest.fixture
def accounts(house: House) -> Accounts:
    return house.accounts


async def audited(db: Database) -> list[tuple[str, str, str]]:
    rows = await db.fetch("select operator, action, target from audit_log order by audit_id")
    return [(row["operator"], row["action"], row["target"]) for row in rows]


async def test_a_token_is_shown_once_and_only_its_hash_is_stored(
    accounts: Accounts, db: Database, operators: Operators
) -> None:
    await accounts.invite("ada", "editor", None, now=START)
    token = await operators.create_token("ada", "laptop", READ, valid_for=YEAR, now=START)
    assert token.startswith(PREFIX)
    assert len(token) > 40
    assert token not in repr(await operators.tokens())
    for row in await db.fetch("select t::text as all from api_token t union all select a::text from audit_log a"):
        assert token not in row["all"]
        assert token.removeprefix(PREFIX).encode().hex() not in row["all"]


async def test_no_two_tokens_are_alike(accounts: Accounts, operators: Operators) -> None:
    await accounts.invite("ada", "editor", None, now=START)
    made = {await operators.create_token("ada", "laptop", READ, valid_for=YEAR, now=START) for _ in range(3)}
    assert len(made) == 3


async def test_a_token_says_who_is_calling_and_what_they_may(accounts: Accounts, operators: Operators) -> None:
    await accounts.invite("ada", "editor", None, now=START)
    token = await operators.create_token("ada", "laptop", [Scope.READ, Scope.WRITE, Scope.READ], valid_for=YEAR, now=START)
    caller = await operators.caller(token, now=START)
    assert caller is not None
    assert (caller.operator, sorted(caller.scopes)) == ("ada", ["campaigns:read", "campaigns:write"])
    caller.need(Scope.WRITE)
    with pytest.raises(Forbidden, match="needs the scope campaigns:send"):
        caller.need(Scope.SEND)


async def test_a_token_is_good_until_its_time_is_over(accounts: Accounts, operators: Operators) -> None:
    await accounts.invite("ada", "editor", None, now=START)
    token = await operators.create_token("ada", "laptop", READ, valid_for=timedelta(days=1), now=START)
    assert await operators.caller(token, now=START + timedelta(hours=23, minutes=59, seconds=59)) is not None
    assert await operators.caller(token, now=START + timedelta(days=1)) is None


async def test_a_token_that_was_revoked_is_useless_at_once(accounts: Accounts, operators: Operators) -> None:
    await accounts.invite("ada", "editor", None, now=START)
    kept, revoked = [await operators.create_token("ada", name, READ, valid_for=YEAR, now=START) for name in ("kept", "lost")]
    number = next(row.token_id for row in await operators.tokens() if row.name == "lost")
    await operators.revoke_token(number, now=START)
    assert await operators.caller(revoked, now=START) is None
    assert await operators.caller(kept, now=START) is not None
    for unknown in (number, number + 1000):
        with pytest.raises(NotFound, match="no such token, or it was revoked before"):
            await operators.revoke_token(unknown, now=START)


async def test_an_operator_who_is_disabled_is_nobody(accounts: Accounts, db: Database, operators: Operators) -> None:
    await accounts.invite("ada", "editor", None, now=START)
    token = await operators.create_token("ada", "laptop", READ, valid_for=YEAR, now=START)
    await db.execute("update operator set disabled_at = now()")
    assert await operators.caller(token, now=START) is None
    with pytest.raises(NotFound, match='no operator "ada"'):
        await operators.create_token("ada", "laptop", READ, valid_for=YEAR, now=START)


async def test_what_is_no_token_of_ours_belongs_to_nobody(operators: Operators) -> None:
    for token in ("", "nl_", "nl_x", "x" * 46, "nl_" + "x" * 43, "nl_\udcff", "nl_ü", "nl_" + "x" * 100_000):
        assert await operators.caller(token, now=START) is None


async def test_what_does_not_fit_is_refused_and_leaves_nothing(accounts: Accounts, db: Database, operators: Operators) -> None:
    await accounts.invite("ada", "editor", None, now=START)
    before = await audited(db)
    for name, role in (("", "editor"), (" ", "editor"), ("x" * 101, "editor"), ("a\x1b[31mb", "editor"), ("ben", "king")):
        with pytest.raises(
            InvalidInput,
            match=r"needs a (name of 1 to 100 characters|role: owner, editor, viewer)",
        ):
            await accounts.invite(name, role, None, now=START)
    with pytest.raises(Conflict, match="of that name: choose another"):
        await accounts.invite(" ada ", "owner", None, now=START)
    for scopes in ([], ["everything"], ["campaigns:read", "everything"]):
        with pytest.raises(InvalidInput, match="needs scopes out of"):
            await operators.create_token("ada", "laptop", scopes, valid_for=YEAR, now=START)
    for name in ("", " ", "x" * 101):
        with pytest.raises(InvalidInput, match="name of 1 to 100"):
            await operators.create_token("ada", name, READ, valid_for=YEAR, now=START)
    for valid_for in (timedelta(0), timedelta(days=-1)):
        with pytest.raises(InvalidInput, match="valid for some time"):
            await operators.create_token("ada", "laptop", READ, valid_for=valid_for, now=START)
    with pytest.raises(NotFound, match='no operator "ben"'):
        await operators.create_token("ben", "laptop", READ, valid_for=YEAR, now=START)
    assert await operators.tokens() == []
    assert await audited(db) == before


async def test_nobody_is_called_like_somebody_else_in_other_case(accounts: Accounts, db: Database) -> None:
    came = await asyncio.gather(
        *(accounts.invite(name, "editor", None, now=START) for name in ("Élan", "élan", "ÉLAN")), return_exceptions=True
    )
    assert [isinstance(each, Conflict) for each in came].count(True) == 2
    with pytest.raises(Conflict, match="of that name: choose another"):
        await accounts.invite("éLAN", "editor", None, now=START)
    assert await db.fetchval("select count(*) from operator where lower(name) = 'élan'") == 1
    with pytest.raises(DatabaseError, match="UniqueViolation"):
        await db.execute("insert into operator (name, role, created_at) values ('éLan', 'editor', $1)", START)


@pytest.mark.parametrize(
    "name", ["schedule", "Command  Line", " first start", "NOBODY", "operator 7", "Operator７", "demo", "operator"]
)
async def test_nobody_is_called_like_what_the_log_says_of_others(accounts: Accounts, operators: Operators, name: str) -> None:
    with pytest.raises(InvalidInput, match="stands in the log"):
        await accounts.invite(name, "editor", None, now=START)


async def test_the_first_credentials_are_given_once_in_a_databases_life(operators: Operators) -> None:
    token = await operators.first_credentials(now=START)
    assert token is not None
    caller = await operators.caller(token, now=START)
    assert caller is not None
    assert (caller.operator, caller.scopes) == ("owner", frozenset(Scope))
    assert await operators.first_credentials(now=START) is None
    (row,) = await operators.tokens()
    await operators.revoke_token(row.token_id, now=START)
    assert await operators.first_credentials(now=START + timedelta(days=400)) is None


async def test_an_owner_of_that_name_in_other_case_is_given_them(accounts: Accounts, operators: Operators) -> None:
    await accounts.invite("Owner", "owner", None, now=START)
    caller = await operators.caller(await operators.first_credentials(now=START) or "", now=START)
    assert caller is not None
    assert caller.operator == "Owner"


async def test_the_owner_whom_the_first_start_adds_is_on_record(db: Database, operators: Operators) -> None:
    await operators.first_credentials(now=START)
    (row,) = await operators.tokens()
    owner = await db.fetchval("select operator_id from operator")
    assert await audited(db) == [
        ("first start", "operator.create", f"operator {owner}"),
        ("first start", "token.create", f"token {row.token_id} of owner"),
    ]


async def test_an_owner_who_was_there_before_is_not_said_to_be_added(
    accounts: Accounts, db: Database, operators: Operators
) -> None:
    await accounts.invite("owner", "owner", None, now=START)
    await operators.first_credentials(now=START)
    assert [action for _, action, _ in await audited(db)] == ["operator.create", "token.create"]


async def test_two_first_starts_at_once_give_them_once(operators: Operators) -> None:
    given = await asyncio.gather(*(operators.first_credentials(now=START) for _ in range(4)))
    assert len([token for token in given if token]) == 1
    assert len(await operators.tokens()) == 1


async def test_what_was_done_is_on_record_with_who_did_it(accounts: Accounts, db: Database, operators: Operators) -> None:
    number = (await accounts.invite("ada", "editor", None, now=START)).operator_id
    await operators.create_token("ada", "laptop", READ, valid_for=YEAR, now=START, by="ada")
    (row,) = await operators.tokens()
    await operators.revoke_token(row.token_id, now=START, by="ben")
    assert await audited(db) == [
        ("command line", "operator.create", f"operator {number} ada as editor"),
        ("ada", "token.create", f"token {row.token_id} of ada"),
        ("ben", "token.revoke", f"token {row.token_id}"),
    ]


async def test_the_record_is_kept_with_the_act_or_not_at_all(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as transaction:
            await audit(transaction, "ada", "campaign.send", "campaign 1", START)
            raise ZeroDivisionError
    assert await audited(db) == []
    async with db.transaction() as transaction:
        await audit(transaction, "ada", "campaign.send", "campaign 1", START)
    assert await audited(db) == [("ada", "campaign.send", "campaign 1")]
