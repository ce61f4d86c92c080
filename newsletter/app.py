"""Composition root: the only place where parts are wired together."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from newsletter.campaigns.framing import Framing
from newsletter.campaigns.images import Images
from newsletter.campaigns.layouts import Layouts
from newsletter.campaigns.preflight import Preflight
from newsletter.campaigns.reporting import Reporting
from newsletter.campaigns.scheduling import Scheduling
from newsletter.campaigns.service import Campaigns
from newsletter.campaigns.spam import spam_score
from newsletter.campaigns.watching import Watching
from newsletter.campaigns.writing import Writing
from newsletter.consent import promises as consent_promises
from newsletter.consent.evidence import Evidence
from newsletter.consent.rules import Keeps
from newsletter.consent.service import Ledger
from newsletter.consent.withdrawal_log import WithdrawalLog
from newsletter.core.clock import Clock, DatabaseClock
from newsletter.core.database import Connection, Database
from newsletter.core.errors import Conflict, InvalidInput, NewsletterError
from newsletter.core.keys import Keyring, reload
from newsletter.core.logs import get_logger
from newsletter.core.promises import Promise
from newsletter.core.tokens import Tokens
from newsletter.delivery import promises as delivery_promises
from newsletter.delivery.courier import Courier
from newsletter.delivery.dkim import Signers
from newsletter.delivery.lanes import Lanes
from newsletter.delivery.outbox import Composer, Outbox
from newsletter.delivery.resolver import Resolver, SystemResolver
from newsletter.delivery.session import Mail
from newsletter.delivery.signing import DkimKeys, Signing
from newsletter.delivery.standing import Relays
from newsletter.delivery.store import QueuedMail
from newsletter.delivery.throttle import Throttle, limits_of
from newsletter.jobs.schedule import Job, Schedule, campaign_jobs, report_job, retention_jobs, sizes_job, withdrawal_job
from newsletter.jobs.sending import CampaignSending
from newsletter.jobs.worker import Worker
from newsletter.operators import promises as operators_promises
from newsletter.operators.accounts import Accounts
from newsletter.operators.doctor import Doctor, Rooms, Setup
from newsletter.operators.mails import OperatorMails
from newsletter.operators.passwords import Passwords
from newsletter.operators.reach import reach
from newsletter.operators.service import Operators, audit
from newsletter.operators.sessions import Sessions
from newsletter.privacy import promises as privacy_promises
from newsletter.privacy.asking import Asking
from newsletter.privacy.contact import Contact
from newsletter.privacy.mails import PrivacyMails
from newsletter.privacy.my_data import MyData, Terms
from newsletter.privacy.outlook import Outlook
from newsletter.privacy.policy import Particulars
from newsletter.privacy.publishing import Policy
from newsletter.privacy.replay import Replay
from newsletter.privacy.requests import Register
from newsletter.privacy.rights import Rights
from newsletter.privacy.service import Retention
from newsletter.privacy.subprocessors import Subprocessors
from newsletter.settings import Settings, is_development_secret
from newsletter.subscribing import promises as subscribing_promises
from newsletter.subscribing.browsing import Browsing
from newsletter.subscribing.confirming import Confirming
from newsletter.subscribing.editing import ListEditing
from newsletter.subscribing.ending import Ending
from newsletter.subscribing.joining import Joining, JoiningConfig
from newsletter.subscribing.leaving import Leaving
from newsletter.subscribing.links import Links
from newsletter.subscribing.mails import SubscriptionMails
from newsletter.subscribing.reporting import ListReports
from newsletter.subscribing.suppressing import Suppressing
from newsletter.web.fetching import LinkChecker
from newsletter.web.services import Services

REFRESH_EVERY = 60.0
"""Seconds between two looks at the database's clock and keys."""

log = get_logger(__name__)


