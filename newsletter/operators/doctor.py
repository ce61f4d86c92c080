"""The doctor: looks an installation over, and says of each thing what was looked at, what was found, and what to do.

All that it looks at is looked at side by side, each within its time and the whole within its own. What could not be asked (no
DNS, no network, a database that is away) is `unknown`, never good or bad. It changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from newsletter.consent.service import standing_still
from newsletter.consent.withdrawal_log import WithdrawalLog
from newsletter.core.clock import database_time
from newsletter.core.database import Database
from newsletter.core.errors import NewsletterError, RelayUnreachable
from newsletter.core.findings import Finding, Result, bad, good, unknown
from newsletter.core.logs import get_logger
from newsletter.core.migrations import check_schema
from newsletter.delivery import sender_rules
from newsletter.delivery.dmarc import look_at_dmarc
from newsletter.delivery.relays import Relay
from newsletter.delivery.resolver import DnsUnavailable, Resolver
from newsletter.delivery.signing import DkimKeys, KeyShown
from newsletter.delivery.spf import look_at_spf
from newsletter.delivery.standing import Relays
from newsletter.operators import doctor_rules as rules
from newsletter.operators import store
from newsletter.operators.reach import Reached
from newsletter.privacy.outlook import Outlook
from newsletter.privacy.publishing import Policy
from newsletter.subscribing.lists import Sender, all_lists

EACH_WITHIN = 12.0
"""Seconds for one thing, with all that has to be asked for it."""
ALL_WITHIN = 20.0
"""Seconds for the whole."""
SENDER_WITHIN = 6.0
"""Seconds for what DNS says of one sender, while somebody waits for a page."""
GOOD_FOR = timedelta(minutes=10)
"""For so long that is remembered."""
_FETCH_WITHIN = 5.0
_NOT_OPENED = "The database could not be opened."

Reach = Callable[..., Awaitable[Reached]]

log = get_logger(__name__)


@dataclass(frozen=True)
class Setup:
    """What the settings say, as far as it is looked at."""

    base_url: str
    development: bool
    missing: Sequence[str]
    secret_is_development: bool
    relays: Sequence[Relay]
    machine: str
    """This machine's full name."""


@dataclass(frozen=True)
class Rooms:
    """What can be asked once the database and its keys are open."""

    outlook: Outlook
    policy: Policy
    keys: DkimKeys
    withdrawal_log: WithdrawalLog | None


@dataclass(frozen=True)
class Examination:
    findings: list[Finding]
    at: datetime

    def count(self, result: str) -> int:
        return sum(each.result == result for each in self.findings)

    @property
    def is_bad(self) -> bool:
        return self.count(Result.BAD) > 0


