"""What changed on a disk between two snapshots in its qcow2 file: by comparing the tables of QEMU, not the bytes of the tenant.

While a snapshot is there, none of its clusters is written to: whoever writes gets a new one. So a cluster of the disk that lies at the
same place in the file for both snapshots holds the same bytes, and a table that both share need not even be read. That is as exact as a
dirty bitmap, and outlives whatever ends one: a crash of QEMU or of the host, a guest that was off, a disk that went back to a snapshot,
an attachment to another instance. The price is what a snapshot costs: the old bytes stay until the next backup.

Layout: https://www.qemu.org/docs/master/interop/qcow2.html. Everything read is checked against the file's own size: a guest cannot write
here, but a broken file must not lead anywhere either.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_L1_MASK = 0x00FFFFFFFFFFFE00
_COPIED = 1 << 63
_EXTENDED_L2 = 1 << 4
_L1_ENTRIES_MAX = 4 * 2**20
_SNAPSHOTS_MAX = 65536


class Unknown(Exception):
    """The file does not tell; the whole disk has to be read."""


@dataclass(frozen=True)
class _Table:
    """The first level of a snapshot's tables."""

    entries: tuple[int, ...]
    size_bytes: int


def changed(path: Path, before: UUID, after: UUID) -> Iterator[tuple[int, int]]:
    """(offset, length) of the parts of the disk that may differ, in order. Raises Unknown before it gives anything, or not at all."""
    file = os.open(path, os.O_RDONLY)
    try:
        cluster_bits, tables = _snapshots(file, {before, after})
        old, new = tables[before], tables[after]
        cluster = 1 << cluster_bits
        per_table = cluster // 8
        reach = per_table * cluster
        yield from _merged(_differing(file, old, new, cluster, per_table, reach), new.size_bytes)
    finally:
        os.close(file)


def size_of(path: Path, snapshot_id: UUID) -> int | None:
    """How large the disk was at a snapshot, in bytes; None: the file does not tell."""
    file = os.open(path, os.O_RDONLY)
    try:
        return _snapshots(file, {snapshot_id})[1][snapshot_id].size_bytes
    except Unknown:
        return None
    finally:
        os.close(file)


def _snapshots(file: int, wanted: set[UUID]) -> tuple[int, dict[UUID, _Table]]:
    head = os.pread(file, 104, 0)
    if len(head) < 104 or head[:4] != b"QFI\xfb" or struct.unpack_from(">I", head, 4)[0] != 3:
        raise Unknown("not a qcow2 file of version 3")
    (cluster_bits,) = struct.unpack_from(">I", head, 20)
    (virtual,) = struct.unpack_from(">Q", head, 24)
    count, offset = struct.unpack_from(">IQ", head, 60)
    (incompatible,) = struct.unpack_from(">Q", head, 72)
    if incompatible & _EXTENDED_L2 or not 9 <= cluster_bits <= 21 or count > _SNAPSHOTS_MAX:
        raise Unknown("subclusters, or a strange size of clusters")
    found: dict[UUID, _Table] = {}
    for _ in range(count):
        row = os.pread(file, 40, offset)
        if len(row) < 40:
            raise Unknown("the list of snapshots is cut off")
        l1_offset, l1_size, id_length, name_length = struct.unpack_from(">QIHH", row)
        (extra_length,) = struct.unpack_from(">I", row, 36)
        if extra_length > 1024:
            raise Unknown("a snapshot of an unknown kind")
        rest = os.pread(file, extra_length + id_length + name_length, offset + 40)
        name = rest[extra_length + id_length :].decode(errors="replace")
        size = struct.unpack_from(">Q", rest, 8)[0] if extra_length >= 16 else virtual
        try:
            id = UUID(name)
        except ValueError:
            id = None
        if id in wanted:
            found[id] = _Table(_entries(file, l1_offset, l1_size), size)  # type: ignore[index]
        offset += (40 + extra_length + id_length + name_length + 7) // 8 * 8
    if set(found) != wanted:
        raise Unknown("one of the snapshots is not there")
    return cluster_bits, found


def _entries(file: int, offset: int, count: int) -> tuple[int, ...]:
    if count > _L1_ENTRIES_MAX:
        raise Unknown("a table of a strange length")
    data = os.pread(file, count * 8, offset)
    if len(data) != count * 8:
        raise Unknown("a table is cut off")
    return struct.unpack(f">{count}Q", data)


def _differing(file: int, old: _Table, new: _Table, cluster: int, per_table: int, reach: int) -> Iterator[tuple[int, int]]:
    for number in range(-(-new.size_bytes // reach)):
        here = _at(new.entries, number) & _L1_MASK
        there = _at(old.entries, number) & _L1_MASK
        start = number * reach
        if here != there:
            mine, theirs = _second(file, here, per_table), _second(file, there, per_table)
            if mine is None or theirs is None:
                yield start, reach
            elif mine != theirs:
                for index, (a, b) in enumerate(zip(struct.iter_unpack(">Q", mine), struct.iter_unpack(">Q", theirs), strict=True)):
                    if a[0] & ~_COPIED != b[0] & ~_COPIED:
                        yield start + index * cluster, cluster
        # What lies behind the old end is new, even where the tables are the same.
        if start + reach > old.size_bytes:
            first = max(start, old.size_bytes)
            yield first, start + reach - first


def _at(entries: tuple[int, ...], number: int) -> int:
    return entries[number] if number < len(entries) else 0


def _second(file: int, offset: int, per_table: int) -> bytes | None:
    """A table of the second level; all zeros where there is none. None: it cannot be read, so everything below it may differ."""
    if not offset:
        return bytes(per_table * 8)
    data = os.pread(file, per_table * 8, offset)
    return data if len(data) == per_table * 8 else None


def _merged(parts: Iterator[tuple[int, int]], size_bytes: int) -> Iterator[tuple[int, int]]:
    """Neighbours as one, and nothing behind the end."""
    start = end = 0
    for offset, length in parts:
        if offset > end:
            if end > start:
                yield start, min(end, size_bytes) - start
            start = offset
        end = max(end, offset + length)
    if min(end, size_bytes) > start:
        yield start, min(end, size_bytes) - start
