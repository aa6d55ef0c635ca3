"""The index: what is where, in one LMDB environment that all workers share. Derived from the records, so never synced on the way.

Tables (changes.py keeps them; keys are made in names.py, rows in entries.py):
    objects        name -> the latest version, unless that is a delete marker
    versions       name + inverted stamp -> every other version; name + FE -> the stamp of the null version among them
    blobs          blob id -> kind, references, size, place
    uploads        upload id -> place, entry;     upload_names   name + stamp -> upload id;    parts   upload id + number -> part
    shadows        identity -> stamp of its newest tombstone, and the segments that hold outdated records of it
    buckets        counters, newest tombstone, mark of the end
    segments       id -> worker, class, state, end of what is indexed, live bytes, replicas
    garbage        stamp + random -> what the collector has to clear away
    reservations   identity -> worker, stamp of the conditional change under way
    misc           clock, checkpoints, progress of rounds
"""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import lmdb

from storage.engine import entries, names
from storage.engine.kv import Environment, Table, Transaction
from storage.engine.types import NULL, Upload, Usage, Version

# Virtual addresses, not memory or disk: the file grows as it is used.
MAP_BYTES = 1 << 40
READERS_MAX = 1024

TABLES = (
    "objects",
    "versions",
    "blobs",
    "uploads",
    "upload_names",
    "parts",
    "shadows",
    "buckets",
    "segments",
    "garbage",
    "reservations",
    "misc",
)

DROPPING = b"dropping"  # In misc, before a bucket's id: its end is decided but not yet written.
NULL_POINTER = b"\xfe"  # After a name's 00; sorts behind its versions, whose inverted stamps begin lower.
_ALL = (1 << 64) - 1


def inverted(stamp: int) -> bytes:
    """So that newer versions come first."""
    return (_ALL - stamp).to_bytes(8, "big")


def stamp_of_inverted(key: bytes) -> int:
    return _ALL - int.from_bytes(key, "big")


def version_identity(bucket: bytes, name: bytes, stamp: int, null: bool) -> bytes:
    """What two records must share for one to outdate the other."""
    return b"v" + blake2b(bucket + name + (b"null" if null else stamp.to_bytes(8, "big")), digest_size=16).digest()


def name_identity(bucket: bytes, name: bytes) -> bytes:
    return blake2b(bucket + name, digest_size=16, person=b"cbx name").digest()


# --- segments

OPEN, SEALED, RETIRED = 0, 1, 2
GOOD, STALE = 0, 1
_SEGMENT = struct.Struct("<BBBQqQQB")


@dataclass(frozen=True, slots=True)
class Segment:
    """What the index knows of a segment. `replicas` maps a drive's id to GOOD or STALE (lacks bytes; not read, to be mended)."""

    id: int
    worker: int
    storage_class: int
    state: int
    end: int  # Everything before is in the index.
    live: int  # Bytes of records that still count; an estimate, for choosing what to compact.
    capacity: int
    replicas: tuple[tuple[bytes, int], ...]
    whole: int = 0  # Everything before is on every replica that is not stale; behind it the slowest drive may lack something.

    def pack(self) -> bytes:
        facts = (self.worker, self.storage_class, self.state, self.end, self.live, self.capacity, self.whole)
        head = _SEGMENT.pack(*facts, len(self.replicas))
        return head + b"".join(drive + bytes([state]) for drive, state in self.replicas)

    @classmethod
    def unpack(cls, id: int, row: bytes) -> Segment:
        worker, storage_class, state, end, live, capacity, whole, count = _SEGMENT.unpack_from(row)
        at = _SEGMENT.size
        replicas = tuple((row[at + 17 * i : at + 17 * i + 16], row[at + 17 * i + 16]) for i in range(count))
        return cls(id, worker, storage_class, state, end, live, capacity, replicas, whole)

    def good(self) -> list[bytes]:
        return [drive for drive, state in self.replicas if state == GOOD]


# --- blobs

