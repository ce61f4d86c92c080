"""The privacy policy, from what this installation is set to and what its rooms promised: one source for page, text and mail.

Pure. No figure stands in a sentence here that a rule does not go by: deadlines come from the promises' own sentences and from
the particulars. What each section has to say follows GDPR Art. 13 and 14, in plain words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from gettext import NullTranslations
from urllib.parse import quote

from newsletter.consent.rules import Keeps
from newsletter.core.i18n import N_
from newsletter.privacy.document import Block, Facts, Line, Link, Section, Table, items, paragraph
from newsletter.subscribing.lists import Sender

DATA_PAGE = "/data"
"""Where people ask for the link to their data."""
CONTACT_PAGE = "/privacy/contact"


@dataclass(frozen=True)
class Particulars:
    """What only this installation knows. What is None was not set, and `missing` names it: only in development."""

    controller: str | None
    contact: str | None
    """Mail address."""
    storage_country: str | None
    authority: str | None
    backup_days: int | None
    evidence: Keeps
    logs_withdrawals: bool
    """Whether withdrawals are written to a file outside the database as well."""
    relay_hosts: tuple[str, ...] = ()
    """Of the relays that are not on this machine."""
    missing: tuple[str, ...] = ()
    """Names of settings."""


@dataclass(frozen=True)
class Subprocessor:
    """Who helps us and may see addresses while doing so (GDPR Art. 28)."""

    name: str
    purpose: str
    country: str
    safeguard: str
    hosts: list[str]
    """Host names of theirs that this installation talks to."""


@dataclass(frozen=True)
class Version:
    """What was published under a number."""

    version: int
    published_at: datetime
    notice: str
    """`none` for the first, which replaces nothing; `mailed`; `skipped` for the `reason`."""
    reason: str | None
    languages: list[str]


@dataclass(frozen=True)
class Sources:
    """All that the policy is made from, at one moment."""

    particulars: Particulars
    senders: Sequence[Sender]
    subprocessors: Sequence[Subprocessor]
    promises: Callable[[NullTranslations], Sequence[str]]
    """Each promise's sentence, in a language."""


def sections(sources: Sources, words: NullTranslations) -> list[Section]:
    """The whole policy, in the language of the catalogue."""
    return [make(sources, words) for make in _SECTIONS]


def introduction(words: NullTranslations) -> str:
    return words.gettext(
        "In short: we need your address alone, use it for the letters that you asked for, and delete it when you have "
        "unsubscribed."
    )


def mail_link(address: str) -> Link:
    return Link(address, f"mailto:{quote(address, safe='@')}")


def unsaid(words: NullTranslations) -> str:
    """In place of what was not set."""
    return words.gettext("not stated yet")


def _responsible(sources: Sources, words: NullTranslations) -> Section:
    _, its = words.gettext, sources.particulars
    contact = mail_link(its.contact) if its.contact else None
    responsible = Facts((
        (_("Responsible"), Line(its.controller or unsaid(words))),
        (_("Mail about your data"), Line("" if contact else unsaid(words), contact)),
        (_("Form"), Line("", Link(_("Write to us about your data"), CONTACT_PAGE))),
    ))  # fmt: skip
    senders = [_sender(each, words) for each in sources.senders]
    said = [paragraph(_("The letters come from:"))] if senders else []
    return Section("responsible", _("Who is responsible"), (responsible, *said, *senders))


def _sender(sender: Sender, words: NullTranslations) -> Facts:
    _ = words.gettext
    rows = [(_("Post"), Line(sender.postal_address)), (_("Mail"), Line("", mail_link(sender.contact)))]
    if sender.legal_notice:
        rows.append((_("Legal notice"), Line("", Link(sender.legal_notice, sender.legal_notice))))
    return Facts(tuple(rows), sender.name)


def purposes(words: NullTranslations) -> list[tuple[str, str]]:
    """What personal data is used for, each with its legal basis (GDPR Art. 6)."""
    _ = words.gettext
    return [
        (
            _("Sending you the letters that you asked for"),
            _("Your consent, which you give by confirming (Art. 6(1)(a) GDPR)"),
        ),
        (
            _("Asking you by mail whether it was you who signed up"),
            _("Our and your interest that nobody is signed up by others (Art. 6(1)(f) GDPR)"),
        ),
        (
            _("Proving that you consented"),
            _("Our duty to be able to prove it (Art. 7(1) and Art. 6(1)(c) GDPR)"),
        ),
        (
            _("Keeping forms and mailboxes safe from abuse"),
            _("Our and your interest in safe operation (Art. 6(1)(f) GDPR)"),
        ),
        (
            _("Not writing to you again after you have left"),
            _("Your interest that this stays so, and our duty to respect it (Art. 6(1)(f) and Art. 21(3) GDPR)"),
        ),
        (
            _("Answering what you ask about your data"),
            _("Our duty to answer (Art. 6(1)(c) and Art. 12 to 22 GDPR)"),
        ),
    ]


