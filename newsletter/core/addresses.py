"""Mail addresses: what we accept, how we write to them, and the one normal form that a person's id is made from."""

from __future__ import annotations

import functools
import string
import unicodedata
from dataclasses import dataclass

from dns.resolver import NoResolverConfiguration, Resolver
from email_validator import EmailNotValidError, EmailUndeliverableError, caching_resolver, validate_email
from email_validator.exceptions import EmailSyntaxError

from newsletter.core.errors import InvalidAddress
from newsletter.core.i18n import N_

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
LONGEST = 254
"""Octets of an address in a MAIL or RCPT command (RFC 5321 section 4.5.3.1.3, less the angle brackets)."""
LONGEST_TYPED = 4 * LONGEST
"""Characters that are looked at at all: NFC takes the square of the time for a long run of combining marks."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that can be written to."""

    typed: str
    """As given, less surrounding blanks, in NFC: what mail is sent to."""

    normal: str
    """NFC; of the local part only ASCII letters lowered; the domain as lower-case A-labels."""

    domain: str
    """The domain in lower-case A-labels."""

    @property
    def folded(self) -> str:
        """The normal form without a plus-tag: for limits against abuse alone, since `a+b@` may be somebody else."""
        local, _, domain = self.normal.rpartition("@")
        return f"{local.partition('+')[0] or local}@{domain}"


def parse_address(given: str) -> Address:
    """One bare address. Raises `InvalidAddress` with a sentence for the person who typed it.

    Refused are display names, lists of addresses, quoted local parts, domain literals, control characters and whatever is too
    long. DNS is not asked here.
    """
    bare = given.strip(" \t")
    if not bare:
        raise InvalidAddress(N_("Please enter your email address."), field="email")
    typed = unicodedata.normalize("NFC", bare[: LONGEST_TYPED + 1])
    if len(bare) > LONGEST_TYPED or len(typed.encode("utf-8", "replace")) > LONGEST:
        raise InvalidAddress(N_("This address is too long: an email address has at most 254 characters."), field="email")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in typed):
        raise InvalidAddress(N_("This address contains characters that cannot be seen. Please type it again."), field="email")
    if "\ufffd" in typed:  # What a decoder puts where it could not read: a form that was not sent in UTF-8.
        raise InvalidAddress(N_("This address could not be read. Please type it again."), field="email")
    if "," in typed or ";" in typed or typed.count("@") > 1:
        raise InvalidAddress(N_("Please enter one address, and only the address: name@example.org."), field="email")
    return _checked(typed)


def _checked(typed: str) -> Address:
    try:
        found = validate_email(typed, check_deliverability=False, allow_smtputf8=True, strict=True)
    except EmailSyntaxError:
        raise InvalidAddress(
            N_("This is not a complete email address. It looks like name@example.org."), field="email"
        ) from None
    except EmailNotValidError:
        raise InvalidAddress(N_("Mail cannot be sent to this address. Please check it."), field="email") from None
    domain = (found.ascii_domain or found.domain).lower()
    local = unicodedata.normalize("NFC", found.local_part)
    return Address(
        typed=f"{local}@{found.domain}",
        normal=f"{local.translate(_ASCII_LOWER)}@{domain}",
        domain=domain,
    )


@functools.cache
def _resolver(timeout: int) -> Resolver:
    """One for all: what it was told before it need not ask again."""
    return caching_resolver(timeout=timeout)


def check_deliverable(address: Address, *, timeout: int) -> None:
    """Ask DNS whether the domain takes mail; blocks for `timeout` seconds a question at most, so call it in a thread.

    Raises `InvalidAddress` only when DNS answered that it does not: a DNS that is slow, away or not set up refuses nobody.
    """
    try:
        validate_email(address.typed, dns_resolver=_resolver(timeout), check_deliverability=True)
    except NoResolverConfiguration:
        return
    except EmailUndeliverableError:
        raise InvalidAddress(N_("The part after the @ takes no mail. Please check how it is spelled."), field="email") from None
