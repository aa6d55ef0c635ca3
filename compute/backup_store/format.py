"""Bodies, digests and tables of the format that the package describes: pure, bounded, suspicious of what it reads."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from isal import isal_zlib

from cloudbox.common.errors import Conflict, Forbidden, Invalid

FORMAT, VERSION = "cloudbox-backup", 1
CHUNK_BYTES = 4 * 2**20
DISK_BYTES_MAX = 4096 * 2**30
DIGEST_BYTES, ROW_BYTES = 32, 36
HOLE = bytes(DIGEST_BYTES)
OVERHEAD_BYTES = 1 + 12 + 16 + 1024  # of a body, beyond what it holds: what cannot be compressed is stored as it is
MANIFEST_BYTES_MAX = 1 * 2**20
PASSPHRASE_MIN = 12
# A guess costs 64 MiB and about a fifth of a second.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**16, 8, 1
SCRYPT_N_MAX = 2**18  # A vault from elsewhere may not ask for more.
_LEVEL = 1
_RAW, _ZLIB = b"\x00", b"\x01"


class Damaged(Conflict):
    """Something in a bucket is not what was written there."""


@dataclass(frozen=True)
class Codec:
    """How bodies of one vault are made and read; `key` None: not encrypted."""

    key: bytes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "_digest_key", _derived(self.key, b"cloudbox backup digest") if self.key else None)
        object.__setattr__(self, "_cipher", AESGCM(_derived(self.key, b"cloudbox backup body")) if self.key else None)

    def __repr__(self) -> str:
        return f"Codec(encrypted={self.key is not None})"

    def digest(self, data: bytes) -> bytes:
        key: bytes | None = self._digest_key  # type: ignore[attr-defined]
        return hmac.digest(key, data, "sha256") if key else hashlib.sha256(data).digest()

    def seal(self, data: bytes, name: str) -> bytes:
        packed = isal_zlib.compress(data, _LEVEL)
        body = _ZLIB + packed if len(packed) < len(data) else _RAW + data
        cipher: AESGCM | None = self._cipher  # type: ignore[attr-defined]
        if cipher is None:
            return body
        nonce = os.urandom(12)
        return nonce + cipher.encrypt(nonce, body, name.encode())

    def open(self, body: bytes, name: str, *, limit: int) -> bytes:
        """What was sealed under this name, of `limit` bytes at most; Damaged when it is anything else."""
        cipher: AESGCM | None = self._cipher  # type: ignore[attr-defined]
        if cipher is not None:
            try:
                body = cipher.decrypt(body[:12], body[12:], name.encode())
            except (InvalidTag, ValueError) as error:
                raise Damaged(f"{name} in the bucket was changed or damaged: its seal is broken.", resource=name) from error
        data = _unpacked(body, name, limit)
        if len(data) > limit:
            raise Damaged(f"{name} in the bucket is longer than it may be.", resource=name)
        return data


def _unpacked(body: bytes, name: str, limit: int) -> bytes:
    if body[:1] == _RAW:
        return body[1:]
    if body[:1] == _ZLIB:
        # Never more than was asked for: a few bytes may claim to be gigabytes.
        unpack = zlib.decompressobj()
        try:
            data = unpack.decompress(body[1:], limit + 1)
        except zlib.error as error:
            raise Damaged(f"{name} in the bucket was changed or damaged: it does not unpack.", resource=name) from error
        if len(data) <= limit and (not unpack.eof or unpack.unused_data):
            raise Damaged(f"{name} in the bucket is cut off, or has something behind its end.", resource=name)
        return data
    raise Damaged(f"{name} in the bucket is of an unknown kind.", resource=name)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=purpose).derive(key)


class Table:
    """Which chunk lies where on a disk: 36 bytes for each 4 MiB, whatever they hold."""

    def __init__(self, size_bytes: int, rows: bytes | None = None) -> None:
        self.size_bytes = size_bytes
        self.count = -(-size_bytes // CHUNK_BYTES)
        if rows is not None and len(rows) != self.count * ROW_BYTES:
            raise Damaged("The table of the backup does not fit to its disk.")
        self.rows = bytearray(self.count * ROW_BYTES) if rows is None else bytearray(rows)

    def __len__(self) -> int:
        return self.count

    def digest(self, index: int) -> bytes:
        return bytes(self.rows[index * ROW_BYTES : index * ROW_BYTES + DIGEST_BYTES])

    def stored(self, index: int) -> int:
        return int.from_bytes(self.rows[index * ROW_BYTES + DIGEST_BYTES : (index + 1) * ROW_BYTES])

    def set(self, index: int, digest: bytes, stored: int) -> None:
        self.rows[index * ROW_BYTES : (index + 1) * ROW_BYTES] = digest + stored.to_bytes(4)

    def length(self, index: int) -> int:
        """How many bytes of the disk the chunk has."""
        return min(CHUNK_BYTES, self.size_bytes - index * CHUNK_BYTES)

    def filled(self) -> Iterator[tuple[int, bytes]]:
        """Places and digests of all that is no hole."""
        return ((index, digest) for index in range(self.count) if (digest := self.digest(index)) != HOLE)

    def stored_bytes(self) -> int:
        """What the chunks take, each counted once."""
        seen = {digest: self.stored(index) for index, digest in self.filled()}
        return sum(seen.values())


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a backup says of itself. `facts`: of the instance, if it is its root disk's."""

    backup_id: UUID
    disk_id: UUID
    disk: str
    group: UUID | None
    name: str
    source_name: str
    description: str
    taken_at: str  # ISO 8601, UTC
    size_bytes: int
    is_consistent: bool | None
    is_full: bool
    base: UUID | None
    read_bytes: int
    new_bytes: int
    stored_bytes: int
    table_sha256: str
    facts: dict[str, Any]

    def text(self) -> bytes:
        found = {"format": FORMAT, "version": VERSION, "chunk_bytes": CHUNK_BYTES, **self.__dict__}
        return json.dumps(found, default=str, indent=1, sort_keys=True).encode()


