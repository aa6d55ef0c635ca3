"""Entries: what a record and the index say about a version, a part or an upload, packed.

The index keeps a version as its *place* (segment, body offset, length, CRC, stamp of the last change) followed by the very bytes of
the record's entry. One `unpack` reads both; a listing of a thousand names does a thousand of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from storage.engine.types import CLASS_BY_NUMBER, Columns, Location, Part, StorageClass, Upload, Version

# Of an entry's flags
NULL_VERSION, MARKER, MANIFEST, BLOB, EXTENT, COMPLETES = 1, 2, 4, 8, 16, 32

PLACE = struct.Struct("<QIIIQ")
_VERSION = struct.Struct("<BBQQQB")
_ROW = struct.Struct("<QIIIQBBQQQB")
_SUMMARY = struct.Struct("<28xB9xQQB")  # Of the same, what a page of many shows.
_TAG_LENGTH_AT = _ROW.size - 1
_TOMBSTONE = struct.Struct("<QB")
_PART = struct.Struct("<BQQBB")
_PART_ROW = struct.Struct("<QIIIQBQQBB")
_UPLOAD = struct.Struct("<16sHBQI")
_EXTENT = struct.Struct("<QBBBB")
_MANIFEST = struct.Struct("<16sQHBB")
_ABORT = struct.Struct("<QQ")
BLOB_BYTES = 16
_new: Any = tuple.__new__
PLACE_BYTES = PLACE.size
FLAGS_AT = PLACE.size  # In a row: where the entry's flags are,
STAMP_AT = PLACE.size + 2  # and its stamp.


def pack_version(
    *,
    flags: int,
    storage_class: int,
    stamp: int,
    modified_ns: int,
    size: int,
    etag: str,
    meta: bytes,
    blob: bytes = b"",
    upload: bytes = b"",
) -> bytes:
    tag = etag.encode()
    return b"%b%b%b%b%b" % (_VERSION.pack(flags, storage_class, stamp, modified_ns, size, len(tag)), blob, upload, tag, meta)


def row_of(location: Location | tuple[int, int, int, int], changed: int, entry: bytes) -> bytes:
    return PLACE.pack(*location, changed) + entry


class Head(NamedTuple):
    """The part of a version's entry that a change needs."""

    flags: int
    stamp: int
    size: int
    blob: bytes
    upload: bytes


def head_of(entry: bytes) -> Head:
    flags, _, stamp, _, size, _ = _VERSION.unpack_from(entry)
    if not flags & (BLOB | COMPLETES):
        return Head(flags, stamp, size, b"", b"")
    at = _VERSION.size
    blob = entry[at : at + BLOB_BYTES] if flags & BLOB else b""
    at += len(blob)
    return Head(flags, stamp, size, blob, entry[at : at + 16] if flags & COMPLETES else b"")


def version_of(bucket: UUID, name: bytes, row: bytes, latest: bool) -> Version:
    """The Version that an index row tells of."""
    segment, offset, length, crc, changed, flags, storage_class, stamp, modified_ns, size, tag_length = _ROW.unpack_from(row)
    if not flags & ~NULL_VERSION:  # A small object: nearly all rows of a listing.
        at = _ROW.size + tag_length
        tag, meta = row[_ROW.size : at].decode(), row[at:]
        place = _new(Location, (segment, offset, length, crc))
        null = flags == NULL_VERSION
        kept = CLASS_BY_NUMBER[storage_class]
        facts = (bucket, name, stamp, changed, modified_ns, size, tag, meta, null, False, latest, kept, False, place, b"")
        found: Version = _new(Version, facts)  # As its constructor does, without the cost of that: a page has a thousand.
        return found
    at = _ROW.size
    blob = b""
    if flags & (BLOB | COMPLETES):
        if flags & BLOB:
            blob = row[at : at + BLOB_BYTES]
            at += BLOB_BYTES
        if flags & COMPLETES:
            at += 16
    return Version(
        bucket,
        name,
        stamp,
        changed,
        modified_ns,
        size,
        row[at : at + tag_length].decode(),
        row[at + tag_length :],
        bool(flags & NULL_VERSION),
        bool(flags & MARKER),
        latest,
        CLASS_BY_NUMBER[storage_class],
        bool(flags & MANIFEST),
        None if blob or flags & MARKER else Location(segment, offset, length, crc),
        blob,
    )


def columns_of(rows: Sequence[tuple[bytes, bytes]]) -> Columns:
    """The part of each Version that a page of many shows, from names and rows.

    Rows of one shape, which all are that one client wrote, are read by a single call: at half the cost.
    """
    if not rows:
        return _NO_COLUMNS
    names, entries = zip(*rows, strict=True)
    width, flags, tag_length = len(entries[0]), entries[0][FLAGS_AT], entries[0][_TAG_LENGTH_AT]
    if set(map(len, entries)) == {width}:
        found = zip(*_alike(width, _refers(flags), tag_length).iter_unpack(b"".join(entries)), strict=True)
        all_flags, modified_ns, sizes, tag_lengths, tags, metas = found
        if set(tag_lengths) == {tag_length} and set(map(_refers, set(all_flags))) == {_refers(flags)}:
            return Columns(names, modified_ns, sizes, list(map(bytes.decode, tags)), metas)
    return Columns(names, *zip(*map(_shown, entries), strict=True))


