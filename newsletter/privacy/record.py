"""The record of processing activities (GDPR Art. 30(1)), from the same source as the policy. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from gettext import NullTranslations

from newsletter.core.i18n import long_date
from newsletter.core.promises import Promise
from newsletter.privacy.document import Block, Facts, Line, Section, Table, items, paragraph, to_markdown, wrapped
from newsletter.privacy.policy import Sources, Subprocessor, backups, helpers, purposes, server_logs, unnamed_relays, unsaid


@dataclass(frozen=True)
class Purpose:
    purpose: str
    legal_basis: str


@dataclass(frozen=True)
class Erasure:
    """One promise: its name, days after which it deletes (parts of a day as a fraction), its sentence in the policy."""

    promise: str
    days: float
    sentence: str


@dataclass(frozen=True)
class Record:
    """Of one activity: sending newsletters."""

    controller: str
    contact: str
    senders: list[str]
    purposes: list[Purpose]
    data_subjects: list[str]
    data: list[str]
    recipients: list[Subprocessor]
    relays: list[str]
    """Hosts of relays that belong to none of the recipients named."""
    storage_country: str
    erasure: list[Erasure]
    server_logs: str
    backups: str
    security: list[str]


def make_record(sources: Sources, promises: Sequence[Promise], words: NullTranslations) -> Record:
    """In the language of the catalogue."""
    _, its = words.gettext, sources.particulars
    return Record(
        controller=its.controller or unsaid(words),
        contact=its.contact or unsaid(words),
        senders=[f"{each.name}, {each.postal_address}" for each in sources.senders],
        purposes=[Purpose(*each) for each in purposes(words)],
        data_subjects=[
            _("People who subscribe, or whose address somebody typed into a form"),
            _("People who ask about their data"),
            _("Operators, who write and send letters"),
        ],
        data=[
            _("Mail address, language and, where given, a name"),
            _("Lists asked for, confirmed and left, with the times"),
            _("Evidence of consent: form, words, network address, browser"),
            _("Letters sent, and what the receiving mail server answered"),
            _("Keyed codes of addresses: limits against abuse, and who must not be written to"),
            _("What operators did, with their names"),
        ],
        recipients=list(sources.subprocessors),
        relays=unnamed_relays(sources),
        storage_country=its.storage_country or unsaid(words),
        erasure=[Erasure(each.name, each.deadline.total_seconds() / 86400, each.sentence(words)) for each in promises],
        server_logs=server_logs(words),
        backups=backups(its, words),
        security=[
            _("Only the address is required, and a letter goes to nobody who has not confirmed"),
            _("Addresses are identified by keyed codes; the keys lie encrypted in the database"),
            _("Links are signed, expire where they can, and stand in no log"),
            _("Connections are encrypted: pages by HTTPS, mail by TLS wherever it leaves the machine"),
            _("What operators do is recorded, and programs may do only what their token allows"),
            _("Deletions run by themselves, and each is recorded"),
        ],
    )


def record_sections(record: Record, words: NullTranslations) -> list[Section]:
    """The same as a document."""
    _ = words.gettext
    where = [_("The database is in this country: %(country)s.") % {"country": record.storage_country}]
    if record.recipients:
        where.append(_("To the countries of the recipients above, each under the safeguard beside it."))
    elif not record.relays:
        where.append(_("No address goes to another country."))
    recipients: list[Block] = []
    if record.recipients:
        recipients.append(helpers(record.recipients, words))
    if record.relays:
        said = _("Our letters go out by the mail servers at: %(hosts)s.") % {"hosts": ", ".join(record.relays)}
        recipients.append(paragraph(said))
    if not recipients:
        recipients.append(paragraph(_("None, apart from the mail servers of the readers.")))
    who = (
        (_("Responsible"), Line(record.controller)),
        (_("Mail about your data"), Line(record.contact)),
        *((_("Sender"), Line(each)) for each in record.senders),
    )
    uses = tuple((each.purpose, each.legal_basis) for each in record.purposes)
    return [
        Section("responsible", _("Who is responsible"), (Facts(who),)),
        Section("purposes", _("What for, and on what legal basis"), (Table((_("Purpose"), _("Legal basis")), uses),)),
        Section("subjects", _("Whose data"), (items(*record.data_subjects),)),
        Section("data", _("Which data"), (items(*record.data),)),
        Section("recipients", _("Recipients"), tuple(recipients)),
        Section("transfers", _("Where, and transfers to other countries"), (items(*where),)),
        Section("erasure", _("When it is deleted"), (items(*_erased(record)),)),
        Section("security", _("How it is protected"), (items(*record.security),)),
    ]


def record_markdown(record: Record, words: NullTranslations, language: str, *, base_url: str, now: datetime) -> str:
    """The whole document, with its heading and the day."""
    as_of = words.gettext("As of %(today)s.") % {"today": long_date(now, language)}
    heading = words.gettext("Record of processing activities: sending newsletters")
    return f"# {heading}\n\n{as_of}\n\n{wrapped(to_markdown(record_sections(record, words), base_url=base_url))}"


def _erased(record: Record) -> list[str]:
    return [*(each.sentence for each in record.erasure), record.server_logs, record.backups]
