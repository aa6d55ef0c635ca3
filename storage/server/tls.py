"""TLS for the front: an authority of the box's own, certificates it issues, and contexts that follow the files they were read from."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import logging
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudbox.common.errors import Invalid

log = logging.getLogger("storage.server")
DAYS = 825  # Longer is refused by some clients even for certificates they were told to trust.
DAYS_LEFT_MIN = 30  # With less a certificate is made anew.
AUTHORITY_DAYS = 3653
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate (PEM, with those between it and the root behind it) and its private key (PEM), as files."""

    certificate: Path
    key: Path


def context(pair: Pair) -> ssl.SSLContext:
    """TLS 1.2 and later. Raises Invalid with the reason if the two files are no pair, or cannot be read."""
    made = _context()
    try:
        made.load_cert_chain(pair.certificate, pair.key, password=_no_passphrase)
    except FileNotFoundError as error:
        missing = next((path for path in (pair.certificate, pair.key) if not path.exists()), pair.key)
        raise Invalid(f"There is no file {missing}.") from error
    except PermissionError as error:
        closed = next((path for path in (pair.certificate, pair.key) if not os.access(path, os.R_OK)), pair.key)
        raise Invalid(f"The file {closed} is closed to the account that serves.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise Invalid(f"The certificate {pair.certificate} and the key {pair.key} cannot be used together: {reason}.") from error
    return made


def _context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    return made


def _no_passphrase() -> str:
    raise ValueError("the key is sealed with a passphrase, which nobody could type in here")


class Following:
    """The context of a listener that shows every new client the certificate that the files hold by then.

    Files that are no pair (one of them is just being replaced, say) leave the certificate before them in use, and the log tells why.
    Without any, clients are turned away in the handshake until there is one. Connections go on with what they began with.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.context = _context()
        # Asked in each handshake, whether the client names a host or not.
        self.context.sni_callback = self._choose
        self._current: ssl.SSLContext | None = None
        self._seen: object = None
        self.look()

    def look(self) -> None:
        """See whether the files are others than before."""
        seen = [_mark(path) for path in (self.pair.certificate, self.pair.key)]
        if seen == self._seen:
            return
        try:
            self._current = context(self.pair)
        except Invalid as error:
            log.error("TLS %s: %s", "goes on with the certificate before" if self._current else "cannot be served", error.message)
        else:
            log.log(logging.INFO if self._seen else logging.DEBUG, "TLS is served with a new certificate, from %s", self.pair.certificate)
        self._seen = seen

    async def follow(self, every_seconds: float = LOOK_SECONDS) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            self.look()

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, first: ssl.SSLContext) -> int | None:
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


# --- an authority of our own


def make_authority(pair: Pair, name: str) -> bool:
    """Make an authority that clients can be told to trust, unless there is one that lasts; True if it was made.

    It may sign servers' certificates only, no further authorities. Its key should be readable by nobody who serves.
    """
    there = _read(pair.certificate)
    if there is not None and pair.key.exists() and _days_left(there) > DAYS:
        return False
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = _builder(subject, subject, secret.public_key(), AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(False, False, False, False, False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(secret.public_key()), critical=False)
    _write_pair(pair, secret, builder.sign(secret, hashes.SHA256()))
    return True


def issue(pair: Pair, names: Sequence[str], *, authority: Pair) -> bool:
    """Make a certificate for these host names ("*.example.org" too) and addresses, signed by the authority.

    One that is there stays if it is of this authority, has all the names and at least DAYS_LEFT_MIN days to go. True if it was made.
    """
    root = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    there = _read(pair.certificate)
    if there is not None and pair.key.exists() and _is_good(there, names, root):
        return False
    signer = serialization.load_pem_private_key(authority.key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = (
        _builder(subject, root.subject, secret.public_key(), DAYS)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    _write_pair(pair, secret, builder.sign(signer, hashes.SHA256()))
    return True


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # Not every client's clock is right.
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _is_good(there: x509.Certificate, names: Sequence[str], root: x509.Certificate) -> bool:
    try:
        there.verify_directly_issued_by(root)
        given = set(there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except Exception:  # whatever it is, it is none of ours
        return False
    return _days_left(there) > DAYS_LEFT_MIN and {_name(name) for name in names} <= given


def _days_left(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)).days


def _read(certificate: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return None


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_pair(pair: Pair, secret: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    plain = serialization.NoEncryption()
    _write(pair.key, secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain), 0o600)
    _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all; a file that is there keeps its owner and its mode, since who serves has to read the next key as well."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        try:
            before = path.stat()
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
            mode = before.st_mode & 0o777
        except FileNotFoundError:
            pass
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