_NO_COLUMNS = Columns((), (), (), (), ())


@lru_cache(256)
def _alike(width: int, refers: int, tag_length: int) -> struct.Struct:
    return struct.Struct(f"{_SUMMARY.format}{refers}x{tag_length}s{width - _ROW.size - refers - tag_length}s")


def _shown(row: bytes) -> tuple[int, int, str, bytes]:
    flags, modified_ns, size, tag_length = _SUMMARY.unpack_from(row)
    at = _ROW.size + (_refers(flags) if flags & (BLOB | COMPLETES) else 0)
    return modified_ns, size, row[at : at + tag_length].decode(), row[at + tag_length :]


def _refers(flags: int) -> int:
    """How many bytes an entry has between its fixed part and its tag."""
    return (BLOB_BYTES if flags & BLOB else 0) + (16 if flags & COMPLETES else 0)


def pack_tombstone(stamp: int, null: bool) -> bytes:
    return _TOMBSTONE.pack(stamp, null)


def tombstone_of(entry: bytes) -> tuple[int, bool]:
    stamp, null = _TOMBSTONE.unpack(entry)
    return stamp, bool(null)


# --- multipart


def pack_part(*, flags: int, modified_ns: int, size: int, blob: bytes, etag: str, facts: bytes) -> bytes:
    tag = etag.encode()
    return b"%b%b%b%b" % (_PART.pack(flags, modified_ns, size, len(tag), len(facts)), blob, tag, facts)


def part_of(number: int, row: bytes) -> Part:
    *_, modified_ns, size, tag_length, facts_length = _PART_ROW.unpack_from(row)
    at = _PART_ROW.size
    blob = row[at : at + BLOB_BYTES]
    at += BLOB_BYTES
    return Part(number, size, row[at : at + tag_length].decode(), row[at + tag_length : at + tag_length + facts_length], modified_ns, blob)


def part_head(entry: bytes) -> tuple[int, int, bytes]:
    """Flags, size and blob of a part's entry."""
    flags, _, size, _, _ = _PART.unpack_from(entry)
    return flags, size, entry[_PART.size : _PART.size + BLOB_BYTES]


def pack_upload(*, bucket: bytes, name: bytes, storage_class: int, started_ns: int, meta: bytes) -> bytes:
    return _UPLOAD.pack(bucket, len(name), storage_class, started_ns, len(meta)) + name + meta


def upload_of(upload: bytes, row: bytes) -> Upload:
    stamp, entry = PLACE.unpack_from(row)[4], row[PLACE_BYTES:]
    bucket, name_length, storage_class, started_ns, meta_length = _UPLOAD.unpack_from(entry)
    at = _UPLOAD.size
    name, meta = entry[at : at + name_length], entry[at + name_length : at + name_length + meta_length]
    return Upload(UUID(bytes=upload), UUID(bytes=bucket), name, started_ns, meta, CLASS_BY_NUMBER[storage_class], stamp)


def upload_bucket(row: bytes) -> bytes:
    """Of a row."""
    return row[PLACE_BYTES : PLACE_BYTES + 16]


def upload_place(entry: bytes) -> tuple[bytes, bytes]:
    """Bucket and name that an upload's entry tells of."""
    bucket, name_length, *_ = _UPLOAD.unpack_from(entry)
    return bucket, entry[_UPLOAD.size : _UPLOAD.size + name_length]


# --- bodies that tell of other bytes


class ExtentFacts(NamedTuple):
    """The body of a record that brings an extent: its size, its code (0, 0 for replicas), how many files it shall have, and the drives
    that had one when it was written (of a code: in the order of fragments)."""

    size: int
    data: int
    parity: int
    copies: int
    drives: tuple[bytes, ...]

    def pack(self) -> bytes:
        return _EXTENT.pack(self.size, self.data, self.parity, self.copies, len(self.drives)) + b"".join(self.drives)

    @classmethod
    def unpack(cls, body: bytes) -> ExtentFacts:
        size, data, parity, copies, count = _EXTENT.unpack_from(body)
        at = _EXTENT.size
        return cls(size, data, parity, copies, tuple(body[at + 16 * i : at + 16 * i + 16] for i in range(count)))


def pack_manifest(parts: Sequence[Part]) -> bytes:
    rows = []
    for part in parts:
        tag = part.etag.encode()
        rows.append(_MANIFEST.pack(part.blob, part.size, part.number, len(tag), len(part.facts)) + tag + part.facts)
    return b"".join(rows)


def manifest_of(body: bytes) -> list[Part]:
    parts, at = [], 0
    while at < len(body):
        blob, size, number, tag_length, facts_length = _MANIFEST.unpack_from(body, at)
        at += _MANIFEST.size
        tag, facts = body[at : at + tag_length], body[at + tag_length : at + tag_length + facts_length]
        at += tag_length + facts_length
        parts.append(Part(number, size, tag.decode(), facts, 0, blob))
    return parts


def pack_abort(segment: int, offset: int) -> bytes:
    return _ABORT.pack(segment, offset)


def abort_of(entry: bytes) -> tuple[int, int]:
    segment, offset = _ABORT.unpack(entry)
    return segment, offset


def class_of(number: int) -> StorageClass:
    return CLASS_BY_NUMBER[number]
