"""Signatures over mails: DKIM (RFC 6376) with RSA (RFC 8301) and Ed25519 (RFC 8463), always relaxed/relaxed.

Two steps, since only the second is dear: `prepare` makes the header field and the one hash that is to be signed (some
microseconds, pure), `Signers` puts the private key's operation on it (RSA-2048: half a millisecond) in processes of their own,
`signed` joins the two. None of it reads a mail's body: whoever made the body has its hash.

Processes, since a loop that is busy starves threads: see `Signers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import struct
import sys
from asyncio.subprocess import PIPE, Process
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from newsletter.core.errors import InvalidInput, NewsletterError

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

KINDS = ("rsa", "ed25519")
"""In the order that signatures stand in a mail."""

_SHORTEST_RSA = 2048
"""Bits. RFC 8301 allows 1024; receivers have begun to ignore those."""

_LINE = 77
"""Octets of a line of our header field."""

COVERED = (
    b"from",
    b"reply-to",
    b"to",
    b"subject",
    b"date",
    b"message-id",
    b"mime-version",
    b"content-type",
    b"auto-submitted",
    b"list-id",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"list-help",
    b"list-archive",
    b"feedback-id",
    b"cfbl-address",
    b"cfbl-feedback-id",
)
"""What is signed where a mail has it: what a reader sees or a program acts on (RFC 6376, section 5.4; RFC 8058, section 4;
RFC 9477, section 3.1)."""

_OVERSIGNED = frozenset({b"from", b"list-unsubscribe", b"list-unsubscribe-post"})
"""Listed once more than they occur, so that adding another one breaks the signature (RFC 6376, section 8.15). Where a mail has
no way out in its head none is listed: relays of some providers add one, and an unsigned one counts for nothing (RFC 8058)."""


class SigningFailed(NewsletterError):
    """No signature could be had: nothing was handed over, no reader is to blame."""


@dataclass(frozen=True)
class DkimKey:
    """A private key and where its public half is published: in the TXT record `selector._domainkey.domain`."""

    domain: str
    """As A-labels."""
    selector: str
    private_key: PrivateKey = field(repr=False)

    @property
    def kind(self) -> str:
        return "rsa" if isinstance(self.private_key, RSAPrivateKey) else "ed25519"

    @property
    def record_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @functools.cached_property
    def der(self) -> bytes:
        """The private key as PKCS#8."""
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    @functools.cached_property
    def public(self) -> str:
        """The public key as a DNS record holds it: SubjectPublicKeyInfo for RSA, the bare 32 octets for Ed25519 (RFC 8463)."""
        public = self.private_key.public_key()
        if self.kind == "rsa":
            return b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
        return b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def generate_key(kind: str) -> bytes:
    """A fresh private key (`rsa`: 2048 bits, or `ed25519`) as PKCS#8 in PEM."""
    private_key = generate_private_key(65537, _SHORTEST_RSA) if kind == "rsa" else Ed25519PrivateKey.generate()
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_private_key(pem: bytes) -> PrivateKey:
    """From PEM, PKCS#8 or PKCS#1. Raises `InvalidInput` for whatever cannot sign here."""
    try:
        private_key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise InvalidInput(
            "This private key is locked by a password: take it off (openssl pkey -in locked.pem -out key.pem).", field="key"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            "This is not a private key in PEM: make one (openssl genrsa -out key.pem 2048), or leave --key out.", field="key"
        ) from None
    return _fitting(private_key)


def open_private_key(der: bytes) -> PrivateKey:
    """From what `DkimKey.der` gave."""
    # Checked when it was added, and kept authentic since; checking takes as long as many signatures.
    return _fitting(load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True))


def _fitting(private_key: object) -> PrivateKey:
    if isinstance(private_key, Ed25519PrivateKey):
        return private_key
    if isinstance(private_key, RSAPrivateKey):
        if private_key.key_size >= _SHORTEST_RSA:
            return private_key
        raise InvalidInput(
            f"This RSA key has {private_key.key_size} bits: receivers ask for {_SHORTEST_RSA} or more. Make a longer one"
            " (openssl genrsa -out key.pem 2048), or leave --key out.",
            field="key",
        )
    raise InvalidInput(
        "DKIM knows RSA and Ed25519 keys only: make one (openssl genrsa -out key.pem 2048), or leave --key out.", field="key"
    )