def _why(sources: Sources, words: NullTranslations) -> Section:  # noqa: ARG001  each section is made from the same
    _ = words.gettext
    return Section(
        "purposes",
        _("What for, and on what legal basis"),
        (
            Table((_("Purpose"), _("Legal basis")), tuple(purposes(words))),
            paragraph(_("A new purpose would need a new consent of yours: we would ask you, and not presume it.")),
        ),
    )


def _what(sources: Sources, words: NullTranslations) -> Section:  # noqa: ARG001
    _ = words.gettext
    return Section(
        "data",
        _("What we know of you, and where from"),
        (
            items(
                _("Only your address is required; without it no letter can reach you. You are obliged to nothing."),
                _("A name, to greet you by, is voluntary. Nothing is ticked beforehand."),
                _(
                    "When you ask for a letter, confirm or unsubscribe, we also record the time, the form or link that was "
                    "used, the words that stood there, your network address and your browser: evidence of what you agreed to."
                ),
                _("When we send you a letter, we record when, and whether the receiving mail server took it."),
                _(
                    "All of it comes from you and your browser, or from whoever typed your address into the form: that is why "
                    "we ask you to confirm. We buy no addresses and collect none elsewhere."
                ),
                _("The answer of the form is the same for every address, so that nobody can find out who is subscribed."),
            ),
        ),
    )


def _sending(sources: Sources, words: NullTranslations) -> Section:  # noqa: ARG001
    _ = words.gettext
    return Section(
        "letters",
        _("While you are subscribed"),
        (
            items(
                _("We ask you to confirm by mail, and send no letter before you have."),
                _("Once you have confirmed, a letter may welcome you with one mail."),
                _("Every mail says how to unsubscribe; the mail that asks you to confirm says how to refuse."),
                _("Your address serves the letters that you asked for, and nothing else. It is never sold, traded or rented."),
                _(
                    "We do not record who opens a letter or follows a link in it: there is no tracking pixel and no link "
                    "that counts."
                ),
                _("These pages set no cookie, run no script and load nothing from other sites."),
                _("Nothing about you is decided by a machine alone, and no profile of you is made (Art. 22 GDPR)."),
                _("Nobody here ever asks you for a password. Readers have none."),
            ),
        ),
    )


def _leaving(sources: Sources, words: NullTranslations) -> Section:  # noqa: ARG001
    _ = words.gettext
    return Section(
        "unsubscribing",
        _("When you unsubscribe"),
        (
            items(
                _(
                    "You may withdraw your consent at any time, by the link in any letter and without a password. What was "
                    "sent before stays lawful (Art. 7(3) GDPR)."
                ),
                _(
                    "It works at once: no further letter is handed over later than 5 seconds afterwards. One already on its "
                    "way may still arrive."
                ),
                _("The page that follows offers to delete your address at once, when you are subscribed to nothing else."),
            ),
        ),
    )


def _keeping(sources: Sources, words: NullTranslations) -> Section:
    _ = words.gettext
    return Section(
        "deletion",
        _("What we delete, and when"),
        (
            items(
                *sources.promises(words),
                server_logs(words),
            ),
            paragraph(
                _(
                    "Deleted means: gone from the database as it can be read and copied. Its files and its write-ahead log "
                    "hold traces until they are overwritten in the course of operation; nobody reads them for anything else."
                )
            ),
            paragraph(backups(sources.particulars, words)),
        ),
    )


def server_logs(words: NullTranslations) -> str:
    return words.gettext("Server logs hold shortened network addresses and no mail address, and are deleted after 7 days.")


def backups(particulars: Particulars, words: NullTranslations) -> str:
    """How long traces stay in them."""
    days = particulars.backup_days
    if days is None:
        return words.gettext("How long backups are kept: %(unsaid)s.") % {"unsaid": unsaid(words)}
    if days == 0:
        return words.gettext("We keep no backups.")
    return words.ngettext(
        "In backups, what was deleted stays until they are overwritten, for %(days)d day at most. They serve nothing but "
        "restoring the database after a loss.",
        "In backups, what was deleted stays until they are overwritten, for %(days)d days at most. They serve nothing but "
        "restoring the database after a loss.",
        days,
    ) % {"days": days}


_PROOF = {
    Keeps.NONE: N_("We keep no proof of your consent once your address is deleted."),
    Keeps.SEALED: N_(
        "As proof that you had consented we keep for a while: that code, the list, the times, and codes of the words that you "
        "agreed to; neither your address nor where you asked from. Nobody can read a name out of it; only with your address, "
        "entered again, can it be found."
    ),
    Keeps.FULL: N_(
        "As proof that you had consented we keep for a while: your address, the list, the times, the words that you agreed to, "
        "and network address and browser as long as they are kept. It is used for nothing but answering doubts about your "
        "consent."
    ),
}


