"""The program that `newsletter.delivery.dkim.Signers` runs: signs what comes in, until the input ends.

It imports nothing of ours, so that it is small (23 MB, 9 of which are its own) and quick to start. A job is: length of the key
and number of hashes (two octets each), the key (PKCS#8), the hashes (SHA-256). The answer: length of a signature (two octets),
and the signatures.
"""

from __future__ import annotations

import signal
import struct
import sys
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

KEYS_AT_MOST = 64
"""That are kept ready: opening one takes longer than a signature."""


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Until `jobs` ends."""
    opened: dict[bytes, RSAPrivateKey | Ed25519PrivateKey] = {}
    while len(lengths := jobs.read(4)) == 4:
        key_length, count = struct.unpack("!HH", lengths)
        der = jobs.read(key_length)
        digests = [jobs.read(32) for _ in range(count)]
        if der not in opened:
            if len(opened) >= KEYS_AT_MOST:
                opened.clear()
            opened[der] = _opened(der)
        signatures = [_sign(opened[der], digest) for digest in digests]
        answers.write(struct.pack("!H", len(signatures[0])) + b"".join(signatures))
        answers.flush()


def _opened(der: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    # It was checked when it was added, which takes as long as many signatures.
    key = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey | Ed25519PrivateKey)
    return key


def _sign(key: RSAPrivateKey | Ed25519PrivateKey, digest: bytes) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(digest, PKCS1v15(), Prehashed(SHA256()))
    return key.sign(digest)  # RFC 8463, section 3: PureEdDSA over the hash.


if __name__ == "__main__":
    # Who is asked to stop is our parent, which closes our input when it is done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
