"""TLS for the front: a given certificate, or one made here."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudbox.common.errors import Invalid

DAYS = 825  # Longer is refused by some clients even for certificates they were told to trust.


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later. Raises Invalid with the reason if the two files are no pair."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f"The certificate {certificate} and the key {key} cannot be used together: {error}.") from error
    return made


def self_made(certificate: Path, key: Path, names: Sequence[str]) -> None:
    """Make a key and a certificate for these host names and addresses, if there is none or it is about to end."""
    if certificate.exists() and key.exists() and _is_good(certificate, names):
        return
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    _write(key, secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain), 0o600)
    _write(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _is_good(certificate: Path, names: Sequence[str]) -> bool:
    try:
        there = x509.load_pem_x509_certificate(certificate.read_bytes())
        given = set(there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    left = there.not_valid_after_utc - dt.datetime.now(dt.UTC)
    return left > dt.timedelta(days=30) and {_name(name) for name in names} <= given


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, data: bytes, mode: int) -> None:
    beside = path.with_name(f".{path.name}.new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(fd, "wb") as file:
        file.write(data)
    beside.rename(path)
