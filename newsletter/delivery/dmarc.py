"""DMARC (RFC 9989, and RFC 7489 before it): what a domain asks of those who get mail in its name."""

from __future__ import annotations

from dataclasses import dataclass

from newsletter.delivery.resolver import Resolver

MOST_LABELS = 7
"""From a longer name the walk up goes on at so many labels (RFC 9989, section 4.10)."""
POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True)
class Dmarc:
    """What counts for a domain; `at` empty: nothing does."""

    at: str = ""
    """Where the record was found: the domain, or one above it."""
    policy: str = ""
    """As it counts for the domain."""
    has_reports: bool = False
    """Whether somebody is told what receivers saw."""
    organisation: str = ""
    """The domain that signatures have to agree with, at least."""
    broken: str = ""


async def look_at_dmarc(domain: str, resolver: Resolver) -> Dmarc:
    """Raises `DnsUnavailable`."""
    found: dict[str, dict[str, str]] = {}
    for name in _walk(domain):
        records = [tags for text in await resolver.texts(f"_dmarc.{name}") if (tags := _tags(text)) is not None]
        if len(records) == 1:  # Of several, none counts.
            found[name] = records[0]
            if records[0].get("psd", "").lower() in ("n", "y"):
                break
    organisation = _organisation(domain, found)
    at = domain if domain in found else organisation if organisation in found else next(reversed(found), "")
    return _judged(domain, at, found[at], organisation) if at else Dmarc(organisation=organisation)


def _walk(domain: str) -> list[str]:
    labels = domain.split(".")
    names = [domain]
    rest = labels[1:] if len(labels) <= MOST_LABELS else labels[-MOST_LABELS:]
    while rest:
        names.append(".".join(rest))
        rest = rest[1:]
    return names


def _organisation(domain: str, found: dict[str, dict[str, str]]) -> str:
    """RFC 9989, section 4.10.2: where one says so, else the highest that has a record."""
    for name, tags in found.items():
        match tags.get("psd", "").lower():
            case "n":
                return name
            case "y" if name != domain:
                above = len(name.split("."))
                return ".".join(domain.split(".")[-above - 1 :])
    return next(reversed(found), domain)


def _judged(domain: str, at: str, tags: dict[str, str], organisation: str) -> Dmarc:
    has_reports = "mailto:" in tags.get("rua", "").lower()
    policy = tags.get("p", "").lower()
    if at != domain:
        policy = tags.get("sp", policy).lower()
    if policy in POLICIES:
        return Dmarc(at, policy, has_reports, organisation)
    if has_reports:  # Then it counts as none (section 4.7).
        return Dmarc(at, "none", has_reports, organisation, f"its p= is {policy or 'missing'}")
    return Dmarc(at, "", has_reports, organisation, f"its p= is {policy or 'missing'}, so receivers pass it over")


def _tags(text: str) -> dict[str, str] | None:
    """None for what is no record of DMARC."""
    parts = [part.partition("=") for part in text.split(";") if part.strip()]
    if not parts or (parts[0][0].strip(), parts[0][2].strip()) != ("v", "DMARC1"):
        return None
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def agrees(signing: str, sender: str, organisation: str) -> bool:
    """Whether a signature by one domain speaks for mail from another (relaxed alignment)."""
    return all(each == organisation or each.endswith(f".{organisation}") for each in (signing, sender))
