"""Signing in to the console, and staying so: a password, a second factor where there is one, a cookie that ends.

A session is a row; its cookie is a token of ours with 24 random octets in it, of which only the hash is stored. It is made anew
at each step up (password, second factor), so that a cookie from before is worth nothing after. Failures are counted for an
account and a network together, and for a network: whoever tries from elsewhere locks nobody out here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsletter.core.addresses import parse_address
from newsletter.core.audit import Audit
from newsletter.core.database import Connection, Database
from newsletter.core.errors import InvalidAddress, InvalidInput, InvalidToken, NotFound, TooMany
from newsletter.core.keys import Keyring, hold_secret, sha256
from newsletter.core.logs import network_of
from newsletter.core.tokens import Purpose, Tokens
from newsletter.operators import second_factor, store
from newsletter.operators.attempts import Attempts
from newsletter.operators.passwords import Passwords
from newsletter.operators.rules import (
    CODE_WITHIN,
    IDLE,
    LONGEST,
    MOST_CODES,
    MOST_FOR_ACCOUNT,
    MOST_FROM_NETWORK,
    NOTED_EVERY,
    TOUCH_EVERY,
    Right,
    rights_of,
)
from newsletter.operators.service import NOBODY
from newsletter.operators.store import Account, OpenSession

_WRONG = "Address or password is wrong, or this account was closed."
_WRONG_CODE = "This code is wrong or was used before. Take the next one, or a recovery code."
_TOO_MANY = "Too many sign-ins failed from your network. Please try again in 15 minutes; other networks are not affected."
_TOO_LATE = "It took too long: please begin again with address and password."
_COOKIE = struct.Struct(">I24s")


class WrongCredentials(InvalidInput):
    """Password or code do not fit; which of address and password it is, is not said."""


@dataclass(frozen=True)
class From:
    """Where somebody signs in from. Only the network of the address is kept."""

    address: str | None
    agent: str

    @property
    def network(self) -> str:
        return network_of(self.address or "")


@dataclass(frozen=True)
class SignedIn:
    """`cookie` is the browser's secret, shown here and nowhere else."""

    cookie: str
    needs_code: bool


@dataclass(frozen=True)
class Session:
    """Who is behind a cookie, with what they may do at this moment."""

    session_id: int
    operator_id: int
    name: str
    role: str
    is_whole: bool
    has_second_factor: bool
    ends_at: datetime

    @property
    def rights(self) -> frozenset[Right]:
        return rights_of(self.role) if self.is_whole else frozenset()

    def may(self, right: str) -> bool:
        return right in self.rights


def form_token(cookie: str) -> str:
    """What every form of a session carries: made from its cookie, which no other site can read."""
    return hashlib.sha256(f"form {cookie}".encode()).hexdigest()[:32]


def is_form_token(cookie: str, given: str) -> bool:
    return hmac.compare_digest(form_token(cookie).encode(), given.encode("utf-8", "replace"))


