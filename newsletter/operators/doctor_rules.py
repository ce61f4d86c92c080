"""What the doctor makes of what it saw, apart from DNS (see `delivery.sender_rules`). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from newsletter.consent.withdrawal_log import FileShown
from newsletter.core.findings import Finding, bad, good, unknown, warn
from newsletter.delivery.probe import Announced
from newsletter.delivery.relays import Relay
from newsletter.operators.reach import Reached
from newsletter.privacy.outlook import Standing

CLOCK_MAY_DIFFER = timedelta(seconds=2)
CLOCK_MUST_NOT_DIFFER = timedelta(seconds=30)
"""Codes of second factors are of half a minute, signatures of DKIM are refused when they are from the future."""
OLDEST_TLS = ("TLSv1.2", "TLSv1.3")
SMALLEST_MAIL = 1_000_000
"""Octets that a relay ought to take."""

QUIET_LOG = {
    "log_error_verbosity": ("terse",),
    "log_parameter_max_length": ("0",),
    "log_parameter_max_length_on_error": ("0",),
    "log_statement": ("none",),
    "log_min_error_statement": ("panic",),
    "log_min_duration_statement": ("-1",),
}
"""With these no address reaches PostgreSQL's log; values that are right."""
DURABLE = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "remote_write", "remote_apply", "local")}
"""With these nothing is lost that somebody was told."""
SERVER_SETTINGS = (*QUIET_LOG, *DURABLE)


@dataclass(frozen=True)
class Server:
    """The database server as this program sees it. `settings`: those of SERVER_SETTINGS that it lets us see."""

    version: str
    is_superuser: bool
    settings: Mapping[str, str]


def settings_findings(*, missing: Sequence[str], development: bool, secret_is_development: bool) -> list[Finding]:
    found = []
    if missing:
        names = ", ".join(f"NEWSLETTER_{name.upper()}" for name in missing)
        found.append(warn("Settings", f"Not set: {names}.", "Set them: the privacy policy is not whole without them."))
    else:
        found.append(good("Settings", "All that is required is set."))
    if development:
        found.append(good("Secret", "This is a development set-up, with a secret of its own."))
    elif secret_is_development:
        found.append(
            bad(
                "Secret",
                "It is that of the development set-up in this folder.",
                "Make a new one (openssl rand -base64 32), and change to it: newsletter key rewrap --new-secret-file FILE.",
            )
        )
    else:
        found.append(good("Secret", "It is not that of a development set-up in this folder. See that it is in your backup."))
    return found


def server_findings(server: Server) -> list[Finding]:
    if server.is_superuser:
        role = warn(
            "Database role",
            "It is a superuser, which no revoked right binds: evidence could be changed.",
            "Make a role that is none, and let it own the database: see deploy/README.md.",
        )
    else:
        role = good("Database role", "It is no superuser.")
    return [
        good("Database", f"PostgreSQL {server.version} answers."),
        role,
        _set(
            server, DURABLE, "Database durability", "a crash may lose what somebody was told is done", "A crash loses nothing."
        ),
        _set(
            server,
            QUIET_LOG,
            "Database log",
            "addresses may reach PostgreSQL's log",
            "No statement, parameter or row reaches it.",
        ),
    ]


def _set(server: Server, right: Mapping[str, Sequence[str]], what: str, else_: str, said: str) -> Finding:
    wrong = {name: value for name, value in server.settings.items() if name in right and value not in right[name]}
    unseen = [name for name in right if name not in server.settings]
    if wrong:
        found = f"{', '.join(f'{name} is {value}' for name, value in wrong.items())}: {else_}."
        to_do = ", ".join(f"{name} = {right[name][0]}" for name in wrong)
        advice = f"Set {to_do} in postgresql.conf: see deploy/postgresql/newsletter.conf."
        return bad(what, found, advice) if right is DURABLE else warn(what, found, advice)
    if unseen:
        return unknown(what, f"This role may not see {', '.join(unseen)}.")
    return good(what, said)


