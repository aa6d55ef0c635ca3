"""Where on a disk file systems lie, and which."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from compute.filesystems import ext, fat
from compute.filesystems.nodes import FileSystem
from compute.filesystems.source import Source, Unreadable

SECTOR = 512
PARTS_MAX = 128
_EXTENDED = (0x05, 0x0F, 0x85)
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
# What is known by sight and cannot be looked into: (offset, bytes, name).
_KNOWN = (
    (0, b"XFSB", "XFS"),
    (0x10040, b"_BHRfS_M", "Btrfs"),
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (0, b"LUKS\xba\xbe", "an encrypted disk (LUKS)"),
    (512, b"LABELONE", "a part of a volume group (LVM)"),
    (4086, b"SWAPSPACE2", "swap space"),
    (32769, b"CD001", "a CD's file system (ISO 9660)"),
    (4096, b"\xfc\x4e\x2b\xa9", "a part of an array (Linux RAID)"),
    (0, b"hsqs", "SquashFS"),
)


@dataclass(frozen=True)
class Part:
    """`number` as the disk counts, from 1; 0: the file system is on the whole disk. `why_not`: why it cannot be looked into."""

    number: int
    start_bytes: int
    size_bytes: int
    title: str
    label: str = ""
    why_not: str = ""


def parts(disk: Source) -> list[Part]:
    """All partitions of a disk in order; the disk itself when there is no table. An empty disk: one part that says so."""
    if _is_filesystem(disk):
        return [_seen(disk, 0, 0, disk.size_bytes)]
    places = [*_places(disk)]
    if not places:
        return [_seen(disk, 0, 0, disk.size_bytes)]
    return [_seen(disk, number, start, size) for number, start, size in places]


def open_part(disk: Source, part: Part) -> FileSystem:
    """Unreadable for what cannot be looked into, with the reason."""
    if part.why_not:
        raise Unreadable(part.why_not)
    return _opened(disk.window(part.start_bytes, part.size_bytes))


def _is_filesystem(window: Source) -> bool:
    return ext.is_there(window) or fat.is_there(window) or any(window.has(at, mark) for at, mark, _ in _KNOWN)


def _opened(window: Source) -> FileSystem:
    return ext.Ext(window) if ext.is_there(window) else fat.Fat(window)


def _seen(disk: Source, number: int, start: int, size: int) -> Part:
    window = disk.window(start, size)
    for at, mark, name in _KNOWN:
        if window.has(at, mark):
            why = f"It holds {name}, which cannot be looked into here. Restore the disk as a volume and attach that to an instance."
            return Part(number, start, size, name, why_not=why)
    if not (ext.is_there(window) or fat.is_there(window)):
        return Part(number, start, size, "unknown", why_not="There is no file system on it that is known here.")
    try:
        found = _opened(window)
    except Unreadable as error:
        return Part(number, start, size, "damaged", why_not=error.message)
    return Part(number, start, size, found.title, found.label)


def _places(disk: Source) -> Iterator[tuple[int, int, int]]:
    """(number, start, size) in bytes of what the tables tell."""
    if not disk.has(510, b"\x55\xaa"):
        return
    rows = [*_rows(disk.read(0, SECTOR))]
    if any(kind == 0xEE for kind, _, _ in rows):
        yield from _gpt(disk)
        return
    for number, (kind, start, count) in enumerate(rows, 1):
        if kind in _EXTENDED:
            yield from _logical(disk, start)
        elif kind and count:
            yield number, start * SECTOR, count * SECTOR


def _rows(sector: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, first sector, sectors) of the four of a table."""
    for at in range(446, 510, 16):
        start, count = struct.unpack_from("<II", sector, at + 8)
        yield sector[at + 4], start, count


def _logical(disk: Source, base: int) -> Iterator[tuple[int, int, int]]:
    """The partitions in an extended one: a chain of tables, each of which has one partition and where the next table is."""
    here, seen = base, set[int]()
    while here not in seen and len(seen) < PARTS_MAX and disk.has(here * SECTOR + 510, b"\x55\xaa"):
        seen.add(here)
        after = 0
        for kind, start, count in _rows(disk.read(here * SECTOR, SECTOR)):
            if kind in _EXTENDED:
                after = base + start
            elif kind and count:
                yield 4 + len(seen), (here + start) * SECTOR, count * SECTOR
        if not after:
            return
        here = after


def _gpt(disk: Source) -> Iterator[tuple[int, int, int]]:
    header = disk.read(SECTOR, SECTOR)
    mark, _, size, crc, _, _, _, _, _, _, at, count, each, _ = _GPT_HEADER.unpack_from(header)
    if mark != b"EFI PART" or not 92 <= size <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:size]) != crc:
        raise Unreadable("The table of partitions (GPT) is damaged.")
    if each % 8 or not 128 <= each <= 4096:
        raise Unreadable("The table of partitions (GPT) is of a kind that is not known here.")
    for number in range(1, min(count, PARTS_MAX) + 1):
        entry = disk.read(at * SECTOR + (number - 1) * each, 48)
        first, last = struct.unpack_from("<QQ", entry, 32)
        if entry[:16] != bytes(16) and first <= last:
            yield number, first * SECTOR, (last - first + 1) * SECTOR
