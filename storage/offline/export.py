"""Writes objects out as files, with a manifest that says what each of them is.

    DIR/manifest.jsonl      a line per version: what `dump` says of it, its file, the SHA-256 of what was written; or why it could not be
    DIR/buckets/<bucket>/…  an object's name is its path

A name can be anything, a path cannot. What a file system would not take, or take for something else, is written as % and two hex digits
(so is % itself); an empty piece of a name is a lone %, a piece that is too long is cut and ends with %~ and a digest of the whole, a
folder that has the name of an object gets %d behind it, and a version that is not the latest has %v and its id behind its name. None of
these can be met in a name, whose own % are all written as %25; so no two versions share a file, and none leaves the folder.

Objects are decrypted if the keys can be had: the box's master key, and for named keys their sealed copies in names.json or PostgreSQL.
What was encrypted with a key of the client's (SSE-C) is written as it lies there, and the manifest says so.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudbox.common.errors import CloudError
from storage import encryption, vault
from storage.engine import Version
from storage.objects import part_facts
from storage.offline.dump import chosen, version_facts
from storage.offline.names import Names
from storage.offline.opening import Opened
from storage.offline.walking import versions
from storage.properties import Properties, unpack

PIECE_BYTES = 4 << 20
COMPONENT_MAX_BYTES = 200  # File systems take 255; the rest is for what may come behind.
# Refused by Windows and by shells' good manners, beside what no file system takes.
_ESCAPED = frozenset(b'%/\\:*?"<>|') | frozenset(range(32)) | {127}


@dataclass(slots=True)
class Exported:
    """How much was written. `failed` could not be read or decrypted; the manifest says why."""

    files: int = 0
    bytes: int = 0
    failed: int = 0
    encrypted: int = 0  # Written as they lie there, since only the client has the key.


class CannotDecrypt(Exception):
    """A key is missing: what was to be done is in the sentence."""


def export(
    store: Opened,
    names: Names,
    target: Path,
    *,
    bucket: str = "",
    prefix: bytes = b"",
    all_versions: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Into a folder that must be new or empty. Raises FileExistsError if it is not, OSError if it cannot be written."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty. Name a new folder.")
    done = Exported()
    folders: dict[str, UUID] = {}
    with (target / "manifest.jsonl").open("x", encoding="utf-8") as manifest:
        for id in chosen(store, names, bucket):
            folder = component(names.of(id).encode())
            if folders.setdefault(folder, id) != id:  # Swift's names are unique in a project only.
                folder = f"{folder}%~{id}"
            for version in versions(store.index, id, prefix=prefix):
                if version.delete_marker or (not version.latest and not all_versions):
                    continue
                line = _one(store, names, target, f"buckets/{folder}", version, done)
                manifest.write(json.dumps(line, ensure_ascii=False) + "\n")
                say(f"{done.files:,} files, {done.bytes:,} bytes")
        manifest.flush()
        os.fsync(manifest.fileno())
    return done


def _one(store: Opened, names: Names, target: Path, folder: str, version: Version, done: Exported) -> dict[str, Any]:
    facts = version_facts(names, version)
    path = target / folder
    digest = hashlib.sha256()
    try:
        path.mkdir(parents=True, exist_ok=True)
        path = _place(path, version)
        with path.open("xb") as file:
            for piece in _body(store, names, version, unpack(version.meta)):
                digest.update(piece)
                file.write(piece)
            size = file.tell()
            _close(file, version)
        if size != version.size:
            raise OSError(f"{size} of {version.size} bytes could be read")
    except (CloudError, CannotDecrypt, OSError) as error:
        if path.is_file():
            path.unlink()
        done.failed += 1
        return facts | {"error": getattr(error, "message", "") or str(error)}
    done.files += 1
    done.bytes += size
    if facts.get("encryption") == encryption.CUSTOMER:
        done.encrypted += 1
        facts["encrypted"] = True
    return facts | {"file": path.relative_to(target).as_posix(), "sha256": digest.hexdigest()}


def _close(file: BinaryIO, version: Version) -> None:
    """With the object's time, as far as a file can have it."""
    file.flush()
    os.utime(file.fileno(), ns=(version.modified_ns, version.modified_ns))


# --- names


def component(name: bytes) -> str:
    """A piece of a name, as a file's name."""
    if not name:
        return "%"
    if name in (b".", b".."):
        return name.decode().replace(".", "%2E")
    try:
        name.decode()
        high = False
    except UnicodeDecodeError:
        high = True
    escaped = b"".join(b"%%%02X" % byte if byte in _ESCAPED or (high and byte > 126) else bytes([byte]) for byte in name)
    if len(escaped) <= COMPONENT_MAX_BYTES:
        return escaped.decode()
    cut = escaped[: COMPONENT_MAX_BYTES - 64].decode(errors="ignore").rstrip("%")
    return f"{cut}%~{hashlib.sha256(name).hexdigest()[:32]}"


def _place(folder: Path, version: Version) -> Path:
    """The path of a new file, below folders that are made. Names come in order, so an object comes before those in its "folder"."""
    *above, last = version.name.split(b"/")
    at = folder
    for piece in above:
        at = at / component(piece)
        if at.is_file():
            at = at.with_name(at.name + "%d")
        at.mkdir(exist_ok=True)
    name = component(last)
    if not version.latest:
        return at / f"{name}%v{version.id}"
    return at / name if not (at / name).is_dir() else at / f"{name}%f"


# --- bodies


def _body(store: Opened, names: Names, version: Version, properties: Properties) -> Iterator[bytes]:
    """The bytes of a version, decrypted if that can be."""
    kept = properties.encryption
    if not kept or kept["a"] == encryption.CUSTOMER:
        yield from _pieces(store, version, 0, version.size)
        return
    key = _key(names, kept)
    if not version.manifest:
        context = encryption.stream(key, bytes.fromhex(kept["n"]))
        for piece in _pieces(store, version, 0, version.size):
            yield context.update(piece)
        return
    at = 0
    for part in store.reader.manifest(version):
        context = encryption.stream(key, part_facts(part.facts).nonce)
        for piece in _pieces(store, version, at, part.size):
            yield context.update(piece)
        at += part.size


def _pieces(store: Opened, version: Version, start: int, length: int) -> Iterator[bytes]:
    for at in range(start, start + length, PIECE_BYTES):
        yield store.reader.range(version, at, min(PIECE_BYTES, start + length - at))


def _key(names: Names, kept: dict[str, Any]) -> bytes:
    """The data key of an object."""
    sealed = base64.b64decode(kept["k"])
    try:
        if kept["a"] != encryption.KMS:
            return vault.open_sealed(encryption.DATA_KEYS, sealed)
        id = UUID(kept["id"])
        named = names.keys.get((str(id), int(kept["v"])))
        if named is None:
            raise CannotDecrypt(f"The key {kept['name']} that it is encrypted with is not in names.json. Give a newer one with --names.")
        secret = vault.open_sealed("encryption keys", base64.b64decode(named["sealed"]), about=id.bytes)
        return vault.open_with(AESGCM(secret), sealed, about=id.bytes)
    except FileNotFoundError as error:
        raise CannotDecrypt("The box's master key (secrets/master.key in its home) is not here, so it cannot be decrypted.") from error