@dataclass(frozen=True)
class House:
    """Every part, made from settings, a database, its keys and a clock; each is made once, when it is first asked for."""

    settings: Settings
    db: Database
    keyring: Keyring
    clock: Clock

    async def keep_current(self) -> None:
        """Follow the database's clock and its keys, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_EVERY)
            try:
                await self.refresh()
            except NewsletterError as error:
                log.warning("refresh_failed", reason=str(error))
            except Exception:  # Ended by it, the process would go on with a clock that drifts and keys that are stale.
                log.exception("refresh_failed")

    async def refresh(self) -> None:
        """Once. The rooms hold the same keyring, so they learn of it too."""
        if isinstance(self.clock, DatabaseClock):
            await self.clock.refresh(self.db)
        await reload(self.keyring, self.db, self.settings.secret.get_secret_value(), now=self.clock.now())

    @property
    def host(self) -> str:
        """The host that people see in our links."""
        return urlsplit(self.settings.base_url).hostname or "localhost"

    @cached_property
    def links(self) -> Links:
        return Links(Tokens(self.keyring), self.settings.base_url)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(
            origin_for=timedelta(days=self.settings.origin_days),
            keeps=Keeps(self.settings.evidence),
            evidence_for=timedelta(days=self.settings.evidence_days),
        )

    @cached_property
    def evidence(self) -> Evidence:
        return Evidence(self.db, self.keyring, audit)

    @cached_property
    def joining(self) -> Joining:
        return Joining(
            self.db,
            self.keyring,
            self.ledger,
            JoiningConfig(
                confirm_within=self.settings.confirm_within,
                signups_per_network_hour=self.settings.signups_per_network_hour,
                privacy_url=self.links.privacy,
                dns_check=self.settings.dns_check,
                dns_timeout=self.settings.dns_timeout,
            ),
            audit,
        )

    @cached_property
    def list_reports(self) -> ListReports:
        return ListReports(self.db)

    @cached_property
    def list_editing(self) -> ListEditing:
        return ListEditing(self.db, audit, self.settings.relays, base_host=self.host)

    @cached_property
    def browsing(self) -> Browsing:
        return Browsing(self.db, self.keyring, audit)

    @cached_property
    def confirming(self) -> Confirming:
        return Confirming(self.db, self.keyring, self.ledger, self.links)

    @cached_property
    def leaving(self) -> Leaving:
        return Leaving(self.db, self.ledger, self.links, erase_after=self.settings.erase_left_after)

    @cached_property
    def ending(self) -> Ending:
        return Ending(self.db, self.ledger)

    @cached_property
    def suppressing(self) -> Suppressing:
        return Suppressing(self.db, self.keyring, self.ledger, audit)

    @cached_property
    def withdrawal_log(self) -> WithdrawalLog | None:
        path = self.settings.withdrawal_log
        return WithdrawalLog(self.db, self.keyring, path) if path else None

    @cached_property
    def replay(self) -> Replay:
        return Replay(self.db, self.ledger, self.keyring.installation, self.withdrawal_log, audit)

    @cached_property
    def asking(self) -> Asking:
        return Asking(
            self.db,
            self.keyring,
            lives=self.settings.confirm_within,
            most_per_network_hour=self.settings.signups_per_network_hour,
        )

    @cached_property
    def my_data(self) -> MyData:
        terms = Terms(
            erase_after=self.settings.erase_left_after,
            keeps=Keeps(self.settings.evidence),
            evidence_for=timedelta(days=self.settings.evidence_days),
            delivery_days=self.settings.delivery_days,
            controller=self.settings.controller,
            storage_country=self.settings.storage_country,
        )
        return MyData(self.db, self.keyring, self.links, audit, terms)

    @cached_property
    def rights(self) -> Rights:
        return Rights(self.db, self.keyring, self.ledger, self.joining, audit)

    @cached_property
    def contact(self) -> Contact:
        return Contact(self.db, self.keyring)

    @cached_property
    def register(self) -> Register:
        return Register(self.db, audit)

    @cached_property
    def retention(self) -> Retention:
        return Retention(
            self.db,
            self.clock,
            [
                *subscribing_promises.promises(
                    confirm_hours=self.settings.confirm_hours,
                    erase_left_days=self.settings.erase_left_days,
                    ledger=self.ledger,
                ),
                *delivery_promises.promises(delivery_days=self.settings.delivery_days),
                *consent_promises.promises(
                    origin_days=self.settings.origin_days,
                    evidence_days=self.settings.evidence_days,
                    keeps=Keeps(self.settings.evidence),
                ),
                *self._file_promises,
                *operators_promises.promises(log_days=self.settings.log_days),
                *privacy_promises.promises(log_days=self.settings.log_days, confirm_hours=self.settings.confirm_hours),
            ],
        )

    @property
    def _file_promises(self) -> list[Promise]:
        path, days = self.settings.withdrawal_log, self.settings.backup_days
        return [consent_promises.file_promise(path, backup_days=366 if days is None else days)] if path else []

    @cached_property
    def outlook(self) -> Outlook:
        return Outlook(self.db, self.retention.promises)

    @cached_property
    def policy(self) -> Policy:
        settings = self.settings
        particulars = Particulars(
            controller=settings.controller,
            contact=settings.privacy_contact,
            storage_country=settings.storage_country,
            authority=settings.authority,
            backup_days=settings.backup_days,
            evidence=Keeps(settings.evidence),
            logs_withdrawals=settings.withdrawal_log is not None,
            relay_hosts=tuple(dict.fromkeys(each.host.lower() for each in settings.relays if not each.is_on_this_machine)),
            missing=tuple(settings.missing_in_policy),
        )
        return Policy(self.db, particulars, self.retention, self.campaigns, audit, privacy_url=self.links.privacy)

    @cached_property
    def subprocessors(self) -> Subprocessors:
        return Subprocessors(self.db, audit)

    @cached_property
    def operators(self) -> Operators:
        return Operators(self.db)

    @cached_property
    def passwords(self) -> Passwords:
        return Passwords()

    @cached_property
    def accounts(self) -> Accounts:
        secret, base_url = self.settings.secret.get_secret_value(), self.settings.base_url
        return Accounts(self.db, self.keyring, secret, self.passwords, audit, base_url=base_url)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.db, self.keyring, self.settings.secret.get_secret_value(), self.passwords, audit)

    @cached_property
    def relays(self) -> Relays:
        return relays_of(self.settings, self.db)

    @cached_property
    def dkim_keys(self) -> DkimKeys:
        return DkimKeys(self.db, self.settings.secret.get_secret_value(), audit)

    @cached_property
    def doctor(self) -> Doctor:
        return make_doctor(self.settings, self.db, Rooms(self.outlook, self.policy, self.dkim_keys, self.withdrawal_log))

    @cached_property
    def campaigns(self) -> Campaigns:
        return Campaigns(
            self.db,
            self.keyring,
            self.links,
            self.test_courier,
            self.signing,
            audit,
            erase_left_days=self.settings.erase_left_days,
        )

    @cached_property
    def framing(self) -> Framing:
        return Framing(self.links, erase_left_days=self.settings.erase_left_days)

    @cached_property
    def writing(self) -> Writing:
        return Writing(self.db, self.framing, self.campaigns, audit)

    @cached_property
    def layouts(self) -> Layouts:
        return Layouts(self.db, self.framing, audit)

    @cached_property
    def images(self) -> Images:
        return Images(self.db, audit, base_url=self.settings.base_url)

    @cached_property
    def link_checker(self) -> LinkChecker:
        return LinkChecker()

    @cached_property
    def preflight(self) -> Preflight:
        return Preflight(
            self.db,
            self.writing,
            self.campaigns,
            base_url=self.settings.base_url,
            fetch=self.link_checker,
            spam_score=spam_score,
            set_up=self.doctor.of_sender,
        )

    @cached_property
    def scheduling(self) -> Scheduling:
        return Scheduling(self.db, self.campaigns, audit)

    @cached_property
    def reporting(self) -> Reporting:
        return Reporting(self.db)

    @cached_property
    def watching(self) -> Watching:
        limits = limits_of(self.settings.relays, self.settings.domain_rates)
        return Watching(self.db, self.clock.now, limits=limits)

    @cached_property
    def test_courier(self) -> Courier:
        """For the test mails that operators send."""
        return self.courier()

    async def close(self) -> None:
        """Say goodbye to relays, if they were spoken to. The database is its opener's to close."""
        if "test_courier" in self.__dict__:
            await self.test_courier.close()
        if "signers" in self.__dict__:
            await self.signers.close()

    @cached_property
    def signers(self) -> Signers:
        return Signers(self.settings.dkim_processes)

    @cached_property
    def signing(self) -> Signing:
        return Signing(self.db, self.settings.secret.get_secret_value(), self.signers)

    def courier(self) -> Courier:
        """A new one, for single mails."""
        return Courier(self.settings.relays, connections=self.settings.smtp_connections, timeout=self.settings.smtp_timeout)

    def outbox(self) -> Outbox:
        return Outbox(self.db, self.clock, self.courier(), self._composer(), sign=self.signing.put_on)

    def _composer(self) -> Composer:
        """Each room makes its own mails."""
        subscribing = SubscriptionMails(self.links)
        privacy = PrivacyMails(self.links, contact=self.settings.privacy_contact)
        rooms: dict[str, Composer] = {
            "data": privacy.compose,
            "contact": privacy.compose,
            "operator": OperatorMails(self.accounts.link).compose,
        }

        async def compose(db: Connection, queued: QueuedMail, now: datetime) -> Mail | None:
            return await rooms.get(queued.kind, subscribing.compose)(db, queued, now)

        return compose

    def worker(self) -> Worker:
        name = f"{platform.node()}:{os.getpid()}"
        return Worker(
            db=self.db,
            clock=self.clock,
            name=name,
            joining=self.joining,
            asking=self.asking,
            outbox=self.outbox(),
            schedule=Schedule(
                self.db, self.clock, [*retention_jobs(self.retention), sizes_job(self.list_reports)], worker=name
            ),
            sending=self.sending(worker=name),
            beside=[Schedule(self.db, self.clock, jobs, worker=name) for jobs in self._jobs_beside if jobs],
        )

    @property
    def _jobs_beside(self) -> list[list[Job]]:
        """Each list has a schedule of its own: none of them waits for the others, nor for the promises."""
        withdrawals = [withdrawal_job(self.withdrawal_log)] if self.withdrawal_log else []
        return [withdrawals, campaign_jobs(self.scheduling, self.reporting, self.writing), [report_job(self.reporting)]]

    async def look_at_withdrawals(self) -> None:
        """Before anything is sent: is the file of withdrawals ahead of this database? Then all campaigns stand still.

        A file that cannot be read is somebody's error to mend, and is said; the job says so again and again.
        """
        if self.withdrawal_log is None:
            return
        try:
            await self.withdrawal_log.look(now=self.clock.now())
        except (InvalidInput, Conflict) as error:
            log.warning("withdrawal_log_refused", reason=str(error))
        except OSError as error:
            if error.filename is None:  # Of the database.
                raise
            log.warning("withdrawal_log_unreadable", file=str(error.filename), reason=error.strerror)

    def sending(self, *, worker: str) -> CampaignSending:
        """Campaigns have connections of their own, so that no single mail waits for them."""
        settings = self.settings
        return CampaignSending(
            self.db,
            self.clock,
            self.campaigns,
            Lanes(settings.relays, connections=settings.smtp_connections, timeout=settings.smtp_timeout),
            Throttle(self.db, self.clock, limits_of(settings.relays, settings.domain_rates)),
            self.signing,
            worker=worker,
            chunk=settings.chunk,
            lease=settings.lease,
        )

    def services(self) -> Services:
        return Services(
            db=self.db,
            clock=self.clock,
            links=self.links,
            joining=self.joining,
            list_reports=self.list_reports,
            list_editing=self.list_editing,
            browsing=self.browsing,
            confirming=self.confirming,
            leaving=self.leaving,
            asking=self.asking,
            my_data=self.my_data,
            rights=self.rights,
            contact=self.contact,
            retention=self.retention,
            outlook=self.outlook,
            policy=self.policy,
            operators=self.operators,
            accounts=self.accounts,
            sessions=self.sessions,
            campaigns=self.campaigns,
            evidence=self.evidence,
            suppressing=self.suppressing,
            register=self.register,
            subprocessors=self.subprocessors,
            withdrawal_log=self.withdrawal_log,
            relays=self.relays,
            doctor=self.doctor,
            writing=self.writing,
            layouts=self.layouts,
            images=self.images,
            preflight=self.preflight,
            scheduling=self.scheduling,
            reporting=self.reporting,
            watching=self.watching,
            trusted_proxies=self.settings.trusted_proxies,
            confirm_hours=self.settings.confirm_hours,
            erase_left_days=self.settings.erase_left_days,
        )


def relays_of(settings: Settings, db: Database) -> Relays:
    return Relays(db, settings.relays, timeout=settings.smtp_timeout)


def make_doctor(settings: Settings, db: Database, rooms: Rooms | None, resolver: Resolver | None = None) -> Doctor:
    """`rooms` None where the database or its keys cannot be opened: that is for the doctor to say."""
    setup = Setup(
        base_url=settings.base_url,
        development=settings.development,
        missing=settings.missing_in_policy,
        secret_is_development=is_development_secret(settings, Path.cwd()),
        relays=settings.relays,
        machine=socket.gethostname(),
    )
    return Doctor(db, setup, relays_of(settings, db), resolver or SystemResolver(), rooms, reach=reach)