class Sessions:
    """Use cases; each owns its transaction. `secret` opens second factors."""

    def __init__(self, db: Database, keyring: Keyring, secret: str, passwords: Passwords, audit: Audit) -> None:
        self._db = db
        self._keyring = keyring
        self._secret = secret
        self._passwords = passwords
        self._audit = audit
        self._tokens = Tokens(keyring)
        self._attempts = Attempts(db, keyring)

    async def sign_in(self, given: str, password: str, where: From, *, now: datetime) -> SignedIn:
        """The first step. Raises `WrongCredentials`, and `TooMany` after too many failures from this network."""
        normal = _normal(given)
        codes = await self._admit(_of_sign_in(normal, where), now)
        account = await store.operator_by_normal(self._db, normal=normal)
        if not await self._matches(account, password, codes, now) or account is None or account.password is None:
            await self._note_failure(account, "wrong password", now)
            raise WrongCredentials(_WRONG, field="password")
        fresh = await self._passwords.hash(password) if self._passwords.is_outdated(account.password) else None
        async with self._db.transaction() as db:
            # Hashing takes its time: somebody may have changed the password meanwhile, or set up a second factor.
            held = await store.hold_account(db, operator_id=account.operator_id, password=account.password)
            if held is None:
                raise WrongCredentials(_WRONG, field="password")
            if fresh:
                await store.set_password(db, operator_id=held.operator_id, password=fresh)
            needs_code = held.totp_since is not None
            cookie = await self._add(db, held.operator_id, where, now, is_whole=not needs_code)
            if not needs_code:
                await self._audit(db, held.name, "session.begin", _from(where), now)
            await self._attempts.take_back(db, codes, now=now)
        return SignedIn(cookie, needs_code)

    async def give_code(self, cookie: str, code: str, where: From, *, now: datetime) -> SignedIn:
        """The second step: a code of the second factor, or a recovery code.

        Raises `WrongCredentials`, `TooMany`, and `NotFound` when the first step was too long ago.
        """
        half = await self.session(cookie, now=now)
        account = await store.operator_by_id(self._db, operator_id=half.operator_id) if half else None
        if half is None or account is None or half.is_whole:
            raise NotFound(_TOO_LATE)
        tries = f"code of session {half.session_id}"
        codes = await self._admit(_of_sign_in(f"code {account.operator_id}", where) | {tries: MOST_CODES}, now)
        async with self._db.transaction() as db:
            held = await store.hold_account(db, operator_id=account.operator_id, password=account.password or "")
            recovered = held is not None and await self._recovers(db, held, code)
            if held is not None and (recovered or await self._fits(db, held, code, now)):
                # Who has ended it meanwhile, or has used another code for it, has had the last word.
                if not await store.drop_session(db, session_id=half.session_id, operator_id=half.operator_id):
                    raise NotFound(_TOO_LATE)
                fresh = await self._add(db, held.operator_id, where, now, is_whole=True)
                how = " with a recovery code" if recovered else ""
                await self._audit(db, held.name, "session.begin", _from(where) + how, now)
                await self._attempts.take_back(db, codes, now=now)
                return SignedIn(fresh, needs_code=False)
        await self._note_failure(account, "wrong code", now)
        if await self._attempts.made(tries, now=now) >= MOST_CODES:
            await store.drop_session(self._db, session_id=half.session_id, operator_id=half.operator_id)
        raise WrongCredentials(_WRONG_CODE, field="code")

    async def confirm(self, session: Session, password: str, where: From, *, now: datetime) -> None:
        """Ask for the password again, before what an open browser alone must not do. Raises as `sign_in` does."""
        account = await store.operator_by_id(self._db, operator_id=session.operator_id)
        codes = await self._admit(_of_sign_in(f"confirm {session.operator_id}", where), now)
        if account is None or not await self._matches(account, password, codes, now):
            await self._note_failure(account, "wrong password", now)
            raise WrongCredentials("The password is wrong.", field="current")
        async with self._db.transaction() as db:
            await self._attempts.take_back(db, codes, now=now)

    async def session(self, cookie: str, *, now: datetime, is_use: bool = True) -> Session | None:
        """Who is behind a cookie; None when it is not good (any more). Being used keeps it from falling idle."""
        if self.owner(cookie) is None:
            return None
        row = await store.session(self._db, digest=sha256(cookie), now=now)
        if row is None:
            return None
        if is_use and row.is_whole and row.seen_at <= now - TOUCH_EVERY:
            before, idle_at = now - TOUCH_EVERY, now + IDLE
            await store.touch_session(self._db, session_id=row.session_id, now=now, idle_at=idle_at, before=before)
        return Session(row.session_id, row.operator_id, row.name, row.role, row.is_whole, row.has_second_factor, row.ends_at)

    async def note_ended(self, cookie: str, *, now: datetime) -> None:
        """Somebody came with a cookie that was good once: on record once an hour. What was never ours is not worth a line."""
        if (operator_id := self.owner(cookie)) is not None:
            await store.note_once(
                self._db,
                code=self._keyring.limit_code(f"ended {sha256(cookie).hex()}"),
                operator=f"operator {operator_id}",
                action="session.refuse",
                target="a session that has ended",
                now=now,
                expires_at=now + NOTED_EVERY,
            )

    async def note_refused(self, session: Session, what: str, *, now: datetime) -> None:
        """Somebody tried what they may not do, or a form came that is not ours."""
        await self._audit(self._db, session.name, "request.refuse", what, now)

    def owner(self, cookie: str) -> int | None:
        """Whom we made it for, whether or not it is good still; None for what we did not make."""
        try:
            payload = self._tokens.read(Purpose.SESSION, cookie)
        except InvalidToken:
            return None
        return int(_COOKIE.unpack(payload)[0]) if len(payload) == _COOKIE.size else None

    async def sign_out(self, session: Session, *, now: datetime) -> None:
        await self.revoke(session.operator_id, session.session_id, by=session.name, now=now)

    async def open_sessions(self, operator_id: int, *, now: datetime) -> list[OpenSession]:
        return await store.sessions_of(self._db, operator_id=operator_id, now=now)

    async def revoke(self, operator_id: int, session_id: int, *, by: str, now: datetime) -> None:
        """Useless at once. Raises `NotFound`."""
        async with self._db.transaction() as db:
            if not await store.drop_session(db, session_id=session_id, operator_id=operator_id):
                raise NotFound("This session has ended already.")
            await self._audit(db, by, "session.end", f"session {session_id}", now)

    async def _fits(self, db: Connection, account: Account, code: str, now: datetime) -> bool:
        if account.totp_since is None:
            return False
        await hold_secret(db, self._secret)
        step = second_factor.step_of(second_factor.opened(account, self._secret), code, now=now)
        return step is not None and await store.use_totp(db, operator_id=account.operator_id, step=step)

    async def _recovers(self, db: Connection, account: Account, code: str) -> bool:
        (digest,) = second_factor.recovery_digests([code])
        return await store.use_recovery(db, operator_id=account.operator_id, digest=digest)

    async def _add(self, db: Connection, operator_id: int, where: From, now: datetime, *, is_whole: bool) -> str:
        cookie = self._tokens.mint(Purpose.SESSION, _COOKIE.pack(operator_id, secrets.token_bytes(24)))
        await store.add_session(
            db,
            operator_id=operator_id,
            digest=sha256(cookie),
            is_whole=is_whole,
            now=now,
            idle_at=now + (IDLE if is_whole else CODE_WITHIN),
            ends_at=now + LONGEST,
            network=where.network,
            agent=where.agent,
        )
        return cookie

    async def _admit(self, limits: dict[str, int], now: datetime) -> Sequence[bytes]:
        """Counts as a failure until it is taken back. Raises `TooMany`."""
        return await self._attempts.begin(limits, _TOO_MANY, now=now)

    async def _matches(self, account: Account | None, password: str, codes: Sequence[bytes], now: datetime) -> bool:
        """Raises `TooMany` when too many others wait, which counts as no attempt."""
        try:
            return await self._passwords.matches(account.password if account else None, password)
        except TooMany:
            async with self._db.transaction() as db:
                await self._attempts.take_back(db, codes, now=now)
            raise

    async def _note_failure(self, account: Account | None, why: str, now: datetime) -> None:
        """Whoever typed an address that is nobody's typed no name of ours: what they typed is not written down."""
        await self._audit(self._db, account.name if account else NOBODY, "session.refuse", why, now)


def _of_sign_in(account: str, where: From) -> dict[str, int]:
    return {f"sign-in {where.network}": MOST_FROM_NETWORK, f"sign-in {where.network} {account}": MOST_FOR_ACCOUNT}


def _normal(given: str) -> str:
    """Empty for what is no address: it is nobody's."""
    try:
        return parse_address(given).normal
    except InvalidAddress:
        return ""


def _from(where: From) -> str:
    return f"from {where.network}" if where.network else "from an unknown network"
