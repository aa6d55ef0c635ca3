"""Key pairs: made here (the private half is told once and not kept) or imported."""

from __future__ import annotations

import base64
import hashlib
from uuid import UUID

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events
from cloudbox.common.errors import AlreadyExists, Invalid, NotFound
from compute.models import Keypair
from identity import quotas
from identity.context import Context
from identity.names import clean_name

RSA_BITS = 3072
RSA_BITS_MIN = 2048
PUBLIC_KEY_LENGTH_MAX = 4096


def list(ctx: Context) -> QuerySet[Keypair]:
    ctx.require("keypairs.list")
    return Keypair.objects.filter(project=ctx.project).select_related("user").order_by("name")


def get(ctx: Context, id: UUID) -> Keypair:
    keypair = list(ctx).filter(id=id).first()
    if keypair is None:
        raise NotFound(f"There is no key pair {id}.", field="keypair_id")
    return keypair


def create(ctx: Context, *, name: str, kind: str = "ed25519") -> tuple[Keypair, str]:
    """A new pair, and its private key in OpenSSH's format."""
    ctx.require("keypairs.manage")
    private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if kind == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
    elif kind == "rsa":
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    else:
        raise Invalid("A key is of the kind ed25519 or rsa.", field="kind")
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    keypair = _store(ctx, name, kind, f"{public} {clean_name(name)}", "create")
    return keypair, private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def import_key(ctx: Context, *, name: str, public_key: str) -> Keypair:
    """Bring a public key: the one line of an `id_….pub` file."""
    ctx.require("keypairs.manage")
    line = public_key.strip()
    if "PRIVATE KEY" in line:
        raise Invalid("That is a private key. Keep it to yourself and paste the .pub file.", field="public_key")
    if "\n" in line or len(line) > PUBLIC_KEY_LENGTH_MAX or not line.isprintable():
        raise Invalid("Paste one public key, on one line.", field="public_key")
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid("That is not a public SSH key. It begins with ssh-ed25519 or ssh-rsa.", field="public_key") from error
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise Invalid(f"This RSA key has {key.key_size} bits; {RSA_BITS_MIN} is the least.", field="public_key")
        return _store(ctx, name, "rsa", line, "import")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _store(ctx, name, "ed25519", line, "import")
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _store(ctx, name, "ecdsa", line, "import")
    raise Invalid("Cloudbox takes ed25519, ECDSA and RSA keys.", field="public_key")


def _store(ctx: Context, name: str, kind: str, public_key: str, verb: str) -> Keypair:
    name = clean_name(name)
    try:
        with transaction.atomic():
            quotas.charge(ctx.project_id, {"keypairs": 1})
            keypair = Keypair.objects.create(
                project=ctx.needed_project,
                user=ctx.needed_user,
                name=name,
                kind=kind,
                public_key=public_key,
                fingerprint=fingerprint(public_key),
            )
            events.publish(ctx.actor, verb, "keypair", keypair)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a key pair {name} in this project.", field="name") from error
    return keypair


def fingerprint(public_key: str) -> str:
    """As `ssh-keygen -l` shows it."""
    blob = base64.b64decode(public_key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def delete(ctx: Context, id: UUID) -> None:
    """Instances that have it already keep it."""
    ctx.require("keypairs.manage")
    with transaction.atomic():
        keypair = get(ctx, id)
        events.publish(ctx.actor, "delete", "keypair", keypair)
        keypair.delete()
        quotas.release(ctx.project_id, {"keypairs": 1})