class Doctor:
    """`rooms` None: the database could not be opened, which is found as well."""

    def __init__(
        self,
        db: Database,
        setup: Setup,
        relays: Relays,
        resolver: Resolver,
        rooms: Rooms | None,
        *,
        reach: Reach,
        machine_time: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._db = db
        self._setup = setup
        self._relays = relays
        self._resolver = resolver
        self._rooms = rooms
        self._reach = reach
        self._machine_time = machine_time
        self._lately: dict[int, tuple[datetime, list[Finding]]] = {}

    async def examine(self, *, now: datetime, each_within: float = EACH_WITHIN, within: float = ALL_WITHIN) -> Examination:
        """All of it; takes `within` seconds at most."""
        checks = self._checks(now)
        tasks = [asyncio.create_task(_timed(what, check, each_within)) for what, check in checks]
        await asyncio.wait(tasks, timeout=within)
        found: list[Finding] = []
        for (what, _), task in zip(checks, tasks, strict=True):
            if task.done():
                found += task.result()
            else:
                task.cancel()
                found.append(unknown(what, f"Not looked at: all of it together took longer than {within:.0f} s."))
        await asyncio.gather(*tasks, return_exceptions=True)
        return Examination(found, now)

    def _checks(self, now: datetime) -> list[tuple[str, Coroutine[Any, Any, list[Finding]]]]:
        return [
            ("Settings", self._settings()),
            ("Database", self._server()),
            ("Schema", self._schema()),
            ("Clock", self._clock()),
            ("Worker", self._workers(now)),
            *((f"Relay {relay}", self._relay(relay)) for relay in self._setup.relays),
            *((f"Reverse DNS of {host}", self._reverse(host, is_ours)) for host, is_ours in self._sending_hosts().items()),
            (f"Base address {self._setup.base_url}", self._base_address()),
            ("Promises", self._promises(now)),
            ("Withdrawal file", self._withdrawals()),
            ("Subprocessors", self._subprocessors()),
            ("Senders", self._senders()),
        ]

    # Inside.

    async def _settings(self) -> list[Finding]:
        its = self._setup
        return rules.settings_findings(
            missing=its.missing, development=its.development, secret_is_development=its.secret_is_development
        )

    async def _server(self) -> list[Finding]:
        try:
            seen = {row.name: row.setting for row in await store.server_settings(self._db, names=list(rules.SERVER_SETTINGS))}
            role = await store.server_role(self._db)
        except NewsletterError as error:
            return [bad("Database", str(error), "Nothing works without it: see to it first.")]
        return rules.server_findings(rules.Server(role.version, role.is_superuser, seen))

    async def _schema(self) -> list[Finding]:
        try:
            return [good("Schema", f"Schema {(await check_schema(self._db)).version} is what this program needs.")]
        except NewsletterError as error:
            if isinstance(error, ConnectionError):
                return [unknown("Schema", _NOT_OPENED)]
            return [bad("Schema", str(error), "Run `newsletter migrate`, or start the program that fits.")]

    async def _clock(self) -> list[Finding]:
        before = self._machine_time()
        there = await database_time(self._db)
        after = self._machine_time()
        return [rules.clock_finding(there - (before + (after - before) / 2))]

    async def _workers(self, now: datetime) -> list[Finding]:
        return [rules.workers_finding([each.name for each in await self._relays.workers(now=now)])]

    async def _promises(self, now: datetime) -> list[Finding]:
        if self._rooms is None:
            return [unknown("Promises", _NOT_OPENED)]
        return [rules.promises_finding(await self._rooms.outlook.standings(now=now))]

    async def _withdrawals(self) -> list[Finding]:
        if self._rooms is None:
            return [unknown("Withdrawal file", _NOT_OPENED)]
        stands_still, file = bool(await standing_still(self._db)), self._rooms.withdrawal_log
        try:
            return [rules.withdrawals_finding(await file.shown() if file else None, stands_still=stands_still)]
        except NewsletterError as error:
            return [bad("Withdrawal file", str(error), "Bring the right file back, or see `newsletter privacy replay --help`.")]
        except OSError as error:
            return [
                bad("Withdrawal file", f"It cannot be read: {error.strerror}.", "Let the program's user read and write it.")
            ]

    async def _subprocessors(self) -> list[Finding]:
        if self._rooms is None:
            return [unknown("Subprocessors", _NOT_OPENED)]
        return [rules.subprocessors_finding(await self._rooms.policy.unnamed_relays())]

    # Outside.

    async def _relay(self, relay: Relay) -> list[Finding]:
        try:
            return [rules.relay_finding(relay, await self._relays.test(relay.name))]
        except RelayUnreachable as error:
            found, _, advice = str(error).partition(": ")
            return [bad(f"Relay {relay}", f"{found}.", f"{advice[:1].upper()}{advice[1:]}")]

    def _sending_hosts(self) -> dict[str, bool]:
        """Whose addresses receivers see, as far as we know, and whether they are ours to name."""
        remote = {each.host: False for each in self._setup.relays if not each.is_on_this_machine}
        here = {self._setup.machine: True} if any(each.is_on_this_machine for each in self._setup.relays) else {}
        return here | remote

    async def _public(self, host: str) -> list[str]:
        return [each for each in await self._addresses(host) if ip_address(each).is_global]

    async def _addresses(self, host: str) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            return await self._resolver.addresses(host)

    async def _reverse(self, host: str, is_ours: bool) -> list[Finding]:
        names = {address: await self._resolver.names(address) for address in await self._public(host)}
        confirmed = {name: await self._resolver.addresses(name) for its in names.values() for name in its}
        return [sender_rules.reverse_finding(host, names, confirmed, is_ours=is_ours)]

    async def _base_address(self) -> list[Finding]:
        reached = await self._reach(f"{self._setup.base_url}/healthz", within=_FETCH_WITHIN)
        return [rules.reached_finding(self._setup.base_url, reached)]

    async def _senders(self) -> list[Finding]:
        """Of each that has a list, by domain, since that is what DNS knows."""
        if self._rooms is None:
            return [unknown("Senders", _NOT_OPENED)]
        senders = {each.sender.sender_id: each.sender for each in await all_lists(self._db)}
        if not senders:
            return [unknown("Senders", "There is no list yet, so nobody sends.", "Make a list first.")]
        keys = {number: await self._rooms.keys.shown(number) for number in senders}
        found = await asyncio.gather(*(self._sender(domain, its) for domain, its in _by_domain(senders, keys).items()))
        return [line for lines in found for line in lines]

    async def _sender(self, domain: str, keys: Sequence[KeyShown]) -> list[Finding]:
        """Each of its lines alone: where one could not be asked, the others may be."""
        active = [each for each in keys if each.active_at]
        found = await asyncio.gather(
            _asked(f"SPF of {domain}", self._spf(domain)),
            _asked(f"DKIM of {domain}", self._dkim(domain, active, keys)),
            _asked(f"DMARC of {domain}", self._dmarc(domain, active)),
        )
        return [*(line for lines in found for line in lines), sender_rules.one_click_finding(domain, we_sign=bool(active))]

    async def of_sender(self, sender: Sender, now: datetime) -> list[Finding]:
        """What DNS says of one sender: SPF, DKIM, DMARC, the way out with one click. Remembered for a while."""
        asked_at, found = self._lately.get(sender.sender_id, (now, None))
        if found is None or not timedelta(0) <= now - asked_at < GOOD_FOR:
            keys = await self._rooms.keys.shown(sender.sender_id) if self._rooms else []
            found = await _timed(f"DNS of {sender.domain}", self._sender(sender.domain, keys), SENDER_WITHIN)
            self._lately[sender.sender_id] = now, found
        return found

    async def _spf(self, domain: str) -> list[Finding]:
        spf = await look_at_spf(domain, self._resolver)
        relays = {host: its for host in self._sending_hosts() if (its := await self._public(host))}
        return [sender_rules.spf_finding(domain, spf, relays)]

    async def _dkim(self, domain: str, active: Sequence[KeyShown], keys: Sequence[KeyShown]) -> list[Finding]:
        if not active:
            return [sender_rules.no_dkim_finding(domain, keys)]
        return [sender_rules.dkim_finding(key, await self._resolver.texts(key.record_name)) for key in active]

    async def _dmarc(self, domain: str, active: Sequence[KeyShown]) -> list[Finding]:
        dmarc = await look_at_dmarc(domain, self._resolver)
        return [sender_rules.dmarc_finding(domain, dmarc, [each.domain for each in active])]


def _by_domain(senders: dict[int, Sender], keys: dict[int, list[KeyShown]]) -> dict[str, list[KeyShown]]:
    found: dict[str, list[KeyShown]] = {}
    for number, sender in senders.items():
        found.setdefault(sender.domain, []).extend(keys[number])
    return found


async def _asked(what: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    """What it found, or that it could not be asked."""
    try:
        return await check
    except DnsUnavailable as error:
        return [unknown(what, str(error), "Run this where DNS can be asked.")]


async def _timed(what: str, check: Awaitable[list[Finding]], within: float) -> list[Finding]:
    try:
        async with asyncio.timeout(within):
            return await _asked(what, check)
    except TimeoutError:
        return [unknown(what, f"It did not answer within {within:.0f} s.")]
    except NewsletterError as error:
        return [unknown(what, str(error))]
    except Exception:  # One look that goes wrong must not hide what the others saw.
        log.exception("examination_failed", looked_at=what)
        return [unknown(what, "Looking at it went wrong on our side: the log has the reason.")]


def tally(examination: Examination) -> str:
    """`14 good, 2 to look at, 1 bad, 3 unknown`."""
    words = ((Result.GOOD, "good"), (Result.WARN, "to look at"), (Result.BAD, "bad"), (Result.UNKNOWN, "unknown"))
    return ", ".join(f"{count} {word}" for result, word in words if (count := examination.count(result)))