def manifest_of(text: bytes) -> Manifest:
    """Raises Damaged for whatever is not a manifest of this version."""
    try:
        found = json.loads(text)
        if (found.pop("format"), found.pop("version"), found.pop("chunk_bytes")) != (FORMAT, VERSION, CHUNK_BYTES):
            raise ValueError("another format or version")
        for name in ("backup_id", "disk_id"):
            found[name] = UUID(found[name])
        for name in ("group", "base"):
            found[name] = UUID(found[name]) if found[name] else None
        for name in ("size_bytes", "read_bytes", "new_bytes", "stored_bytes"):
            if not isinstance(found[name], int) or not 0 <= found[name] <= DISK_BYTES_MAX:
                raise ValueError(name)
        for name in ("disk", "name", "source_name", "description", "taken_at", "table_sha256"):
            if not isinstance(found[name], str):
                raise ValueError(name)
        if found["disk"] not in ("volume", "root") or not isinstance(found["facts"], dict) or not found["size_bytes"]:
            raise ValueError("disk")
        return Manifest(**found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Damaged("The manifest of the backup was changed, damaged, or written by a newer Cloudbox.") from error


def vault_text(vault_id: UUID, key: bytes | None, passphrase: str) -> bytes:
    """What vault.json says."""
    found: dict[str, Any] = {"format": FORMAT, "version": VERSION, "vault": str(vault_id), "chunk_bytes": CHUNK_BYTES, "encryption": None}
    if key is not None:
        salt, nonce = os.urandom(16), os.urandom(12)
        wrapped = AESGCM(_scrypt(passphrase, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)).encrypt(nonce, key, vault_id.bytes)
        found["encryption"] = {
            "cipher": "AES-256-GCM",
            "kdf": "scrypt",
            "n": SCRYPT_N,
            "r": SCRYPT_R,
            "p": SCRYPT_P,
            "salt": base64.b64encode(salt).decode(),
            "nonce": base64.b64encode(nonce).decode(),
            "key": base64.b64encode(wrapped).decode(),
        }
    return json.dumps(found, indent=1).encode()


def vault_key(text: bytes, passphrase: str) -> tuple[UUID, bytes | None]:
    """The id of a vault and its key. Forbidden: it is not this passphrase."""
    try:
        found = json.loads(text)
        if (found["format"], found["version"], found["chunk_bytes"]) != (FORMAT, VERSION, CHUNK_BYTES):
            raise ValueError("another format or version")
        id, wrap = UUID(found["vault"]), found["encryption"]
        if wrap is None:
            return id, None
        n, r, p = int(wrap["n"]), int(wrap["r"]), int(wrap["p"])
        if not (2**14 <= n <= SCRYPT_N_MAX and n & (n - 1) == 0 and r == 8 and 1 <= p <= 4):
            raise ValueError("scrypt")
        salt, nonce, wrapped = (base64.b64decode(wrap[name]) for name in ("salt", "nonce", "key"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged("What lies there as vault.json was changed, damaged, or written by a newer Cloudbox.") from error
    if not passphrase:
        raise Invalid("This vault is encrypted. Give its passphrase.", field="passphrase")
    try:
        return id, AESGCM(_scrypt(passphrase, salt, n, r, p)).decrypt(nonce, wrapped, id.bytes)
    except (InvalidTag, ValueError) as error:
        raise Forbidden("This is not the passphrase of the vault.", field="passphrase") from error


def _scrypt(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode())