def dns_record(key: DkimKey) -> str:
    """The value of the TXT record `key.record_name`; for RSA longer than the 255 octets that one of its strings may have."""
    return f"v=DKIM1; k={key.kind}; p={key.public}"


def published_key(record: str) -> str | None:
    """The public key that a TXT record gives to those who verify our mails.

    None when it is no DKIM record, when it was revoked (`p=` is empty), or when it is for other hashes or another service.
    """
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, sign, value = part.partition("=")
        if sign:
            tags[name.strip()] = "".join(value.split())
    fits = (
        tags.get("v", "DKIM1") == "DKIM1"
        and "sha256" in tags.get("h", "sha256").split(":")
        and {"*", "email"} & set(tags.get("s", "*").split(":"))
    )
    return tags.get("p") or None if fits else None


@dataclass(frozen=True, slots=True)
class Unsigned:
    """All but the signature."""

    field: bytes
    """The DKIM-Signature header, folded, up to and including `b=`."""
    digest: bytes
    """SHA-256 of the canonical headers and of this one, which is what is signed."""


def prepare(head: bytes, body_digest: bytes, key: DkimKey, at: datetime) -> Unsigned:
    """What is to be signed of a mail.

    `head`: the header block, lines ending in CRLF, without the empty line after it. `body_digest`: SHA-256 of the body in the
    relaxed canonical form (RFC 6376, section 3.4.4).
    """
    names, values = _fields(head)
    form = _form(key.kind, key.domain, key.selector, names)
    moment, body_hash = str(int(at.timestamp())).encode(), b64encode(body_digest)
    # Section 3.4.2: unfolded, each run of blanks one blank, none at the ends.
    canonical = [b"%s:%s\r\n" % (name, b" ".join(values[place].split())) for name, place in form.signed]
    canonical.append(b"%st=%s; bh=%s; b=" % (form.canonical, moment, body_hash))
    return Unsigned(
        field=b"%s\r\n t=%s;\r\n bh=%s;\r\n b=" % (form.folded, moment, body_hash),
        digest=sha256(b"".join(canonical)).digest(),
    )


def signed(unsigned: Unsigned, signature: bytes) -> bytes:
    """The header field, folded, CRLF at its end; goes before everything else in the head."""
    text = b64encode(signature)
    first = _LINE - len(" b=")
    lines = [text[:first], *(text[start : start + _LINE - 1] for start in range(first, len(text), _LINE - 1))]
    return unsigned.field + b"\r\n ".join(lines) + b"\r\n"


def _fields(head: bytes) -> tuple[tuple[bytes, ...], list[bytes]]:
    """Names, as they are written, and values, unfolded."""
    lines = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t").removesuffix(b"\r\n").split(b"\r\n")
    parts = [line.partition(b":") for line in lines]
    breaks = head.count(b"\r\n")
    # Vertical tabs and form feeds are blanks to Python, not to the canonical form.
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\x0b" in head or b"\x0c" in head:
        raise InvalidInput("A head has line breaks or other control characters inside a line: it cannot be signed.")
    return tuple(name for name, _, _ in parts), [value for _, _, value in parts]


@dataclass(frozen=True, slots=True)
class _Form:
    """What is alike in all mails that have the same headers in the same order."""

    signed: tuple[tuple[bytes, int], ...]
    """Canonical name and place of each header that is signed, in the order in which they are."""
    folded: bytes
    """Our own header field as it is sent, to be followed by `t=`."""
    canonical: bytes
    """The same in its canonical form."""


@functools.lru_cache(maxsize=256)
def _form(kind: str, domain: str, selector: str, names: tuple[bytes, ...]) -> _Form:
    places: dict[bytes, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name.rstrip(b" \t").lower(), []).append(place)
    if b"from" not in places:
        raise InvalidInput("A mail without From cannot be signed (RFC 6376, section 5.4).", field="From")
    there = [name for name in COVERED if name in places]
    # Of headers with one name the last one is signed first (section 5.4.2); a name listed once more then stands for nothing.
    order = tuple((name, place) for name in there for place in reversed(places[name]))
    listed = [name.decode() for name in there for _ in range(len(places[name]) + (name in _OVERSIGNED))]
    tags = [" v=1;", f" a={kind}-sha256;", " c=relaxed/relaxed;", f" d={domain};", f" s={selector};"]
    folded = _folded("DKIM-Signature:", [*tags, f" h={listed[0]}:", *(f"{name}:" for name in listed[1:-1]), f"{listed[-1]};"])
    relaxed = folded.replace("\r\n", "").replace("DKIM-Signature: ", "dkim-signature:")
    return _Form(order, folded.encode(), relaxed.encode() + b" ")


