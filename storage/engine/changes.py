"""How records change the index: the one place where it is decided which of two changes counts.

The same code runs for a batch that was just committed and for a replay, in any order and any number of times. Of two changes to one
identity (a version by its id; the null version of a name; an upload) the one with the newer stamp wins. A change that arrives at a
fresh batch and is not the newest of its name is `LOST`: the committer gives it a new stamp and writes it again, so that what a
conditional change has seen beforehand stays true (see reservations in commit.py). In a replay it is merely outdated.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from storage.engine import entries, names
from storage.engine.entries import BLOB, EXTENT, MANIFEST, MARKER, NULL_VERSION, PLACE, PLACE_BYTES, STAMP_AT
from storage.engine.index import (
    BUCKET,
    BYTES,
    DROPPED,
    DROPPING,
    GOOD,
    NULL_POINTER,
    OBJECTS,
    STALE,
    TOMB,
    UPLOAD_BYTES,
    UPLOADS,
    VERSIONS,
    Blob,
    Index,
    Segment,
    Shadow,
    inverted,
    name_identity,
    version_identity,
)
from storage.engine.index import EXTENT as EXTENT_BLOB
from storage.engine.index import INLINE as INLINE_BLOB
from storage.engine.index import MANIFEST as MANIFEST_BLOB
from storage.engine.kv import Table, Transaction
from storage.engine.records import ABORT, DELETE, DROP, HEADER_BYTES, PART, PUT, UPLOAD, UPLOAD_END, Record

APPLIED, LOST, GONE = "applied", "lost", "gone"

# What the collector finds in the table `garbage`
DROP_BLOB, CLEAR_UPLOAD, CLEAR_BUCKET = b"B", b"U", b"K"
NOWHERE = (0, 0, 0, 0)

_STAMP = struct.Struct("<Q")


class Item(NamedTuple):
    """A record and where its body lies. `conditional`: it holds a reservation of its name; `copy`: the compactor moved it."""

    record: Record
    body_offset: int
    conditional: bool = False
    copy: bool = False


def upload_identity(upload: bytes) -> bytes:
    return b"u" + upload


class Changes:
    """One transaction's worth of changes from one segment."""

    def __init__(self, index: Index, txn: Transaction, segment: int, *, replay: bool) -> None:
        self.index, self.txn, self.segment, self.replay = index, txn, segment, replay
        self._buckets: dict[bytes, list[int]] = {}
        self._live: dict[int, int] = {}
        self._reserved = not replay and txn.stat(index.reservations)["entries"] > 0

    def apply(self, item: Item) -> str:
        kind = item.record.type
        if kind == PUT:
            return self._put(item)
        if kind == DELETE:
            return self._delete(item)
        if kind == PART:
            return self._part(item)
        if kind == UPLOAD:
            return self._upload(item)
        if kind == UPLOAD_END:
            return self._end_upload(item.record.key, item.record.stamp, item.record.entry)
        if kind == DROP:
            return self._drop(item)
        if kind == ABORT:
            return self._abort(item)
        return APPLIED  # Of a later format that added a type: not ours to judge.

    def finish(self, end: int | None = None, *, whole: int = 0, stale: Sequence[bytes] = ()) -> None:
        """Write the counters; note how far this segment is indexed and on all drives, and which of its replicas lack bytes."""
        for bucket, row in self._buckets.items():
            self.txn.put(bucket, BUCKET.pack(*row), db=self.index.buckets)
        if end is not None:
            self._live.setdefault(self.segment, 0)
        for id, change in self._live.items():
            key = id.to_bytes(8, "big")
            raw = self.txn.get(key, db=self.index.segments)
            if raw is None:
                continue
            segment = Segment.unpack(id, raw)
            changed = replace(segment, live=segment.live + change)
            if id == self.segment and end is not None:
                replicas = tuple((drive, STALE if drive in stale else was) for drive, was in segment.replicas)
                changed = replace(changed, end=max(segment.end, end), whole=max(segment.whole, whole), replicas=replicas)
            self.txn.put(key, changed.pack(), db=self.index.segments)

    # --- small helpers

    def _bucket(self, bucket: bytes) -> list[int]:
        row = self._buckets.get(bucket)
        if row is None:
            raw = self.txn.get(bucket, db=self.index.buckets)
            row = self._buckets[bucket] = list(BUCKET.unpack(raw)) if raw is not None else [0] * 7
        return row

    def _count_live(self, segment: int, change: int) -> None:
        self._live[segment] = self._live.get(segment, 0) + change

    def _shadow(self, identity: bytes) -> Shadow:
        raw = self.txn.get(identity, db=self.index.shadows)
        return Shadow(0, ()) if raw is None else Shadow.unpack(raw)

    def _cast(self, identity: bytes, segment: int, *, tomb: int = 0, same: bool = False) -> None:
        """Remember an outdated record of the identity in that segment. One beside its successor goes when that goes."""
        shadow = self._shadow(identity)
        segments = shadow.segments
        if segment and segment not in segments and (same or segment != self.segment):
            segments = (*segments, segment)
        if segments == shadow.segments and tomb <= shadow.tomb:
            return
        self.txn.put(identity, Shadow(max(shadow.tomb, tomb), segments).pack(), db=self.index.shadows)

    def _throw(self, kind: bytes, payload: bytes) -> None:
        key = struct.pack(">Q", self.segment) + os.urandom(8)
        self.txn.put(key, kind + payload, db=self.index.garbage)

    def _carry(self, item: Item, *, refer: bool) -> None:
        """Enter the blob that a record brings with it, and count the reference of its entry."""
        record = item.record
        if record.type == PART:
            flags, size, id = entries.part_head(record.entry)
        else:
            head = entries.head_of(record.entry)
            flags, size, id = head.flags, head.size, head.blob
        if not id:
            return
        raw = self.txn.get(id, db=self.index.blobs)
        known = None if raw is None else Blob.unpack(raw)
        place = (self.segment, item.body_offset, len(record.body), record.body_crc)
        if record.body:
            blob = self._brought(flags, size, place, bytes(record.body) if flags & EXTENT else b"")
            if known is not None:  # A replay repeats itself, or met a reference first, or the compactor has moved the record.
                replicas = known.replicas if known.kind == EXTENT_BLOB and known.replicas else blob.replicas
                blob = replace(blob, references=known.references, replicas=replicas)
        else:
            blob = known or Blob(EXTENT_BLOB if flags & EXTENT else MANIFEST_BLOB if flags & MANIFEST else INLINE_BLOB, 0, 0, NOWHERE)
        self.txn.put(id, blob.referred(1 if refer else 0).pack(), db=self.index.blobs)

    def _brought(self, flags: int, size: int, place: tuple[int, int, int, int], facts: bytes) -> Blob:
        if not flags & EXTENT:
            return Blob(MANIFEST_BLOB if flags & MANIFEST else INLINE_BLOB, 0, size, place)
        extent = entries.ExtentFacts.unpack(facts)
        replicas = tuple((drive, GOOD) for drive in extent.drives)
        return Blob(EXTENT_BLOB, 0, extent.size, place, extent.data, extent.parity, extent.copies, replicas)

    def _adopt(self, manifest: bytes) -> None:
        """In a replay, parts may come after the manifest that took them, and then count as outdated: see that their blobs stay."""
        for part in entries.manifest_of(manifest):
            raw = self.txn.get(part.blob, db=self.index.blobs)
            blob = Blob(INLINE_BLOB, 0, part.size, NOWHERE) if raw is None else Blob.unpack(raw)
            self.txn.put(part.blob, replace(blob, references=1).pack(), db=self.index.blobs)

    def _outdated(self, item: Item, identity: bytes, *, again: bool = False) -> None:
        """The record lies there, and does not count. `again`: its committer writes the change once more, and needs its blob."""
        self._cast(identity, self.segment, same=True)
        if item.copy:  # It was copied because it is needed, if only for the blob that it brings.
            self._count_live(self.segment, HEADER_BYTES + len(item.record.key) + len(item.record.entry) + len(item.record.body))
        if item.record.type in (PUT, PART):
            self._carry(item, refer=False)
            blob = entries.part_head(item.record.entry)[2] if item.record.type == PART else entries.head_of(item.record.entry).blob
            if blob and not (again and not (self.replay or item.copy or item.conditional)):
                self._throw(DROP_BLOB, b"\0" + blob)

    def _held(self, item: Item, identity: bytes, *, whoever: bool = False) -> bool:
        """A conditional change that has already looked at this name, and is newer, is under way: we must come after it."""
        if not self._reserved:
            return False
        row = self.txn.get(identity, db=self.index.reservations)
        if row is None:
            return False
        stamp = struct.unpack("<BQ", row)[1]
        if item.conditional and stamp == item.record.stamp:
            self.txn.delete(identity, db=self.index.reservations)
            return False
        return (whoever or bool(stamp > item.record.stamp)) and not item.copy

    # --- rows of a name

    def _open_gates(self, bucket: bytes, name: bytes, table: Table) -> None:
        for gate in names.gates(bucket, name):
            self.txn.put(gate, b"", db=table)

    def _close_gates(self, bucket: bytes, name: bytes, table: Table) -> None:
        for gate in reversed(names.gates(bucket, name)):
            space = names.below(gate[:16], gate[16:-1])
            cursor = self.txn.cursor(db=table)
            if cursor.set_range(space) and cursor.key().startswith(space):
                return
            self.txn.delete(gate, db=table)

    def _put_object(self, bucket: bytes, name: bytes, key: bytes, row: bytes) -> None:
        self.txn.put(key, row, db=self.index.objects)
        if len(name) > names.PIECE // 2:
            self._open_gates(bucket, name, self.index.objects)

    def _delete_object(self, bucket: bytes, name: bytes, key: bytes) -> None:
        self.txn.delete(key, db=self.index.objects)
        if len(name) > names.PIECE // 2:
            self._close_gates(bucket, name, self.index.objects)

    def _put_version(self, bucket: bytes, name: bytes, key: bytes, row: bytes) -> None:
        pointer = inverted(_STAMP.unpack_from(row, STAMP_AT)[0])
        self.txn.put(key + pointer, row, db=self.index.versions)
        if row[PLACE_BYTES] & NULL_VERSION:
            self.txn.put(key + NULL_POINTER, pointer, db=self.index.versions)
        if len(name) > names.PIECE // 2:
            self._open_gates(bucket, name, self.index.versions)

    def _delete_version(self, bucket: bytes, name: bytes, key: bytes, row: bytes) -> None:
        self.txn.delete(key + inverted(_STAMP.unpack_from(row, STAMP_AT)[0]), db=self.index.versions)
        if row[PLACE_BYTES] & NULL_VERSION:
            self.txn.delete(key + NULL_POINTER, db=self.index.versions)
        if len(name) > names.PIECE // 2:
            self._close_gates(bucket, name, self.index.versions)

    def _existing(self, key: bytes, current: bytes | None, stamp: int, null: bool, counts: list[int]) -> bytes | None:
        """The row of this identity."""
        if current is not None:
            is_null = bool(current[PLACE_BYTES] & NULL_VERSION)
            if is_null == null and (null or _STAMP.unpack_from(current, STAMP_AT)[0] == stamp):
                return current
        if counts[VERSIONS] == counts[OBJECTS]:  # No name of this bucket has rows in `versions`.
            return None
        if null:
            pointer = self.txn.get(key + NULL_POINTER, db=self.index.versions)
            return None if pointer is None else self.txn.get(key + pointer, db=self.index.versions)
        row = self.txn.get(key + inverted(stamp), db=self.index.versions)
        return None if row is None or row[PLACE_BYTES] & NULL_VERSION else row

    def _top(self, key: bytes) -> bytes | None:
        return self.index._top(self.txn, key)

    def _remove(self, bucket: bytes, name: bytes, key: bytes, row: bytes, current: bytes | None, counts: list[int]) -> None:
        """Take a row out, and its bytes out of the counts."""
        flags, _, _, _, size = struct.unpack_from("<BBQQQ", row, PLACE_BYTES)
        if row is current:
            self._delete_object(bucket, name, key)
            counts[OBJECTS] -= 1
        else:
            self._delete_version(bucket, name, key, row)
        self._uncount(name, row, flags, size, counts)

    def _uncount(self, name: bytes, row: bytes, flags: int, size: int, counts: list[int]) -> None:
        counts[VERSIONS] -= 1
        counts[BYTES] -= size
        segment, _, length, _, _ = PLACE.unpack_from(row)
        entry = row[PLACE_BYTES:]
        self._count_live(segment, -(HEADER_BYTES + 16 + len(name) + len(entry) + length))
        if flags & BLOB:
            self._throw(DROP_BLOB, b"\1" + entries.head_of(entry).blob)

    # --- the changes

    def _put(self, item: Item) -> str:
        record = item.record
        bucket, name = record.key[:16], record.key[16:]
        counts = self._bucket(bucket)
        head = entries.head_of(record.entry)
        null = bool(head.flags & NULL_VERSION)
        if self._held(item, name_identity(bucket, name)):
            self._outdated(item, version_identity(bucket, name, head.stamp, null), again=True)
            return LOST
        outcome = self._place_version(item, bucket, name, counts, head, null)
        if head.upload and not item.copy and (outcome == APPLIED or self.replay or item.conditional):
            if self.replay:
                self._adopt(bytes(record.body))
            self._held(item, upload_identity(head.upload))
            self._end_upload(head.upload, record.stamp, head.blob)
        return outcome

    def _place_version(self, item: Item, bucket: bytes, name: bytes, counts: list[int], head: entries.Head, null: bool) -> str:
        record = item.record
        if counts[DROPPED]:
            self._outdated(item, version_identity(bucket, name, head.stamp, null))
            return GONE
        key = names.key(bucket, name)
        current = self.txn.get(key, db=self.index.objects)
        existing = self._existing(key, current, head.stamp, null, counts)
        place = (self.segment, item.body_offset, len(record.body), record.body_crc)
        row = entries.row_of(place, record.stamp, record.entry)
        if existing is not None:
            was = PLACE.unpack_from(existing)
            if was[4] > record.stamp:
                self._outdated(item, version_identity(bucket, name, head.stamp, null), again=True)
                return LOST
            if was[4] == record.stamp:
                self._moved(item, bucket, name, key, row, existing, current, head, null, was)
                return APPLIED
        elif item.copy or (record.stamp != head.stamp and not self.replay):
            self._outdated(item, version_identity(bucket, name, head.stamp, null))  # What it is about has been deleted meanwhile.
            return GONE
        elif counts[TOMB] >= record.stamp or record.stamp != head.stamp:
            tomb = self._shadow(version_identity(bucket, name, head.stamp, null)).tomb
            if tomb and (tomb >= record.stamp or not null):
                self._outdated(item, version_identity(bucket, name, head.stamp, null), again=null)
                return LOST if null else GONE
        if not self._insert(item, bucket, name, key, row, existing, current, counts, head, null):
            self._outdated(item, version_identity(bucket, name, head.stamp, null), again=True)
            return LOST
        counts[VERSIONS] += 1
        counts[BYTES] += head.size
        self._count_live(self.segment, HEADER_BYTES + len(record.key) + len(record.entry) + len(record.body))
        if head.blob:
            self._carry(item, refer=True)
        return APPLIED

    def _moved(
        self,
        item: Item,
        bucket: bytes,
        name: bytes,
        key: bytes,
        row: bytes,
        existing: bytes,
        current: bytes | None,
        head: entries.Head,
        null: bool,
        was: tuple[int, ...],
    ) -> None:
        """The same change met again: at its place (a replay repeats itself), or at another (the compactor has copied it)."""
        if was[:2] == (self.segment, item.body_offset):
            return
        if existing is current:
            self.txn.put(key, row, db=self.index.objects)
        else:
            self._put_version(bucket, name, key, row)
        whole = HEADER_BYTES + 16 + len(name) + len(item.record.entry) + len(item.record.body)
        self._count_live(was[0], -whole)
        self._count_live(self.segment, whole)
        self._cast(version_identity(bucket, name, head.stamp, null), was[0])
        if head.blob:
            self._carry(item, refer=False)

    def _insert(
        self,
        item: Item,
        bucket: bytes,
        name: bytes,
        key: bytes,
        row: bytes,
        existing: bytes | None,
        current: bytes | None,
        counts: list[int],
        head: entries.Head,
        null: bool,
    ) -> bool:
        """Give the version its row; False if it is not the newest and ought to be."""
        marker = bool(head.flags & MARKER)
        others = counts[VERSIONS] != counts[OBJECTS]
        strict = not self.replay and not item.copy and item.record.stamp == head.stamp
        if current is not None and current is not existing and _STAMP.unpack_from(current, STAMP_AT)[0] > head.stamp and strict:
            return item.conditional and self._overtaken(item, existing, current, bucket, name, key, row, counts, head, null)
        if not others and not marker and (current is None or current is existing):
            if existing is not None:
                self._displace(bucket, name, existing, counts, head, null)
            else:
                counts[OBJECTS] += 1
            self._put_object(bucket, name, key, row)
            return True
        if strict and current is None and not item.conditional:
            top = self._top(key)
            if top is not None and top is not existing and _STAMP.unpack_from(top, STAMP_AT)[0] > head.stamp:
                return False
        if existing is not None:
            self._cast(version_identity(bucket, name, head.stamp, null), PLACE.unpack_from(existing)[0])
            self._remove(bucket, name, key, existing, current, counts)
        self._put_version(bucket, name, key, row)
        self._normalise(bucket, name, key, counts)
        return True

    def _overtaken(
        self,
        item: Item,
        existing: bytes | None,
        current: bytes,
        bucket: bytes,
        name: bytes,
        key: bytes,
        row: bytes,
        counts: list[int],
        head: entries.Head,
        null: bool,
    ) -> bool:
        """A conditional change whose name was changed after its reservation: it happened just before, and takes its place below."""
        if existing is not None:
            self._cast(version_identity(bucket, name, head.stamp, null), PLACE.unpack_from(existing)[0])
            self._remove(bucket, name, key, existing, current, counts)
        self._put_version(bucket, name, key, row)
        return True

    def _displace(self, bucket: bytes, name: bytes, existing: bytes, counts: list[int], head: entries.Head, null: bool) -> None:
        """An object's row is about to be overwritten in place."""
        flags, _, _, _, size = struct.unpack_from("<BBQQQ", existing, PLACE_BYTES)
        old = PLACE.unpack_from(existing)[0]
        if old != self.segment:
            self._cast(version_identity(bucket, name, head.stamp, null), old)
        self._uncount(name, existing, flags, size, counts)

    def _normalise(self, bucket: bytes, name: bytes, key: bytes, counts: list[int]) -> None:
        """Let `objects` have the newest version if it is no delete marker, and `versions` all others."""
        current = self.txn.get(key, db=self.index.objects)
        top = self._top(key)
        if top is None:
            return
        if current is not None and _STAMP.unpack_from(top, STAMP_AT)[0] > _STAMP.unpack_from(current, STAMP_AT)[0]:
            self._put_version(bucket, name, key, current)
            self._delete_object(bucket, name, key)
            counts[OBJECTS] -= 1
            current = None
        if current is None and not top[PLACE_BYTES] & MARKER:
            self._delete_version(bucket, name, key, top)
            self._put_object(bucket, name, key, top)
            counts[OBJECTS] += 1

    def _delete(self, item: Item) -> str:
        record = item.record
        bucket, name = record.key[:16], record.key[16:]
        counts = self._bucket(bucket)
        stamp, null = entries.tombstone_of(record.entry)
        if self._held(item, name_identity(bucket, name)):
            return LOST
        key = names.key(bucket, name)
        current = self.txn.get(key, db=self.index.objects)
        existing = self._existing(key, current, stamp, null, counts)
        identity = version_identity(bucket, name, stamp, null)
        if existing is not None and PLACE.unpack_from(existing)[4] > record.stamp:
            return LOST
        counts[TOMB] = max(counts[TOMB], record.stamp)
        if item.copy:
            self._count_live(self.segment, HEADER_BYTES + len(record.key) + len(record.entry))
        self._cast(identity, PLACE.unpack_from(existing)[0] if existing is not None else 0, tomb=record.stamp)
        if existing is not None:
            self._remove(bucket, name, key, existing, current, counts)
            if counts[VERSIONS] != counts[OBJECTS]:
                self._normalise(bucket, name, key, counts)
        return APPLIED

    def purge(self, bucket: bytes, name: bytes, row: bytes) -> None:
        """Take a version out that a recovery has found to be deleted."""
        counts = self._bucket(bucket)
        key = names.key(bucket, name)
        current = self.txn.get(key, db=self.index.objects)
        self._remove(bucket, name, key, row, row if current == row else None, counts)
        self._normalise(bucket, name, key, counts)

    def purge_upload(self, upload: bytes, row: bytes) -> None:
        """The same for an upload: its parts go with it."""
        self._end_upload(upload, PLACE.unpack_from(row)[4], b"")

    def purge_part(self, key: bytes, row: bytes) -> None:
        """The same for a part of an upload that goes on; parts of one that is over are cleared with it."""
        raw = self.txn.get(key[:16], db=self.index.uploads)
        if raw is None:
            return
        part = entries.part_of(0, row)
        self._bucket(entries.upload_bucket(raw))[UPLOAD_BYTES] -= part.size
        self.txn.delete(key, db=self.index.parts)
        self._throw(DROP_BLOB, b"\1" + part.blob)

    def _drop(self, item: Item) -> str:
        """The end of a bucket. `Index.close_bucket` has seen that nothing is in it; a replay may meet refused records of it later."""
        bucket = item.record.key
        counts = self._bucket(bucket)
        counts[DROPPED] = item.record.stamp
        self.txn.delete(DROPPING + bucket, db=self.index.misc)
        if counts[VERSIONS]:
            self._throw(CLEAR_BUCKET, bucket)
        for upload in self._uploads_of(bucket):
            self._end_upload(upload, item.record.stamp, b"")
        return APPLIED

    def _uploads_of(self, bucket: bytes) -> list[bytes]:
        return [key for key, row in self.txn.cursor(db=self.index.uploads) if entries.upload_bucket(row) == bucket]

    # --- multipart

    def _upload(self, item: Item) -> str:
        record = item.record
        identity = upload_identity(record.key)
        bucket, name = entries.upload_place(record.entry)
        counts = self._bucket(bucket)
        if counts[DROPPED] or self._shadow(identity).tomb:
            self._cast(identity, self.segment, same=True)
            return GONE
        raw = self.txn.get(record.key, db=self.index.uploads)
        place = (self.segment, item.body_offset, 0, 0)
        if raw is None and item.copy:
            self._outdated(item, identity)
            return GONE
        self.txn.put(record.key, entries.row_of(place, record.stamp, record.entry), db=self.index.uploads)
        if raw is not None:
            self._cast(identity, self.segment, same=True)
            return APPLIED
        key = names.key(bucket, name) + record.stamp.to_bytes(8, "big")
        self.txn.put(key, record.key, db=self.index.upload_names)
        self._open_gates(bucket, name, self.index.upload_names)
        counts[UPLOADS] += 1
        if self.replay:  # Parts may have come before.
            counts[UPLOAD_BYTES] += sum(entries.part_of(0, row).size for _, row in self._parts_of(record.key))
        # Its record is needed for as long as the upload is open: it is found again by the table of uploads.
        self._cast(identity, self.segment, same=True)
        self._count_live(self.segment, HEADER_BYTES + 16 + len(record.entry))
        return APPLIED

    def _parts_of(self, upload: bytes) -> list[tuple[bytes, bytes]]:
        found = []
        cursor = self.txn.cursor(db=self.index.parts)
        ok = cursor.set_range(upload)
        while ok and cursor.key().startswith(upload):
            found.append(cursor.item())
            ok = cursor.next()
        return found

    def _part(self, item: Item) -> str:
        record = item.record
        upload = record.key[:16]
        identity = upload_identity(upload)
        if self._held(item, identity, whoever=True):  # It is being completed.
            self._outdated(item, identity, again=True)
            return LOST
        raw = self.txn.get(upload, db=self.index.uploads)
        if self._shadow(identity).tomb or (raw is None and not self.replay and not item.copy):
            self._outdated(item, identity)
            return GONE
        counts = self._bucket(entries.upload_bucket(raw)) if raw is not None else None
        _, size, _ = entries.part_head(record.entry)
        existing = self.txn.get(record.key, db=self.index.parts)
        whole = HEADER_BYTES + len(record.key) + len(record.entry) + len(record.body)
        refer = True
        if existing is not None:
            was = PLACE.unpack_from(existing)
            if was[4] > record.stamp:
                self._outdated(item, identity, again=True)
                return LOST
            if was[:2] == (self.segment, item.body_offset):
                return APPLIED
            self._cast(identity, was[0], same=True)
            old = entries.part_of(0, existing)
            self._count_live(was[0], -(HEADER_BYTES + len(record.key) + len(existing) - PLACE_BYTES + was[2]))
            if was[4] == record.stamp:
                refer = False
            else:
                self._throw(DROP_BLOB, b"\1" + old.blob)
            if counts is not None:
                counts[UPLOAD_BYTES] -= old.size
        place = (self.segment, item.body_offset, len(record.body), record.body_crc)
        self.txn.put(record.key, entries.row_of(place, record.stamp, record.entry), db=self.index.parts)
        self._carry(item, refer=refer)
        self._count_live(self.segment, whole)
        self._cast(identity, self.segment, same=True)
        if counts is not None:
            counts[UPLOAD_BYTES] += size
        return APPLIED

    def _end_upload(self, upload: bytes, stamp: int, manifest: bytes) -> str:
        """It is over from now on; the collector clears its parts, but for those that the manifest has taken."""
        identity = upload_identity(upload)
        if self._shadow(identity).tomb:
            return GONE
        self._cast(identity, 0, tomb=stamp)
        raw = self.txn.get(upload, db=self.index.uploads)
        if raw is not None:
            bucket, name = entries.upload_place(raw[PLACE_BYTES:])
            self.txn.delete(upload, db=self.index.uploads)
            started = PLACE.unpack_from(raw)[4].to_bytes(8, "big")
            self.txn.delete(names.key(bucket, name) + started, db=self.index.upload_names)
            self._close_gates(bucket, name, self.index.upload_names)
            counts = self._bucket(bucket)
            counts[UPLOADS] -= 1
            counts[UPLOAD_BYTES] -= sum(entries.part_of(0, row).size for _, row in self._parts_of(upload))
        self._throw(CLEAR_UPLOAD, upload + manifest)
        return APPLIED

    # --- a batch that failed

    def _abort(self, item: Item) -> str:
        """Records from that offset on did not reach their quorum. A replay meets this first, since it reads new segments first."""
        segment, offset = entries.abort_of(item.record.entry)
        self.txn.put(b"abort" + segment.to_bytes(8, "big"), offset.to_bytes(8, "big"), db=self.index.misc)
        return APPLIED


def apply(
    index: Index,
    segment: int,
    items: Sequence[Item],
    end: int | None,
    *,
    replay: bool = False,
    whole: int = 0,
    stale: Sequence[bytes] = (),
) -> list[str]:
    """A batch in one transaction; what became of each item."""
    with index.writing() as txn:
        changes = Changes(index, txn, segment, replay=replay)
        outcomes = [changes.apply(item) for item in items]
        changes.finish(end, whole=whole, stale=stale)
    return outcomes
