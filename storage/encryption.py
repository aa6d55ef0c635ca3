"""Encryption of objects at rest. Every object has a data key of its own; what differs is who can open that key.

AES256 (SSE-S3): sealed with the box's master key. aws:kms (SSE-KMS): sealed with a named key of the project, which is sealed with the
master key. C (SSE-C): sealed with the key that the client sends with each request, and that is never kept.

Bodies are encrypted with AES-256 in counter mode, so that sizes stay what they are and a range can be read from its middle. Each body,
and each part of an upload, has a nonce of 8 bytes; the counter fills the other 8. The engine's checksums find damage; they do not, as a
GCM tag would, find a change by somebody who can write to the drives.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudbox.common.errors import Unavailable
from storage import vault
from storage.directory import Directory, EncryptionSecret
from storage.errors import CustomerKeyWrong, EncryptionRequired, NoSuchKey

AES256, KMS, CUSTOMER = "AES256", "aws:kms", "C"
KEY_BYTES, NONCE_BYTES = 32, 8
DATA_KEYS = "data keys"  # What the box's master key seals data keys as.


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """A key as a client sent it (SSE-C)."""

    key: bytes
    md5: str

    @classmethod
    def read(cls, algorithm: str | None, key: str | None, md5: str | None) -> CustomerKey | None:
        """From the three headers. Raises EncryptionRequired when they do not make sense together."""
        if algorithm is None and key is None and md5 is None:
            return None
        if algorithm is None or key is None or md5 is None:
            raise EncryptionRequired("Requests with a customer-provided key need its algorithm, the key and the key's MD5.")
        if algorithm != "AES256":
            raise EncryptionRequired("The encryption algorithm of customer-provided keys is AES256.")
        try:
            raw = base64.b64decode(key, validate=True)
        except ValueError as error:
            raise EncryptionRequired("The customer-provided key is not base64.") from error
        if len(raw) != KEY_BYTES:
            raise EncryptionRequired("The customer-provided key must have 256 bits.")
        if base64.b64encode(hashlib.md5(raw, usedforsecurity=False).digest()).decode() != md5:
            raise EncryptionRequired("The MD5 of the customer-provided key is not the one that was sent.")
        return cls(raw, md5)


@dataclass(frozen=True, slots=True)
class Wish:
    """How a new object shall be encrypted; an empty algorithm: not."""

    algorithm: str = ""
    key_name: str = ""
    customer: CustomerKey | None = None
    bucket_key: bool = False

    def __bool__(self) -> bool:
        return bool(self.algorithm)


PLAIN = Wish()


def wish_of(documents: dict[str, Any]) -> Wish:
    """A bucket's default."""
    given = documents.get("encryption")
    if not given:
        return PLAIN
    return Wish(given["algorithm"], given.get("key", ""), bucket_key=bool(given.get("bucket_key")))


async def new_key(directory: Directory, project: str, wish: Wish) -> tuple[bytes, dict[str, Any]]:
    """A data key, and how it is kept with the object. `project` is the one whose named keys count."""
    key = os.urandom(KEY_BYTES)
    kept: dict[str, Any] = {"a": wish.algorithm}
    if wish.algorithm == CUSTOMER:
        assert wish.customer is not None
        sealed = vault.seal_with(AESGCM(wish.customer.key), key)
        kept["m"] = wish.customer.md5
    elif wish.algorithm == KMS:
        named = await _named(directory, project, wish.key_name)
        sealed = vault.seal_with(AESGCM(named.secret), key, about=named.id.bytes)
        kept |= {"id": named.id.hex, "v": named.number, "name": named.name}
        if wish.bucket_key:
            kept["b"] = 1
    else:
        sealed = vault.seal(DATA_KEYS, key)
    kept["k"] = base64.b64encode(sealed).decode()
    return key, kept


async def _named(directory: Directory, project: str, name: str) -> EncryptionSecret:
    """The key that a client calls by its name, or by an ARN that ends with it."""
    if name.startswith("arn:"):
        name = name.rpartition("key/")[2] or name
    secret = await directory.find_encryption_key(project, name or "default")
    if secret is None or not secret.enabled:
        raise NoSuchKey(f"There is no key {name or 'default'} in this project, or it is disabled.")
    return secret


async def open_key(directory: Directory, kept: dict[str, Any], customer: CustomerKey | None) -> bytes:
    """The data key of an object. Raises when the customer's key is missing, wrong, or one was sent for nothing."""
    sealed = base64.b64decode(kept["k"])
    if kept["a"] == CUSTOMER:
        if customer is None:
            raise EncryptionRequired(
                "The object was stored using a form of Server Side Encryption. "
                "The correct parameters must be provided to retrieve the object."
            )
        try:
            return vault.open_with(AESGCM(customer.key), sealed)
        except Unavailable as error:
            raise CustomerKeyWrong("The customer-provided key is not the one this object was encrypted with.") from error
    if customer is not None:
        raise EncryptionRequired("The encryption parameters are not applicable to this object.")
    if kept["a"] == KMS:
        secret = await directory.find_encryption_version(str(UUID(kept["id"])), kept["v"])
        if secret is None or not secret.enabled:
            raise NoSuchKey(f"The key {kept['name']} that this object is encrypted with is disabled or gone.")
        return vault.open_with(AESGCM(secret.secret), sealed, about=secret.id.bytes)
    return vault.open_sealed(DATA_KEYS, sealed)


def check_unneeded(kept: dict[str, Any], customer: CustomerKey | None) -> None:
    """A customer's key for an object that was not encrypted with one is a mistake, and said so."""
    if customer is not None and kept.get("a") != CUSTOMER:
        raise EncryptionRequired("The encryption parameters are not applicable to this object.")


def new_nonce() -> bytes:
    return os.urandom(NONCE_BYTES)


def stream(key: bytes, nonce: bytes, offset: int = 0) -> CipherContext:
    """The key stream from byte `offset` on; counter mode: encrypting and decrypting are the same."""
    counter, skip = divmod(offset, 16)
    context = Cipher(algorithms.AES(key), modes.CTR(nonce + counter.to_bytes(8, "big"))).encryptor()
    if skip:
        context.update(bytes(skip))
    return context


async def through(context: CipherContext, pieces: AsyncIterator[bytes], run: Callable[..., Any]) -> AsyncIterator[bytes]:
    """Pieces, decrypted; large ones in a thread by `run`."""
    async for piece in pieces:
        yield context.update(piece) if len(piece) <= 65536 else await run(context.update, piece)