def _folded(start: str, words: Iterable[str]) -> str:
    """Words in as few lines as they fit in; one that is longer than a line has one for itself."""
    lines = [start]
    for word in words:
        if len(lines[-1]) + len(word) <= _LINE:
            lines[-1] += word
        else:
            lines.append(f" {word.lstrip()}")
    return "\r\n".join(lines)


_ANSWER_WITHIN = 30.0
"""Seconds after which a process is given up: a slice takes some hundredths."""
_CLOSE_WITHIN = 5.0
_PROGRAM = Path(__file__).with_name("dkim_process.py")


class _Slot:
    """Room for one process, which is started when it is first needed."""

    process: Process | None = None


class Signers:
    """At most `count` processes that sign; each is started when it is first needed and then stays. No threads are in between.

    Measured (two cores, RSA-2048): `cryptography` 50 gives up the GIL while it signs, but a thread that wants it back starves
    beside a loop that is always busy. Then two threads gave anything from 8 to 870 signatures a second, and two workers of a
    ProcessPoolExecutor, which has threads in this process, 0 to 110; with pipes that the loop itself reads it was 1,860.

    Keys go to a process with each job, over its standard input: never by arguments or environment, never into a log. It ends
    with its input, so that it does not outlive us.
    """

    def __init__(self, count: int) -> None:
        # The last used first: it is warm, and the others may never be needed.
        self._slots: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        self._all = [_Slot() for _ in range(count)]
        for slot in self._all:
            self._slots.put_nowait(slot)
        self._closed = False

    async def sign(self, unsigned: Sequence[Unsigned], key: DkimKey) -> list[bytes]:
        """The signatures, in their order, made by one process. Raises `SigningFailed` when two in a row died of it."""
        if not unsigned:
            return []
        request = struct.pack("!HH", len(key.der), len(unsigned)) + key.der + b"".join(mail.digest for mail in unsigned)
        slot = await self._slots.get()
        try:
            answer = await self._answer(slot, request, len(unsigned)) or await self._answer(slot, request, len(unsigned))
        finally:
            if self._closed:  # It may have been started since.
                await _end(slot)
            self._slots.put_nowait(slot)
        if self._closed:
            raise SigningFailed("Mails are no longer signed here: this program is ending.")
        if answer is None:
            raise SigningFailed(
                "The process that signs mails ended twice in a row: look in the log for what it said,"
                " and whether the machine has memory left."
            )
        size = len(answer) // len(unsigned)
        return [answer[start : start + size] for start in range(0, len(answer), size)]

    async def close(self) -> None:
        """End the processes; what is being signed fails."""
        self._closed = True
        await asyncio.gather(*map(_end, self._all))

    async def _answer(self, slot: _Slot, request: bytes, count: int) -> bytes | None:
        """None when the process died. Cancelled, this ends the process too: its answer would be the next job's."""
        if self._closed:
            return None
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                process = slot.process = slot.process or await asyncio.create_subprocess_exec(
                    sys.executable, "-P", str(_PROGRAM), stdin=PIPE, stdout=PIPE, start_new_session=True
                )
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(request)
                await process.stdin.drain()
                (size,) = struct.unpack("!H", await process.stdout.readexactly(2))
                return await process.stdout.readexactly(size * count)
        except (OSError, EOFError):  # A pipe that broke, an answer that ended, TimeoutError, or no room for another process.
            await _end(slot, kill=True)
            return None
        except asyncio.CancelledError:
            await _end(slot, kill=True)
            raise


async def _end(slot: _Slot, *, kill: bool = False) -> None:
    """Close its input, of which it ends; or at once, as one that does not."""
    process, slot.process = slot.process, None
    if process is None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(0 if kill else _CLOSE_WITHIN):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
