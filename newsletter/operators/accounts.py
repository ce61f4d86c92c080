"""Operators' accounts: invited by a link that works once, a password, a second factor, a role, and an end.

Links are HMACs over the number of a row (see `core.tokens`), so that nobody who reads the database can follow one. There is
always an owner who can sign in, once there was one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, DatabaseError, InvalidInput, InvalidToken, NotFound
from newsletter.core.keys import Keyring, hold_secret
from newsletter.core.tokens import Purpose, Tokens
from newsletter.delivery import store as delivery
from newsletter.operators import second_factor, store
from newsletter.operators.attempts import Attempts
from newsletter.operators.passwords import Passwords, check_password
from newsletter.operators.rules import INVITATION_LIVES, MOST_FOR_ACCOUNT, RESET_LIVES, ROLES
from newsletter.operators.second_factor import Enrolment
from newsletter.operators.service import COMMAND_LINE, FIRST_START, checked_name
from newsletter.operators.sessions import From
from newsletter.operators.store import Account, LinkRow, OperatorRow

_LINK = struct.Struct(">Q")
_UNIQUE_VIOLATION = "23505"
_FIRST = "owner"
_GONE = "This link was used, or its time is over: ask for a new one."


@dataclass(frozen=True)
class Invited:
    """`link`: for whoever invites, to be passed on where no mail can be sent."""

    operator_id: int
    link: str
    is_mailed: bool


class Accounts:
    """Use cases; each owns its transaction. `by` names the operator who acts, for the audit log."""

    def __init__(
        self, db: Database, keyring: Keyring, secret: str, passwords: Passwords, audit: Audit, *, base_url: str
    ) -> None:
        self._db = db
        self._keyring = keyring
        self._secret = secret
        self._passwords = passwords
        self._audit = audit
        self._base_url = base_url
        self._tokens = Tokens(keyring)
        self._attempts = Attempts(db, keyring)

    # Coming.

    async def everybody(self) -> list[OperatorRow]:
        return await store.operators(self._db)

    async def invite(self, name: str, role: str, address: str | None, *, by: str = COMMAND_LINE, now: datetime) -> Invited:
        """A new operator with a link to set a password, mailed where there is an address and a list to write from.

        Raises `InvalidInput`, `InvalidAddress`, and `Conflict` when name or address are taken.
        """
        called, given = checked_name(name, role), parse_address(address) if address else None
        async with self._db.transaction() as db:
            operator_id = await store.add_operator(db, name=called, role=role, now=now)
            if operator_id is None:
                raise Conflict("There is, or was, an operator of that name: choose another.")
            if given:
                await self._set_address(db, operator_id, given.typed, given.normal)
            await self._audit(db, by, "operator.create", f"operator {operator_id} {called} as {role}", now)
            link_id, expires_at = await self._add_link(db, operator_id, INVITATION_LIVES, now)
            is_mailed = given is not None and await self._mail(db, link_id, expires_at, now)
        return Invited(operator_id, self.link(link_id), is_mailed)

    async def invite_again(self, operator_id: int, *, by: str = COMMAND_LINE, now: datetime) -> Invited:
        """A new link for somebody who lost theirs, or their password. Raises `NotFound`."""
        async with self._db.transaction() as db:
            account = await self._account(db, operator_id)
            link_id, expires_at = await self._add_link(db, operator_id, INVITATION_LIVES, now)
            await self._audit(db, by, "operator.invite", f"operator {operator_id} {account.name}", now)
            is_mailed = account.address is not None and await self._mail(db, link_id, expires_at, now)
        return Invited(operator_id, self.link(link_id), is_mailed)

    async def first_owner(self, *, now: datetime) -> str | None:
        """A link for the first owner; None once anybody has set a password."""
        if await store.has_passwords(self._db):
            return None
        async with self._db.transaction() as db:
            await store.lock_operators(db)
            if await store.has_passwords(db):
                return None
            operator_id = await store.find_operator(db, name=_FIRST)
            if operator_id is None:
                operator_id = await store.add_operator(db, name=_FIRST, role="owner", now=now)
            if operator_id is None:
                return None
            link_id, _ = await self._add_link(db, operator_id, INVITATION_LIVES, now)
            await self._audit(db, FIRST_START, "operator.invite", f"operator {operator_id} {_FIRST}", now)
        return self.link(link_id)

    async def forgot(self, given: str, where: From, *, now: datetime) -> None:
        """Mail a link to whoever has that address; says nothing of whether there is anybody.

        Raises `InvalidAddress`, and `TooMany` after too many such requests from the network.
        """
        address = parse_address(given)
        limits = {f"forgot {thing}": MOST_FOR_ACCOUNT for thing in (where.network, address.normal)}
        await self._attempts.begin(limits, "Too many links were asked for. Please try again in 15 minutes.", now=now)
        async with self._db.transaction() as db:
            await store.forgot(db, normal=address.normal, message_id=uuid4(), now=now, expires_at=now + RESET_LIVES)
            await delivery.wake_workers(db)

    def link(self, link_id: int) -> str:
        """Where a password is set; whoever has it may."""
        return f"{self._base_url}/console/welcome/{self._tokens.mint(Purpose.OPERATOR, _LINK.pack(link_id))}"

    async def open_link(self, token: str, *, now: datetime) -> LinkRow:
        """Whom it is for; changes nothing. Raises `InvalidToken`, and `NotFound` when it does not work any more."""
        payload = self._tokens.read(Purpose.OPERATOR, token)
        if len(payload) != _LINK.size:
            raise InvalidToken(_GONE)
        (link_id,) = _LINK.unpack(payload)
        found = await store.link(self._db, link_id=link_id, now=now) if link_id < 2**63 else None
        if found is None:
            raise NotFound(_GONE)
        return found

    async def welcome(self, token: str, password: str, address: str | None = None, *, now: datetime) -> str:
        """Set the password by a link, and the address where there is none yet; ends all sessions. Returns the address.

        Raises `InvalidInput` with the field, `InvalidToken`, `NotFound`.
        """
        found = await self.open_link(token, now=now)
        given = parse_address(found.address or address or "")
        check_password(password, about=(found.name, given.typed.partition("@")[0]))
        hashed = await self._passwords.hash(password)
        async with self._db.transaction() as db:
            if not await store.use_link(db, link_id=found.link_id, now=now):
                raise NotFound(_GONE)
            if found.address is None:
                await self._set_address(db, found.operator_id, given.typed, given.normal)
            await store.set_password(db, operator_id=found.operator_id, password=hashed)
            await store.drop_sessions(db, operator_id=found.operator_id, besides=0)
            await self._audit(db, found.name, "password.set", f"operator {found.operator_id} by a link", now)
        return given.typed

    # One's own account.

    async def own(self, operator_id: int) -> Account:
        """Raises `NotFound`."""
        return await self._account(self._db, operator_id)

    async def change_password(self, operator_id: int, password: str, *, keep_session: int, now: datetime) -> None:
        """Ends all other sessions, and links that set one. Whoever calls has asked for the old one. Raises `InvalidInput`."""
        account = await self.own(operator_id)
        check_password(password, about=(account.name, (account.address or "").partition("@")[0]))
        hashed = await self._passwords.hash(password)
        async with self._db.transaction() as db:
            await store.set_password(db, operator_id=operator_id, password=hashed)
            await store.drop_sessions(db, operator_id=operator_id, besides=keep_session)
            await store.drop_links(db, operator_id=operator_id)
            await self._audit(db, account.name, "password.set", f"operator {operator_id}", now)

    async def prepare_second_factor(self, operator_id: int, *, issuer: str) -> Enrolment:
        """A secret to put into an authenticator; the same until its first code was given. Raises `Conflict`."""
        async with self._db.transaction() as db:
            await hold_secret(db, self._secret)
            account = await self._account(db, operator_id)
            if account.totp_since is not None:
                raise Conflict("There is a second factor already: remove it first.")
            secret = second_factor.opened(account, self._secret) if account.totp else second_factor.new_secret()
            if account.totp is None:
                wrapped = second_factor.wrapped(secret, operator_id, self._secret)
                await store.set_totp(db, operator_id=operator_id, totp=wrapped)
        return second_factor.enrolment(secret, name=account.address or account.name, issuer=issuer)

    async def begin_second_factor(self, operator_id: int, code: str, *, keep_session: int, now: datetime) -> Sequence[str]:
        """From its first right code on it is asked for at each sign-in. Returns recovery codes, shown now and never again.

        Raises `InvalidInput` for a wrong code, and `Conflict`.
        """
        async with self._db.transaction() as db:
            await hold_secret(db, self._secret)
            account = await self._account(db, operator_id)
            if account.totp is None or account.totp_since is not None:
                raise Conflict("There is no second factor to be confirmed.")
            step = second_factor.step_of(second_factor.opened(account, self._secret), code, now=now)
            if step is None:
                raise InvalidInput("This code does not fit: check the time on the device, and take the next one.", field="code")
            await store.begin_totp(db, operator_id=operator_id, step=step, now=now)
            codes = await self._fresh_recovery(db, operator_id)
            await store.drop_sessions(db, operator_id=operator_id, besides=keep_session)
            await self._audit(db, account.name, "second-factor.begin", f"operator {operator_id}", now)
        return codes

    async def renew_recovery(self, operator_id: int, *, now: datetime) -> Sequence[str]:
        """New recovery codes in place of the old ones. Raises `Conflict`."""
        async with self._db.transaction() as db:
            account = await self._account(db, operator_id)
            if account.totp_since is None:
                raise Conflict("There is no second factor.")
            codes = await self._fresh_recovery(db, operator_id)
            await self._audit(db, account.name, "second-factor.renew", f"operator {operator_id}", now)
        return codes

    async def recovery_left(self, operator_id: int) -> int:
        return await store.count_recovery(self._db, operator_id=operator_id)

    async def drop_second_factor(self, operator_id: int, *, by: str, now: datetime) -> None:
        """By the operator, who was asked for the password, or by an owner for somebody who lost theirs. Raises `NotFound`."""
        async with self._db.transaction() as db:
            account = await self._account(db, operator_id)
            if not await store.drop_totp(db, operator_id=operator_id):
                raise NotFound("There is no second factor.")
            await self._audit(db, by, "second-factor.end", f"operator {operator_id} {account.name}", now)

    # By an owner.

    async def change_role(self, operator_id: int, role: str, *, by: str, now: datetime) -> None:
        """Holds from the next click on. Raises `InvalidInput`, `NotFound`, and `Conflict` for the last owner."""
        if role not in ROLES:
            raise InvalidInput(f"A role is one of {', '.join(ROLES)}.", field="role")
        async with self._db.transaction() as db:
            await store.lock_operators(db)
            account = await self._account(db, operator_id)
            if account.role == role:
                return
            await self._keep_an_owner(db, account)
            await store.set_role(db, operator_id=operator_id, role=role)
            await self._audit(db, by, "operator.role", f"operator {operator_id} {account.name} as {role}", now)

    async def let_go(self, operator_id: int, *, by: str, now: datetime) -> None:
        """Address, password, sessions and tokens end at once. Raises `NotFound`, and `Conflict` for the last owner."""
        async with self._db.transaction() as db:
            await store.lock_operators(db)
            account = await self._account(db, operator_id)
            await self._keep_an_owner(db, account)
            await store.let_go(db, operator_id=operator_id, now=now)
            await self._audit(db, by, "operator.end", f"operator {operator_id} {account.name}", now)

    # What they have in common.

    async def _account(self, db: Connection, operator_id: int) -> Account:
        found = await store.operator_by_id(db, operator_id=operator_id) if 0 < operator_id < 2**31 else None
        if found is None:
            raise NotFound("There is no such operator.")
        return found

    async def _keep_an_owner(self, db: Connection, account: Account) -> None:
        if account.role == "owner" and account.password and not await store.count_owners(db, besides=account.operator_id):
            raise Conflict("This is the last owner who can sign in: make somebody else an owner first.")

    async def _set_address(self, db: Connection, operator_id: int, typed: str, normal: str) -> None:
        try:
            await store.set_address(db, operator_id=operator_id, address=typed, normal=normal)
        except DatabaseError as error:
            if error.sqlstate != _UNIQUE_VIOLATION:
                raise
            raise Conflict("There is an operator with that address already.") from None

    async def _add_link(self, db: Connection, operator_id: int, lives: timedelta, now: datetime) -> tuple[int, datetime]:
        expires_at = now + lives
        return await store.add_link(db, operator_id=operator_id, now=now, expires_at=expires_at), expires_at

    async def _mail(self, db: Connection, link_id: int, expires_at: datetime, now: datetime) -> bool:
        """False where there is no list yet, and so no sender that it could come from."""
        list_id = await store.list_that_writes(db)
        if list_id is None:
            return False
        await delivery.queue_answer(
            db,
            kind="operator",
            request_id=link_id,
            list_ids=[list_id],
            language="en",
            message_id=uuid4(),
            now=now,
            expires_at=expires_at,
        )
        await delivery.wake_workers(db)
        return True

    async def _fresh_recovery(self, db: Connection, operator_id: int) -> Sequence[str]:
        codes = second_factor.recovery_codes()
        await store.put_recovery(db, operator_id=operator_id, digests=second_factor.recovery_digests(codes))
        return codes
