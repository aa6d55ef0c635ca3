"""What callers of the store hold in their hands: versions, pages of listings, uploads, classes. All immutable."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from cloudbox.common.errors import PreconditionFailed
from storage.engine.drives import Drive

SMALL_MAX_BYTES = 1 << 20  # Larger bodies become extents.
NAME_MAX_BYTES = 1024
META_MAX_BYTES = 256 << 10
ETAG_MAX_BYTES = 255
PARTS_MAX = 10_000
LIST_MAX = 10_000
IDENTITY = "drive.json"  # The file on every drive that says which it is.

NULL = "null"  # The id of the version that an unversioned (or suspended) bucket writes and replaces.


class Mode(enum.Enum):
    """What a write does to the versions that are there."""

    REPLACE = "replace"  # It becomes the null version, in place of the null version before it. (Unversioned and suspended buckets.)
    ADD = "add"  # It becomes one more version. (Versioned buckets.)


@dataclass(frozen=True, slots=True)
class StorageClass:
    """How many copies, and how many must be safe before a change is acknowledged."""

    number: int  # In records: never reuse one.
    name: str
    replicas: int  # Files of a large body: copies, or fragments of a code.
    quorum: int
    data: int = 0  # Fragments of a large body, any `data` of which give it back; 0: whole copies. Small bodies are copied in any case.
    parity: int = 0

    @property
    def log(self) -> StorageClass:
        """How records are kept, and the small bodies in them: in a code's fragments they would cost more than as copies."""
        return STORAGE_CLASSES["replicated-3"] if self.data else self


STORAGE_CLASSES = {
    c.name: c
    for c in (
        StorageClass(0, "replicated-3", replicas=3, quorum=2),
        StorageClass(1, "replicated-2", replicas=2, quorum=2),
        StorageClass(2, "replicated-1", replicas=1, quorum=1),
        StorageClass(3, "erasure-4-2", replicas=6, quorum=5, data=4, parity=2),
        StorageClass(4, "erasure-8-4", replicas=12, quorum=9, data=8, parity=4),
    )
}
CLASS_BY_NUMBER = {c.number: c for c in STORAGE_CLASSES.values()}


@dataclass(frozen=True, slots=True)
class DriveSpec:
    """A folder to keep objects on. `domain` names what fails together (a controller, a shelf): replicas avoid to share one."""

    path: Path
    weight: float = 1.0
    domain: str = ""
    draining: bool = False  # Nothing new goes there, and the repairer moves away what is there.
    joins: bool = True  # Whether an empty folder becomes a drive. One that has been a drive before is not mounted if it is empty.
    drive: Drive | None = None  # Instead of the folder: a drive in memory, say.


class Location(NamedTuple):
    """Where bytes lie in a segment."""

    segment: int
    offset: int  # Of the body, in bytes from the start of the segment.
    length: int
    crc: int  # CRC-32C of the body.


class Version(NamedTuple):
    """One version of an object, or a delete marker, as of when it was looked up."""

    bucket: UUID
    name: bytes
    stamp: int  # When this version was made, in ns; unique, and ordered over all workers. Use `id` towards clients.
    changed: int  # The stamp of its last change (`update_meta`); equal to `stamp` if there was none.
    modified_ns: int  # Wall clock, as given by the writer.
    size: int
    etag: str
    meta: bytes  # The dialect's; opaque here.
    null: bool = False
    delete_marker: bool = False
    latest: bool = True
    storage_class: StorageClass = STORAGE_CLASSES["replicated-3"]
    manifest: bool = False  # It was completed from parts; `Store.parts` lists them.
    location: Location | None = None
    blob: bytes = b""  # Of a large body: the id of its blob.

    @property
    def id(self) -> str:
        return NULL if self.null else f"{self.stamp:016x}"


class Listing(NamedTuple):
    """A page of a listing, in byte order of names; versions of one name come newest first."""

    versions: list[Version]
    prefixes: list[bytes]  # Common prefixes, each once, `limit` counts them as well.
    next: tuple[bytes, str] | None  # Pass its parts as `after` and `after_version` for the next page; None at the end.


class Columns(NamedTuple):
    """What a listing shows of objects, one sequence for each fact: a page of a thousand is made of five things, not of thousands."""

    names: Sequence[bytes]
    modified_ns: Sequence[int]
    sizes: Sequence[int]
    etags: Sequence[str]
    metas: Sequence[bytes]


class Summaries(NamedTuple):
    """A page of objects, as `Listing` is one of versions."""

    objects: Columns
    prefixes: list[bytes]
    next: bytes | None  # Pass it as `after` for the next page; None at the end.


class Usage(NamedTuple):
    """What a bucket holds; kept with each change, never counted afresh."""

    objects: int = 0  # Names whose latest version is no delete marker.
    versions: int = 0  # All versions and delete markers.
    bytes: int = 0  # Of all versions.
    uploads: int = 0  # Multipart uploads that are open,
    upload_bytes: int = 0  # and the bytes of their parts.


class Upload(NamedTuple):
    """A multipart upload under way. Its id is UUID-shaped and unguessable."""

    id: UUID
    bucket: UUID
    name: bytes
    started_ns: int
    meta: bytes
    storage_class: StorageClass
    stamp: int = 0


class Part(NamedTuple):
    """A part of an upload, or of a version that was completed from parts."""

    number: int
    size: int
    etag: str
    facts: bytes  # The dialect's (checksums); at most 255 bytes; opaque here.
    modified_ns: int = 0
    blob: bytes = b""


# Gets the version in question (the latest of the name, or the one that the call names; None if there is none; delete markers are
# passed as they are) and raises what the caller shall see, or returns to let the change happen. The store calls it at a moment when
# no other change to that name can slip in between; it must not wait for anything.
Condition = Callable[[Version | None], None]


def absent(current: Version | None) -> None:
    """A condition: there is no such object (a delete marker does not count as one)."""
    if current is not None and not current.delete_marker:
        raise PreconditionFailed("There is already an object of this name.")


def unchanged(seen: Version | None) -> Condition:
    """A condition: nothing has happened to the version since `seen` was looked up."""

    def check(current: Version | None) -> None:
        if (current and (current.stamp, current.changed)) != (seen and (seen.stamp, seen.changed)):
            raise PreconditionFailed("The object has changed in the meantime. Look again and retry.")

    return check
