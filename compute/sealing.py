"""Short secrets on their way to the worker: a job's arguments lie in the tables for a month, and a password is none of theirs."""

from __future__ import annotations

import base64
from functools import cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from django.conf import settings


@cache
def _key() -> Fernet:
    """Derived from the box's master key, for this purpose only."""
    master = settings.MASTER_KEY_FILE.read_bytes().strip()
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"cloudbox secrets of jobs").derive(master)
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(secret: str) -> str:
    return _key().encrypt(secret.encode()).decode()


def unseal(text: str) -> str:
    return _key().decrypt(text.encode()).decode()


def rsa_key(public_key: str) -> rsa.RSAPublicKey | None:
    """The key of a line `ssh-rsa …`; None for any other: only RSA keys can be encrypted for."""
    try:
        found = load_ssh_public_key(public_key.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, rsa.RSAPublicKey) else None


def for_owner(public_key: str, secret: str) -> str:
    """Encrypted so that only who has the private key reads it, as Nova gives out a server's password: RSA with PKCS #1 v1.5 padding,
    base64 (https://docs.openstack.org/api-ref/compute/#servers-password-servers-os-server-password). Empty without an RSA key."""
    key = rsa_key(public_key)
    return base64.b64encode(key.encrypt(secret.encode(), padding.PKCS1v15())).decode() if key is not None else ""
