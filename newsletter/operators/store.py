"""Signatures of the statements in `sql/queries/operators.sql`, which says what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from newsletter.core.database import Connection
from newsletter.core.promises import Due, Kept
from newsletter.core.queries import Queries
from newsletter.operators.rules import scopes_of

_sql = Queries("operators")


@dataclass(frozen=True)
class OpenToken:
    operator: str
    role: str
    scopes: list[str]


@dataclass(frozen=True)
class TokenRow:
    token_id: int
    name: str
    operator: str
    role: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    @property
    def opens(self) -> list[str]:
        """Of its scopes those that the role of whose it is lets it use."""
        return [scope for scope in self.scopes if scope in scopes_of(self.role)]


@dataclass(frozen=True)
class OperatorRow:
    operator_id: int
    name: str
    role: str
    address: str | None
    created_at: datetime
    has_password: bool
    has_second_factor: bool
    last_seen: datetime | None


@dataclass(frozen=True)
class Account:
    """With what is secret about it, as it is stored."""

    operator_id: int
    name: str
    role: str
    address: str | None
    password: str | None
    totp: bytes | None
    totp_since: datetime | None
    totp_step: int | None


@dataclass(frozen=True)
class WrappedTotp:
    operator_id: int
    totp: bytes


@dataclass(frozen=True)
class SessionRow:
    session_id: int
    operator_id: int
    is_whole: bool
    seen_at: datetime
    ends_at: datetime
    name: str
    role: str
    has_second_factor: bool


@dataclass(frozen=True)
class OpenSession:
    session_id: int
    created_at: datetime
    seen_at: datetime
    network: str
    agent: str


@dataclass(frozen=True)
class LinkRow:
    link_id: int
    operator_id: int
    name: str
    role: str
    address: str | None
    expires_at: datetime


@dataclass(frozen=True)
class Entry:
    """A line of the audit log, with the reader whom it is about as long as they are here."""

    audit_id: int
    occurred_at: datetime
    operator: str
    action: str
    target: str
    subscriber_id: UUID | None


@dataclass(frozen=True)
class ServerSetting:
    name: str
    setting: str


@dataclass(frozen=True)
class ServerRole:
    version: str
    is_superuser: bool


@_sql.statement
async def add_operator(db: Connection, *, name: str, role: str, now: datetime) -> int | None: ...


@_sql.statement
async def spelling(db: Connection, *, name: str) -> str | None: ...


@_sql.statement
async def find_operator(db: Connection, *, name: str) -> int | None: ...


@_sql.statement
async def count_tokens(db: Connection) -> int: ...


@_sql.statement
async def add_token(
    db: Connection,
    *,
    operator_id: int,
    name: str,
    digest: bytes,
    scopes: Sequence[str],
    now: datetime,
    expires_at: datetime,
    form: UUID | None,
) -> int | None: ...


@_sql.statement
async def open_token(db: Connection, *, digest: bytes, now: datetime) -> OpenToken | None: ...


@_sql.statement
async def list_tokens(db: Connection) -> list[TokenRow]: ...


@_sql.statement
async def revoke_token(db: Connection, *, token_id: int, now: datetime) -> bool: ...


@_sql.statement
async def add_audit(db: Connection, *, operator: str, action: str, target: str, about: UUID | None, now: datetime) -> None: ...


@_sql.statement
async def expire_audit(db: Connection, *, before: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_audit(db: Connection, *, before: datetime) -> Due: ...


@_sql.statement
async def operators(db: Connection) -> list[OperatorRow]: ...


@_sql.statement
async def operator_by_id(db: Connection, *, operator_id: int) -> Account | None: ...


@_sql.statement
async def operator_by_normal(db: Connection, *, normal: str) -> Account | None: ...


@_sql.statement
async def lock_operators(db: Connection) -> None: ...


@_sql.statement
async def count_owners(db: Connection, *, besides: int) -> int: ...


@_sql.statement
async def has_passwords(db: Connection) -> bool: ...


@_sql.statement
async def set_role(db: Connection, *, operator_id: int, role: str) -> bool: ...


@_sql.statement
async def set_address(db: Connection, *, operator_id: int, address: str, normal: str) -> bool: ...


@_sql.statement
async def hold_account(db: Connection, *, operator_id: int, password: str) -> Account | None: ...


@_sql.statement
async def set_password(db: Connection, *, operator_id: int, password: str) -> bool: ...


@_sql.statement
async def let_go(db: Connection, *, operator_id: int, now: datetime) -> bool: ...


@_sql.statement
async def set_totp(db: Connection, *, operator_id: int, totp: bytes) -> bool: ...


@_sql.statement
async def begin_totp(db: Connection, *, operator_id: int, step: int, now: datetime) -> bool: ...


@_sql.statement
async def use_totp(db: Connection, *, operator_id: int, step: int) -> bool: ...


@_sql.statement
async def drop_totp(db: Connection, *, operator_id: int) -> bool: ...


@_sql.statement
async def put_recovery(db: Connection, *, operator_id: int, digests: Sequence[bytes]) -> None: ...


@_sql.statement
async def use_recovery(db: Connection, *, operator_id: int, digest: bytes) -> bool: ...


@_sql.statement
async def count_recovery(db: Connection, *, operator_id: int) -> int: ...


@_sql.statement
async def wrapped_totp(db: Connection) -> list[WrappedTotp]: ...


@_sql.statement
async def rewrap_totp(db: Connection, *, operator_id: int, totp: bytes) -> None: ...


@_sql.statement
async def add_session(
    db: Connection,
    *,
    operator_id: int,
    digest: bytes,
    is_whole: bool,
    now: datetime,
    idle_at: datetime,
    ends_at: datetime,
    network: str,
    agent: str,
) -> None: ...


@_sql.statement
async def session(db: Connection, *, digest: bytes, now: datetime) -> SessionRow | None: ...


@_sql.statement
async def touch_session(db: Connection, *, session_id: int, now: datetime, idle_at: datetime, before: datetime) -> None: ...


@_sql.statement
async def sessions_of(db: Connection, *, operator_id: int, now: datetime) -> list[OpenSession]: ...


@_sql.statement
async def drop_session(db: Connection, *, session_id: int, operator_id: int) -> bool: ...


@_sql.statement
async def drop_sessions(db: Connection, *, operator_id: int, besides: int) -> None: ...


@_sql.statement
async def expire_sessions(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_sessions(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def add_link(db: Connection, *, operator_id: int, now: datetime, expires_at: datetime) -> int: ...


@_sql.statement
async def link(db: Connection, *, link_id: int, now: datetime) -> LinkRow | None: ...


@_sql.statement
async def use_link(db: Connection, *, link_id: int, now: datetime) -> bool: ...


@_sql.statement
async def drop_links(db: Connection, *, operator_id: int) -> None: ...


@_sql.statement
async def forgot(db: Connection, *, normal: str, message_id: UUID, now: datetime, expires_at: datetime) -> None: ...


@_sql.statement
async def expire_links(db: Connection, *, now: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_links(db: Connection, *, now: datetime) -> Due: ...


@_sql.statement
async def expire_operators(db: Connection, *, before: datetime, size: int) -> Kept: ...


@_sql.statement
async def due_operators(db: Connection, *, before: datetime) -> Due: ...


@_sql.statement
async def lock_limit(db: Connection, *, code: bytes) -> None: ...


@_sql.statement
async def count_attempts(db: Connection, *, code: bytes, since: datetime) -> int: ...


@_sql.statement
async def add_attempt(db: Connection, *, codes: Sequence[bytes], now: datetime, expires_at: datetime) -> None: ...


@_sql.statement
async def take_back(db: Connection, *, codes: Sequence[bytes], now: datetime) -> None: ...


@_sql.statement
async def note_once(
    db: Connection, *, code: bytes, operator: str, action: str, target: str, now: datetime, expires_at: datetime
) -> None: ...


@_sql.statement
async def audit_page(
    db: Connection,
    *,
    before: int | None,
    operator: str | None,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
    size: int,
) -> list[Entry]: ...


@_sql.statement
async def audit_actions(db: Connection) -> list[str]: ...


@_sql.statement
async def list_that_writes(db: Connection) -> int | None: ...


@_sql.statement
async def server_settings(db: Connection, *, names: Sequence[str]) -> list[ServerSetting]: ...


@_sql.statement
async def server_role(db: Connection) -> ServerRole: ...
