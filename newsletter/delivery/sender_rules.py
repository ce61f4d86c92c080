"""What is right and wrong about a sender in DNS: SPF, DKIM, DMARC, names of machines. Pure: over what was looked up.

Large receivers ask for all of it (Gmail, Yahoo and Outlook since 2024 and 2025), and RFC 8058 that the signature covers the way
out with one click.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from newsletter.core.findings import Finding, bad, good, unknown, warn
from newsletter.delivery.dkim import COVERED, published_key
from newsletter.delivery.dmarc import Dmarc, agrees
from newsletter.delivery.signing import KeyShown
from newsletter.delivery.spf import MOST_LOOKUPS, Spf

ONE_CLICK = (b"list-unsubscribe", b"list-unsubscribe-post")


def spf_finding(domain: str, spf: Spf, relays: Mapping[str, Sequence[str]]) -> Finding:
    """`relays`: hosts that our mail goes out by, with their addresses as far as these are in public networks."""
    what = f"SPF of {domain}"
    if not spf.records:
        return bad(what, "There is no record.", _spf_advice(domain, relays))
    if wrong := _spf_error(spf):
        return bad(what, *wrong)
    missing = sorted(host for host, addresses in relays.items() if addresses and not spf.permits(addresses))
    if missing and not spf.is_open_ended:
        return warn(
            what,
            f"It does not name the addresses of {', '.join(missing)}.",
            "If the mail leaves by other machines of the same provider, take the include that the provider names; "
            "else add these addresses.",
        )
    if spf.ending not in ("-", "~"):
        return warn(what, "It does not say what to do about others.", "End it with -all or ~all.")
    return good(what, f"One record that ends with {spf.ending}all" + (", and names the relay." if relays else "."))


def _spf_error(spf: Spf) -> tuple[str, str] | None:
    """What makes receivers take the record for none, or for worse; and what to do."""
    if spf.records > 1:
        return f"There are {spf.records} records: receivers take that for an error.", "Put all into one record."
    if spf.broken:
        return f"Receivers stumble over it: {spf.broken}.", "Correct the record."
    if spf.lookups > MOST_LOOKUPS:
        found = f"It asks DNS more than {MOST_LOOKUPS} times, where receivers give up."
        return found, "Drop includes that are not used, or write their networks out as ip4: and ip6:."
    if spf.ending == "+":
        return "It lets everybody send in this name.", "End it with -all or ~all."
    return None


def _spf_advice(domain: str, relays: Mapping[str, Sequence[str]]) -> str:
    addresses = [address for each in relays.values() for address in each]
    terms = " ".join(f"ip{6 if ':' in each else 4}:{each}" for each in addresses[:4]) or "include:what-your-provider-names"
    return f'Publish a TXT record {domain} with "v=spf1 {terms} -all".'


def dkim_finding(key: KeyShown, records: Sequence[str]) -> Finding:
    """Of a key that signs."""
    what = f"DKIM key {key.record_name}"
    if not records:
        return bad(
            what, "We sign with it, and DNS has no record of it: signatures fail.", "Publish it: newsletter dkim show LIST."
        )
    if len(records) > 1:
        return bad(what, f"DNS has {len(records)} records: which counts is undefined.", "Delete all but the one for this key.")
    if published_key(records[0]) != published_key(key.record):
        return bad(what, "DNS has another key than we sign with.", "Publish the one that newsletter dkim show LIST prints.")
    return good(what, f"DNS has the {key.kind} key that we sign with.")


def no_dkim_finding(domain: str, waiting: Sequence[KeyShown]) -> Finding:
    """Where we do not sign."""
    what = f"DKIM of {domain}"
    if waiting:
        names = ", ".join(each.selector for each in waiting)
        return warn(
            what,
            f"A key is there and signs nothing yet: {names}.",
            f"When DNS shows it: newsletter dkim activate LIST {waiting[0].selector}.",
        )
    return unknown(
        what,
        "We do not sign, so the relay has to; that cannot be seen from here.",
        f"Send yourself a test, and look for DKIM-Signature with d={domain}. Or let us sign: newsletter dkim add LIST.",
    )


def one_click_finding(domain: str, *, we_sign: bool) -> Finding:
    """RFC 8058, section 4: the signature has to cover both headers."""
    what = f"One-click unsubscribing, {domain}"
    if we_sign and all(each in COVERED for each in ONE_CLICK):
        return good(what, "Our signature covers List-Unsubscribe and List-Unsubscribe-Post.")
    return unknown(
        what,
        "The relay signs, if anybody does; what it covers cannot be seen from here.",
        "In a test mail's DKIM-Signature, h= must name list-unsubscribe and list-unsubscribe-post (RFC 8058).",
    )


def dmarc_finding(domain: str, dmarc: Dmarc, signing: Sequence[str]) -> Finding:
    """`signing`: the domains that we sign with."""
    what = f"DMARC of {domain}"
    if not dmarc.at or not dmarc.policy:
        return bad(
            what,
            f"{dmarc.broken[0].upper()}{dmarc.broken[1:]}." if dmarc.broken else "There is no record.",
            f'Publish a TXT record _dmarc.{domain} with "v=DMARC1; p=none; rua=mailto:…"; stricter when its reports are clean.',
        )
    strange = sorted({each for each in signing if not agrees(each, domain, dmarc.organisation)})
    if strange:
        return bad(
            what,
            f"We sign with {', '.join(strange)}, which does not speak for {domain}.",
            f"Make a key for {domain}: newsletter dkim add LIST --domain {domain}.",
        )
    if dmarc.broken:
        return warn(what, f"It counts as p=none, since {dmarc.broken}.", "Correct p= to none, quarantine or reject.")
    if dmarc.policy == "none" and not dmarc.has_reports:
        return warn(
            what,
            "It asks for nothing (p=none), and nobody is told what receivers see.",
            "Add rua=mailto:…, and when its reports are clean set p=quarantine or p=reject.",
        )
    where = "" if dmarc.at == domain else f" at {dmarc.at}"
    return good(what, f"p={dmarc.policy}{where}" + (", with reports." if dmarc.has_reports else "."))


def reverse_finding(
    host: str, names: Mapping[str, Sequence[str]], confirmed: Mapping[str, Sequence[str]], *, is_ours: bool
) -> Finding:
    """Forward-confirmed reverse DNS. `names`: of each address of the host; `confirmed`: addresses of each of those names."""
    what = f"Reverse DNS of {host}"
    if not names:
        return unknown(
            what,
            "It has no address in a public network, so others see another one.",
            "Look up the address that your mail leaves from: it needs a name that leads back to it.",
        )
    wrong = [address for address, its in names.items() if not any(address in confirmed.get(each, ()) for each in its)]
    if not wrong:
        return good(what, ", ".join(f"{address} is {its[0]}, and back" for address, its in names.items()) + ".")
    nameless = [each for each in wrong if not names[each]]
    found = (
        f"{', '.join(nameless)} has no name."
        if nameless
        else f"{', '.join(wrong)} is called {names[wrong[0]][0]}, which does not lead back."
    )
    if is_ours:
        return bad(what, found, "Ask whoever gives you the address to set its name (PTR), and give that name the address.")
    return warn(what, found, "Ask the provider whether the machines that mail leaves by have names that lead back to them.")