INLINE, EXTENT, MANIFEST = 0, 1, 2
_BLOB = struct.Struct("<BIQQIIIBBBB")


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that entries refer to by id: an extent on drives, or the body of a record (a small part, a manifest)."""

    kind: int
    references: int
    size: int
    place: tuple[int, int, int, int]  # Segment, offset, length, CRC of the record's body (for an extent: of its facts).
    data: int = 0
    parity: int = 0
    copies: int = 0  # How many files an extent shall have.
    replicas: tuple[tuple[bytes, int], ...] = ()  # In the order of fragments, if coded.

    def pack(self) -> bytes:
        head = _BLOB.pack(self.kind, self.references, self.size, *self.place, self.data, self.parity, self.copies, len(self.replicas))
        return head + b"".join(drive + bytes([state]) for drive, state in self.replicas)

    @classmethod
    def unpack(cls, row: bytes) -> Blob:
        kind, references, size, segment, offset, length, crc, data, parity, copies, count = _BLOB.unpack_from(row)
        at = _BLOB.size
        replicas = tuple((row[at + 17 * i : at + 17 * i + 16], row[at + 17 * i + 16]) for i in range(count))
        return cls(kind, references, size, (segment, offset, length, crc), data, parity, copies, replicas)

    def referred(self, change: int) -> Blob:
        return replace(self, references=max(0, self.references + change))


class Shadow(NamedTuple):
    """`tomb`: stamp of the newest tombstone, 0 if none; `segments`: where outdated records of the identity lie."""

    tomb: int
    segments: tuple[int, ...]

    def pack(self) -> bytes:
        return struct.pack(f"<Q{len(self.segments)}Q", self.tomb, *self.segments)

    @classmethod
    def unpack(cls, row: bytes) -> Shadow:
        tomb, *segments = struct.unpack(f"<{len(row) // 8}Q", row)
        return cls(tomb, tuple(segments))


BUCKET = struct.Struct("<qqqqqQQ")
OBJECTS, VERSIONS, BYTES, UPLOADS, UPLOAD_BYTES, TOMB, DROPPED = range(7)


# LMDB forbids to open an environment twice in a process; stores of one process (in tests) share it.
_environments: dict[str, tuple[Environment, int]] = {}


def _open(path: Path, map_bytes: int) -> Environment:
    env, users = _environments.get(str(path), (None, 0))
    if env is None:
        env = lmdb.open(  # type: ignore[assignment]
            str(path),
            map_size=map_bytes,
            max_dbs=len(TABLES),
            max_readers=READERS_MAX,
            sync=False,
            metasync=False,
            max_spare_txns=4,
            mode=0o600,
        )
    _environments[str(path)] = (env, users + 1)  # type: ignore[assignment]
    return env  # type: ignore[return-value]


def _close(path: Path) -> None:
    env, users = _environments[str(path)]
    if users > 1:
        _environments[str(path)] = (env, users - 1)
    else:
        del _environments[str(path)]
        env.close()


class Index:
    """An open environment."""

    def __init__(self, path: Path, *, map_bytes: int = MAP_BYTES) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.env = _open(path, map_bytes)
        self.env.reader_check()  # Those of processes that were killed.
        for name in TABLES:
            setattr(self, name, self.env.open_db(name.encode()))

    objects: Table
    versions: Table
    blobs: Table
    uploads: Table
    upload_names: Table
    parts: Table
    shadows: Table
    buckets: Table
    segments: Table
    garbage: Table
    reservations: Table
    misc: Table

    def close(self, *, sync: bool = True) -> None:
        if sync:
            self.env.sync(True)
        _close(self.path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A write transaction; one in the whole box at a time, so keep it short and call nothing foreign inside."""
        try:
            with self.env.begin(write=True) as txn:
                yield txn
        except lmdb.DiskError as error:
            raise OSError(errno.ENOSPC, "the disk of the object store's index is full") from error

    # --- look-ups

    def get(self, bucket: UUID, name: bytes, version: str | None = None) -> Version | None:
        """The latest version, or the one of that id."""
        key = names.key(bucket.bytes, name)
        with self.env.begin() as txn:
            row = txn.get(key, db=self.objects)
            if version is None:
                if row is not None:
                    return entries.version_of(bucket, name, row, True)
                top = self._top(txn, key)
                return None if top is None else entries.version_of(bucket, name, top, True)
            return self._find(txn, bucket, name, key, row, version)

    def _top(self, txn: Transaction, key: bytes) -> bytes | None:
        """The newest row among the versions of a name."""
        cursor = txn.cursor(db=self.versions)
        if cursor.set_range(key):
            found = cursor.key()
            if found.startswith(key) and len(found) == len(key) + 8:
                return cursor.value()
        return None

    def _find(self, txn: Transaction, bucket: UUID, name: bytes, key: bytes, current: bytes | None, id: str) -> Version | None:
        if current is not None:
            version = entries.version_of(bucket, name, current, True)
            if version.id == id:
                return version
        if id == NULL:
            pointer = txn.get(key + NULL_POINTER, db=self.versions)
            if pointer is None:
                return None
        else:
            try:
                pointer = inverted(int(id, 16)) if len(id) == 16 else None
            except ValueError:
                pointer = None
            if pointer is None:
                return None
        row = txn.get(key + pointer, db=self.versions)
        if row is None:
            return None
        latest = current is None and self._top(txn, key) == row
        version = entries.version_of(bucket, name, row, latest)
        return version if version.id == id else None

    def blob(self, id: bytes) -> Blob | None:
        with self.env.begin() as txn:
            row = txn.get(id, db=self.blobs)
        return None if row is None else Blob.unpack(row)

    def segment(self, id: int) -> Segment | None:
        with self.env.begin() as txn:
            row = txn.get(id.to_bytes(8, "big"), db=self.segments)
        return None if row is None else Segment.unpack(id, row)

    def all_segments(self) -> list[Segment]:
        with self.env.begin() as txn:
            return [Segment.unpack(int.from_bytes(key, "big"), row) for key, row in txn.cursor(db=self.segments)]

    def usage(self, bucket: UUID) -> Usage:
        with self.env.begin() as txn:
            row = txn.get(bucket.bytes, db=self.buckets)
        return Usage() if row is None else Usage(*BUCKET.unpack(row)[:5])

    def dropped(self, bucket: bytes) -> bool:
        with self.env.begin() as txn:
            row = txn.get(bucket, db=self.buckets)
        return row is not None and BUCKET.unpack(row)[DROPPED] != 0

    def upload(self, id: UUID) -> Upload | None:
        with self.env.begin() as txn:
            row = txn.get(id.bytes, db=self.uploads)
        return None if row is None else entries.upload_of(id.bytes, row)

    def close_bucket(self, bucket: bytes, stamp: int, worker: int) -> bool:
        """Let nothing in any more, if nothing is in it; False if something is."""
        with self.writing() as txn:
            raw = txn.get(bucket, db=self.buckets)
            counts = list(BUCKET.unpack(raw)) if raw is not None else [0] * 7
            if counts[VERSIONS]:
                return False
            counts[DROPPED] = stamp
            txn.put(bucket, BUCKET.pack(*counts), db=self.buckets)
            txn.put(DROPPING + bucket, bytes([worker]), db=self.misc)
        return True

    def reopen_buckets(self, worker: int, bucket: bytes | None = None) -> None:
        """Take back an end that could not be written."""
        with self.writing() as txn:
            cursor, found = txn.cursor(db=self.misc), []
            ok = cursor.set_range(DROPPING)
            while ok and cursor.key().startswith(DROPPING):
                if cursor.value()[0] == worker and bucket in (None, cursor.key()[len(DROPPING) :]):
                    found.append(cursor.key())
                ok = cursor.next()
            for key in found:
                txn.delete(key, db=self.misc)
                counts = list(BUCKET.unpack(txn.get(key[len(DROPPING) :], db=self.buckets) or bytes(BUCKET.size)))
                counts[DROPPED] = 0
                txn.put(key[len(DROPPING) :], BUCKET.pack(*counts), db=self.buckets)

    # --- segments and small facts

    def put_segment(self, segment: Segment) -> None:
        with self.writing() as txn:
            txn.put(segment.id.to_bytes(8, "big"), segment.pack(), db=self.segments)

    def update_segment(self, id: int, change: Callable[[Segment], Segment | None]) -> None:
        """Replace its row by what `change` makes of it; None deletes it. Nothing happens if there is none."""
        key = id.to_bytes(8, "big")
        with self.writing() as txn:
            row = txn.get(key, db=self.segments)
            if row is None:
                return
            changed = change(Segment.unpack(id, row))
            if changed is None:
                txn.delete(key, db=self.segments)
            else:
                txn.put(key, changed.pack(), db=self.segments)

    def update_blob(self, id: bytes, change: Callable[[Blob], Blob | None]) -> None:
        """The same for a blob."""
        with self.writing() as txn:
            row = txn.get(id, db=self.blobs)
            if row is None:
                return
            changed = change(Blob.unpack(row))
            if changed is None:
                txn.delete(id, db=self.blobs)
            else:
                txn.put(id, changed.pack(), db=self.blobs)

    def note(self, key: bytes) -> bytes | None:
        with self.env.begin() as txn:
            return txn.get(key, db=self.misc)

    def set_note(self, key: bytes, value: bytes) -> None:
        with self.writing() as txn:
            txn.put(key, value, db=self.misc)

    # --- reservations

    def look(self, bucket: UUID, name: bytes, version: str | None) -> tuple[Version | None, int]:
        """What a condition judges, and the newest stamp that a change to this name has to be above."""
        key = names.key(bucket.bytes, name)
        with self.env.begin() as txn:
            current = txn.get(key, db=self.objects)
            counts = txn.get(bucket.bytes, db=self.buckets)
            floor = BUCKET.unpack(counts)[TOMB] if counts is not None else 0
            top = self._top(txn, key)
            for row in (current, top):
                if row is not None:
                    found = entries.version_of(bucket, name, row, True)
                    floor = max(floor, found.stamp, found.changed)
            null = self._find(txn, bucket, name, key, current, NULL)
            floor = max(floor, null.changed if null else 0)
            if version is not None:
                seen = self._find(txn, bucket, name, key, current, version)
            else:
                row = current if current is not None else top
                seen = None if row is None else entries.version_of(bucket, name, row, True)
        return seen, max(floor, seen.changed if seen else 0)

    def reserve(self, identity: bytes, worker: int, stamp: int) -> bool:
        """Keep a name for a conditional change; False if another one has it."""
        with self.writing() as txn:
            return bool(txn.put(identity, struct.pack("<BQ", worker, stamp), overwrite=False, db=self.reservations))

    def release(self, identity: bytes, stamp: int) -> None:
        with self.writing() as txn:
            row = txn.get(identity, db=self.reservations)
            if row is not None and struct.unpack("<BQ", row)[1] == stamp:
                txn.delete(identity, db=self.reservations)

    def release_all(self, worker: int) -> int:
        """What a worker that died had reserved."""
        with self.writing() as txn:
            cursor = txn.cursor(db=self.reservations)
            stale = [key for key, row in cursor if row[0] == worker]
            for key in stale:
                txn.delete(key, db=self.reservations)
        return len(stale)
