"""Seals the secrets of objects and keys with the box's master key, which lies in a file that only the box's own users read.

The master key itself encrypts nothing: a key of its own is derived for each purpose, so that a sealed text of one can never be passed
off as one of another.
"""

from __future__ import annotations

import base64
import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from cloudbox.common.errors import Unavailable

NONCE_BYTES = 12


@cache
def _cipher(purpose: str) -> AESGCM:
    master = base64.urlsafe_b64decode(settings.MASTER_KEY_FILE.read_bytes().strip())
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=None, info=f"cloudbox storage {purpose}".encode()).derive(master))


def seal(purpose: str, secret: bytes, *, about: bytes = b"") -> bytes:
    """`about` is bound to it: it opens only where the same is said again."""
    return seal_with(_cipher(purpose), secret, about=about)


def open_sealed(purpose: str, sealed: bytes, *, about: bytes = b"") -> bytes:
    """Raises Unavailable if this master key did not seal it: that is for the log, no tenant can mend it."""
    return open_with(_cipher(purpose), sealed, about=about)


def seal_with(cipher: AESGCM, secret: bytes, *, about: bytes = b"") -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, secret, about)


def open_with(cipher: AESGCM, sealed: bytes, *, about: bytes = b"") -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except (InvalidTag, ValueError) as error:
        raise Unavailable("The key of this object cannot be opened with this box's master key.") from error
