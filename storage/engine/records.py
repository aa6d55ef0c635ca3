"""Records: how a change looks on a drive, and how to find records again in a segment, damaged or not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from awscrt.checksums import crc32c

FORMAT = 1
MAGIC = b"CbR1"
SEGMENT_MAGIC = b"CbxSegm1"
SEGMENT_HEADER_BYTES = 4096

PUT, DELETE, PART, UPLOAD, UPLOAD_END, DROP, ABORT = range(1, 8)

_HEADER = struct.Struct("<4sQBBHQIIII")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
_SEGMENT = struct.Struct("<8sQBBHQ16sB")

_WINDOW_BYTES = 4 << 20


class Record(NamedTuple):
    """One change. `stamp` makes it unique and orders it among all changes to its identity."""

    type: int
    stamp: int
    key: bytes
    entry: bytes
    body: bytes | memoryview = b""
    body_crc: int = 0


class Found(NamedTuple):
    """A record as it lies in a segment."""

    offset: int
    record: Record

    @property
    def body_offset(self) -> int:
        return self.offset + HEADER_BYTES + len(self.record.key) + len(self.record.entry)

    @property
    def end(self) -> int:
        return self.body_offset + len(self.record.body)


class SegmentHeader(NamedTuple):
    segment: int
    worker: int
    storage_class: int
    capacity: int
    store: bytes
    drives: tuple[bytes, ...]  # That were to have a replica when it was made.


def head_of(segment: int, record: Record) -> bytes:
    """Header, key and entry as bytes; the body follows them on the drive."""
    kind, stamp, key, entry, body, body_crc = record
    crc = crc32c(entry, crc32c(key))
    header = _HEADER.pack(MAGIC, segment, kind, FORMAT, len(key), stamp, len(entry), len(body), crc, body_crc)
    return b"%b%b%b%b" % (header, crc32c(header).to_bytes(4, "little"), key, entry)


def size_of(key_length: int, entry_length: int, body_length: int) -> int:
    return HEADER_BYTES + key_length + entry_length + body_length


def segment_header(header: SegmentHeader) -> bytes:
    """The first 4,096 bytes of a segment."""
    packed = _SEGMENT.pack(
        SEGMENT_MAGIC,
        header.segment,
        header.worker,
        header.storage_class,
        SEGMENT_HEADER_BYTES,
        header.capacity,
        header.store,
        len(header.drives),
    ) + b"".join(header.drives)
    return (packed + _CRC.pack(crc32c(packed))).ljust(SEGMENT_HEADER_BYTES, b"\0")


def parse_segment_header(raw: bytes) -> SegmentHeader | None:
    """None if this is no segment of a format that we know."""
    if len(raw) < SEGMENT_HEADER_BYTES:
        return None
    magic, segment, worker, storage_class, length, capacity, store, count = _SEGMENT.unpack_from(raw)
    end = _SEGMENT.size + 16 * count
    if magic != SEGMENT_MAGIC or length != SEGMENT_HEADER_BYTES or end + 4 > len(raw) or _CRC.unpack_from(raw, end)[0] != crc32c(raw[:end]):
        return None
    drives = tuple(raw[at : at + 16] for at in range(_SEGMENT.size, end, 16))
    return SegmentHeader(segment, worker, storage_class, capacity, store, drives)


def head_at(data: bytes, at: int) -> Record | None:
    """What a record's head, key and entry say, if they are sound, of a record whose body need not be."""
    if at + HEADER_BYTES > len(data):
        return None
    header = data[at : at + HEADER_BYTES]
    if header[:4] != MAGIC or _CRC.unpack_from(header, _HEADER.size)[0] != crc32c(header[: _HEADER.size]):
        return None
    _, _, kind, _, key_length, stamp, entry_length, _, crc, body_crc = _HEADER.unpack_from(header)
    start = at + HEADER_BYTES
    key, entry = data[start : start + key_length], data[start + key_length : start + key_length + entry_length]
    return Record(kind, stamp, key, entry, b"", body_crc) if crc32c(key + entry) == crc else None


class _Window:
    """A forward view of a file: big reads, small looks."""

    def __init__(self, read: Callable[[int, int], bytes], end: int) -> None:
        self._read, self._end = read, end
        self._base, self._data = 0, b""

    def at(self, offset: int, length: int) -> memoryview | None:
        """These bytes, or None if the file ends before."""
        if offset + length > self._end:
            return None
        if not (self._base <= offset and offset + length <= self._base + len(self._data)):
            self._base = offset
            self._data = self._read(offset, min(max(length, _WINDOW_BYTES), self._end - offset))
            if len(self._data) < length:
                return None
        start = offset - self._base
        return memoryview(self._data)[start : start + length]

    def find(self, needle: bytes, offset: int) -> int:
        """The next place of these bytes at or after the offset, or -1."""
        while offset + len(needle) <= self._end:
            if not (self._base <= offset and offset + len(needle) <= self._base + len(self._data)):
                self._base, self._data = offset, self._read(offset, min(_WINDOW_BYTES, self._end - offset))
                if len(self._data) < len(needle):
                    return -1
            at = self._data.find(needle, offset - self._base)
            if at >= 0:
                return self._base + at
            offset = self._base + len(self._data) - len(needle) + 1
        return -1


def scan(read: Callable[[int, int], bytes], segment: int, start: int, end: int) -> Iterator[Found]:
    """Every sound record of this segment between two offsets, in order; `read(offset, length)` gives the bytes.

    What is damaged is passed over: by its length if its header is sound, else by searching for the next header. Bodies are
    copied out, so a caller may keep them.
    """
    needle = MAGIC + segment.to_bytes(8, "little")
    window = _Window(read, end)
    offset = max(start, SEGMENT_HEADER_BYTES)
    while True:
        header = window.at(offset, HEADER_BYTES)
        if header is None or header[:12] != needle or _CRC.unpack_from(header, _HEADER.size)[0] != crc32c(header[: _HEADER.size]):
            offset = window.find(needle, offset + 1 if header is not None and header[:12] == needle else offset)
            if offset < 0:
                return
            header = window.at(offset, HEADER_BYTES)
            if header is None:
                return
            if _CRC.unpack_from(header, _HEADER.size)[0] != crc32c(header[: _HEADER.size]):
                offset += 1
                continue
        _, _, kind, version, key_length, stamp, entry_length, body_length, crc, body_crc = _HEADER.unpack_from(header)
        whole = size_of(key_length, entry_length, body_length)
        payload = window.at(offset + HEADER_BYTES, whole - HEADER_BYTES)
        if payload is None:  # Cut off: nothing whole can follow under this header, but a later one may.
            offset += 1
            continue
        head = key_length + entry_length
        if version == FORMAT and crc32c(payload[:head]) == crc and crc32c(payload[head:]) == body_crc:
            key, entry = bytes(payload[:key_length]), bytes(payload[key_length:head])
            yield Found(offset, Record(kind, stamp, key, entry, bytes(payload[head:]), body_crc))
        offset += whole