def clock_finding(ahead: timedelta) -> Finding:
    """`ahead`: how far the database's clock is ahead of this machine's."""
    apart = abs(ahead)
    said = f"The database's is {apart.total_seconds():.1f} s {'ahead of' if ahead > timedelta(0) else 'behind'} this machine's."
    advice = "Let both machines keep time by NTP (timedatectl set-ntp true)."
    if apart > CLOCK_MUST_NOT_DIFFER:
        return bad("Clock", said, advice)
    if apart > CLOCK_MAY_DIFFER:
        return warn("Clock", said, advice)
    return good("Clock", f"Database and machine agree to {max(apart.total_seconds(), 0.1):.1f} s.")


def relay_finding(relay: Relay, announced: Announced) -> Finding:
    what = f"Relay {relay}"
    said = [announced.tls or "not encrypted", "logged in" if announced.is_signed_in else "no login"]
    said.append("PIPELINING" if announced.has("PIPELINING") else "no PIPELINING")
    found = ", ".join(said)
    found = f"{found[0].upper()}{found[1:]}."
    if announced.tls and announced.tls not in OLDEST_TLS:
        return warn(what, found, f"{announced.tls} is out of date: have the relay updated to TLS 1.2 or 1.3.")
    if announced.size is not None and announced.size < SMALLEST_MAIL:
        return warn(what, f"{found} It takes mails of {announced.size:,} octets at most.", "Have that raised to a few MB.")
    if not announced.has("PIPELINING"):
        return warn(what, found, "It works, several times slower: let the relay announce PIPELINING (RFC 2920).")
    return good(what, found)


def reached_finding(base_url: str, reached: Reached) -> Finding:
    what = f"Base address {base_url}"
    if reached.status == 200 and reached.body.strip() == "ok":
        return good(what, "It leads here: /healthz answers.")
    if reached.status is not None:
        return bad(
            what,
            f"/healthz answers with status {reached.status}, and not as ours does.",
            "Let the reverse proxy lead this address to `newsletter serve`, and NEWSLETTER_BASE_URL name it.",
        )
    if not reached.could_ask:
        return unknown(what, f"It could not be tried from here: {reached.reason}.", "Try it from a machine with a network.")
    return bad(
        what,
        f"It cannot be reached from here: {reached.reason}.",
        "Look at DNS, the firewall, the reverse proxy and its certificate, and whether `newsletter serve` runs.",
    )


def promises_finding(standings: Sequence[Standing]) -> Finding:
    overdue = [each for each in standings if each.overdue]
    if overdue:
        names = ", ".join(f"{each.promise} ({each.overdue:,})" for each in overdue)
        return bad("Promises", f"Overdue: {names}.", "See that `newsletter work` runs, and what its log says.")
    if not any(each.next_run for each in standings):
        return warn("Promises", "No worker has ever looked after them.", "Start `newsletter work`.")
    return good("Promises", f"All {len(standings)} are kept.")


def workers_finding(names: Sequence[str]) -> Finding:
    if not names:
        return warn("Worker", "None was heard of lately, so nothing is sent.", "Start `newsletter work`.")
    return good("Worker", f"{len(names)} at work: {', '.join(names[:5])}.")


def withdrawals_finding(shown: FileShown | None, *, stands_still: bool) -> Finding:
    """`shown` None: no file is set up."""
    what = "Withdrawal file"
    if stands_still:
        return bad(
            what,
            "Campaigns stand still: it knows withdrawals that this database does not, as after a restored backup.",
            "Run `newsletter privacy replay`.",
        )
    if shown is None:
        return warn(
            what,
            "There is none: a restored backup would bring back people who have unsubscribed.",
            "Set NEWSLETTER_WITHDRAWAL_LOG to a file on another disk than the database's.",
        )
    if not shown.is_there:
        return good(what, f"{shown.path} is begun with the first withdrawal.")
    return good(what, f"{shown.path} is whole so far: {shown.octets:,} octets in {shown.files} file{'s'[: shown.files != 1]}.")


def subprocessors_finding(unnamed: Sequence[str]) -> Finding:
    if unnamed:
        return bad(
            "Subprocessors",
            f"Mail goes out by {', '.join(unnamed)}, and nobody is named for that.",
            "Name who it is, so that the policy does: newsletter subprocessor add NAME --host HOST.",
        )
    return good("Subprocessors", "Somebody is named for every relay that is not on this machine.")
