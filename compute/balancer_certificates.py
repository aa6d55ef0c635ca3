"""Certificates of load balancers: read and checked as they come in; their keys lie in the tables sealed, and are opened by the worker."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from cloudbox.common import clock
from cloudbox.common.errors import Invalid

TEXT_MAX = 64 * 1024
CHAIN_MAX = 10
RSA_BITS_MIN = 2048


@dataclass(frozen=True)
class Read:
    """`chain` and `key` in PEM, written anew; `names`: whom the first certificate is for."""

    chain: str
    key: str
    names: tuple[str, ...]
    until: dt.datetime


def read(certificate: str, private_key: str) -> Read:
    """Check that they are what they should be and belong together, or say what is wrong."""
    chain = _chain(certificate)
    key = _key(private_key)
    first = chain[0]
    if first.public_key() != key.public_key():
        raise Invalid(
            "The key is not that of the certificate. Take the key that the first certificate was asked for with.", field="private_key"
        )
    if first.not_valid_after_utc <= clock.now():
        raise Invalid(f"The certificate has expired on {first.not_valid_after_utc:%Y-%m-%d}.", field="certificate")
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Read(
        chain="".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in chain),
        key=private.decode(),
        names=_names(first),
        until=first.not_valid_after_utc,
    )


def _chain(text: str) -> list[x509.Certificate]:
    if not text.strip():
        raise Invalid("HTTPS needs a certificate in PEM, with its chain.", field="certificate")
    try:
        if len(text) > TEXT_MAX:
            raise ValueError
        chain = x509.load_pem_x509_certificates(text.encode())
        if len(chain) > CHAIN_MAX:
            raise ValueError
        for each in chain:
            each.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid("This is no certificate in PEM. It begins with -----BEGIN CERTIFICATE-----.", field="certificate") from error
    return chain


def _key(text: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if not text.strip():
        raise Invalid("HTTPS needs the private key of the certificate, in PEM.", field="private_key")
    try:
        if len(text) > TEXT_MAX:
            raise ValueError
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError as error:
        raise Invalid("The key is locked with a passphrase. Unlock it first: openssl pkey -in key.pem", field="private_key") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid("This is no private key in PEM. It begins with -----BEGIN PRIVATE KEY-----.", field="private_key") from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_BITS_MIN:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key
    raise Invalid(f"Take a key of RSA with {RSA_BITS_MIN} bits or more, or one of an elliptic curve.", field="private_key")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(found.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, ValueError):
        names = ()
    if not names:
        names = tuple(str(each.value) for each in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
    return tuple(name[:253] for name in names[:50])


@cache
def _sealer() -> Fernet:
    """Derived from the box's master key, for this purpose only."""
    master = settings.MASTER_KEY_FILE.read_bytes().strip()
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"cloudbox keys of load balancers").derive(master)
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(key: str) -> str:
    return _sealer().encrypt(key.encode()).decode()


def unseal(text: str) -> str:
    return _sealer().decrypt(text.encode()).decode()
