"""What the web app is given to call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network

from aiohttp import web

from newsletter.campaigns.images import Images
from newsletter.campaigns.layouts import Layouts
from newsletter.campaigns.preflight import Preflight
from newsletter.campaigns.reporting import Reporting
from newsletter.campaigns.scheduling import Scheduling
from newsletter.campaigns.service import Campaigns
from newsletter.campaigns.watching import Watching
from newsletter.campaigns.writing import Writing
from newsletter.consent.evidence import Evidence
from newsletter.consent.withdrawal_log import WithdrawalLog
from newsletter.core.clock import Clock
from newsletter.core.database import Database
from newsletter.delivery.standing import Relays
from newsletter.operators.accounts import Accounts
from newsletter.operators.doctor import Doctor
from newsletter.operators.service import Operators
from newsletter.operators.sessions import Sessions
from newsletter.privacy.asking import Asking
from newsletter.privacy.contact import Contact
from newsletter.privacy.my_data import MyData
from newsletter.privacy.outlook import Outlook
from newsletter.privacy.publishing import Policy
from newsletter.privacy.requests import Register
from newsletter.privacy.rights import Rights
from newsletter.privacy.service import Retention
from newsletter.privacy.subprocessors import Subprocessors
from newsletter.subscribing.browsing import Browsing
from newsletter.subscribing.confirming import Confirming
from newsletter.subscribing.editing import ListEditing
from newsletter.subscribing.joining import Joining
from newsletter.subscribing.leaving import Leaving
from newsletter.subscribing.links import Links
from newsletter.subscribing.reporting import ListReports
from newsletter.subscribing.suppressing import Suppressing


@dataclass(frozen=True)
class Services:
    """Wired in `newsletter.app`."""

    db: Database
    clock: Clock
    links: Links
    joining: Joining
    list_reports: ListReports
    list_editing: ListEditing
    browsing: Browsing
    confirming: Confirming
    leaving: Leaving
    asking: Asking
    my_data: MyData
    rights: Rights
    contact: Contact
    retention: Retention
    outlook: Outlook
    policy: Policy
    operators: Operators
    accounts: Accounts
    sessions: Sessions
    campaigns: Campaigns
    evidence: Evidence
    suppressing: Suppressing
    register: Register
    subprocessors: Subprocessors
    withdrawal_log: WithdrawalLog | None
    relays: Relays
    doctor: Doctor
    writing: Writing
    layouts: Layouts
    images: Images
    preflight: Preflight
    scheduling: Scheduling
    reporting: Reporting
    watching: Watching
    trusted_proxies: Sequence[IPv4Network | IPv6Network]
    confirm_hours: int
    erase_left_days: int


SERVICES = web.AppKey("services", Services)
"""Where handlers find them: `request.app[SERVICES]`."""

NOW = web.RequestKey("now", datetime)
"""When a request came in: `request[NOW]`, read once by the middleware."""