def _staying(sources: Sources, words: NullTranslations) -> Section:
    _, its = words.gettext, sources.particulars
    lines = [
        _(
            "What stays is a code computed from your address with a secret key. From the code alone nobody can tell the "
            "address; it is there so that nobody enters it again by mistake, and so that we write to you no more."
        ),
        _(_PROOF[its.evidence]),
        _("Sums stay, such as how many people a letter went to. They name nobody."),
    ]
    if its.logs_withdrawals:
        lines.append(
            _("The same code stands in a file outside the database, so that a restored backup brings back nobody who has left.")
        )
    return Section("afterwards", _("What stays after deletion"), (items(*lines),))


def unnamed_relays(sources: Sources) -> list[str]:
    """Hosts of relays that belong to no subprocessor: somebody sees addresses whom nobody has named."""
    known = [host for each in sources.subprocessors for host in each.hosts]
    return [
        host for host in sources.particulars.relay_hosts if not any(host == each or host.endswith(f".{each}") for each in known)
    ]


def _helping(sources: Sources, words: NullTranslations) -> Section:
    _, its = words.gettext, sources.particulars
    unnamed = unnamed_relays(sources)
    blocks: list[Block] = []
    if sources.subprocessors:
        blocks += _named(sources, words)
    elif not unnamed:
        blocks.append(paragraph(_("Nobody helps us with it: there is no processor, and nobody else is given your address.")))
        blocks.append(paragraph(_("We transfer your address to no other country.")))
    if unnamed:
        handed = _("Our letters go out by the mail servers at: %(hosts)s.") % {"hosts": ", ".join(unnamed)}
        blocks.append(paragraph(handed))
    where = _("The database is in this country: %(country)s.") % {"country": its.storage_country or unsaid(words)}
    to_you = _("To deliver a letter it is handed to the mail server of your own provider, wherever that is; you chose it.")
    return Section("helpers", _("Who sees your address, and where"), (*blocks, paragraph(where), paragraph(to_you)))


def _named(sources: Sources, words: NullTranslations) -> list[Block]:
    _ = words.gettext
    abroad = _(
        "Your address goes to no other country than those named here, and to one outside the European Economic Area only "
        "under the safeguard that stands beside it (Art. 44 to 49 GDPR)."
    )
    return [
        paragraph(
            _("These help us, by contract and on our instructions alone (Art. 28 GDPR), and may see addresses while they do:")
        ),
        helpers(sources.subprocessors, words),
        paragraph(abroad),
    ]


def helpers(subprocessors: Sequence[Subprocessor], words: NullTranslations) -> Table:
    _ = words.gettext
    headings = (_("Who"), _("For what"), _("Country"), _("Safeguard"))
    return Table(headings, tuple((each.name, each.purpose, each.country, each.safeguard) for each in subprocessors))


def _rights(sources: Sources, words: NullTranslations) -> Section:
    _, its = words.gettext, sources.particulars
    complain = (
        _("You may complain to a supervisory authority (Art. 77 GDPR). Ours is: %(authority)s") % {"authority": its.authority}
        if its.authority
        else _(
            "You may complain to a data protection authority, such as the one where you live or work (Art. 77 GDPR)."
        )
    )  # fmt: skip
    return Section(
        "rights",
        _("Your rights, and how to use them"),
        (
            paragraph(
                _("One page serves all of these. It mails a link to your address, so that nobody but you can use it:"),
                Link(_("What we hold about you"), DATA_PAGE),
            ),
            items(
                _("See what we hold about you (Art. 15 GDPR)."),
                _("Take it along, in a form that programs can read (Art. 20 GDPR)."),
                _("Correct it (Art. 16 GDPR)."),
                _("Have your address deleted (Art. 17 GDPR)."),
                _("Pause: keep your data, and be sent nothing (Art. 18 GDPR)."),
                _("Object, and never be written to again (Art. 21 GDPR)."),
            ),
            paragraph(
                _("If you would rather have a person look at it, write to us. It costs nothing; we answer within a month."),
                Link(_("Write to us about your data"), CONTACT_PAGE),
            ),
            paragraph(complain),
        ),
    )


def _changes(sources: Sources, words: NullTranslations) -> Section:
    _, contact = words.gettext, sources.particulars.contact
    return Section(
        "changes",
        _("Changes and comments"),
        (
            paragraph(
                _(
                    "When this policy changes, it gets a new number, and we tell our readers by mail; where a change does not "
                    "concern them, we record why not. The versions before can be read below."
                )
            ),
            paragraph(
                _("Is something unclear or wrong here? Please tell us:"),
                mail_link(contact) if contact else Link(_("Write to us about your data"), CONTACT_PAGE),
            ),
        ),
    )


_SECTIONS = (
    _responsible, _why, _what, _sending, _leaving, _keeping, _staying, _helping, _rights, _changes,
)  # fmt: skip
