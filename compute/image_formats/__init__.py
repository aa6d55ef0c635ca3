"""What a file that somebody brought is, read from its bytes alone, before any program opens it.

QEMU opens what an image names: a backing file, a data file, an extent, a parent. So the format is told here from what the file holds,
never by QEMU's own guess, and whatever names another file is refused with its reason. What passes is still opened only in a sandbox.
Nothing here writes, allocates by what a header says, or runs for longer than a bounded number of small reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

from compute.image_formats import iso, ova, qcow2, vdi, vhd, vhdx, vmdk
from compute.image_formats.reading import SECTOR, Inspection, Launch, Reader, Refused

__all__ = ["FORMATS", "Inspection", "Launch", "Reader", "Refused", "inspect"]

FORMATS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "VMDK", "vhd": "VHD", "vhdx": "VHDX", "vdi": "VDI", "ova": "OVA", "iso": "ISO"}

_INSPECT: tuple[tuple[int, bytes, Callable[[Reader], Inspection]], ...] = (
    (0, qcow2.MAGIC, qcow2.inspect),
    (0, vmdk.MAGIC, vmdk.inspect),
    (0, vhdx.MAGIC, vhdx.inspect),
    (0, vhd.COOKIE, vhd.inspect),
    (vdi.MAGIC_AT, vdi.MAGIC, vdi.inspect),
    (iso.MAGIC_AT, iso.MAGIC, iso.inspect),
)
# What is no disk, and would otherwise pass for a raw one.
_REFUSED = (
    (0, b"\x1f\x8b", "The file is compressed by gzip. Unpack it first."),
    (0, b"\xfd7zXZ\0", "The file is compressed by xz. Unpack it first."),
    (0, b"BZh", "The file is compressed by bzip2. Unpack it first."),
    (0, b"\x28\xb5\x2f\xfd", "The file is compressed by zstd. Unpack it first."),
    (0, b"PK\x03\x04", "The file is a zip archive. Unpack it first."),
    (0, b"7z\xbc\xaf\x27\x1c", "The file is a 7z archive. Unpack it first."),
    (0, vmdk.ESX_MAGIC, "This is a disk of an old ESX host. Export it as stream-optimized VMDK instead."),
    (0, b"QED\0", "Files of format QED are not taken. Convert it first: qemu-img convert -O qcow2."),
    (0, b"WithoutFreeSpace", "Disks of Parallels are not taken. Convert it first: qemu-img convert -O qcow2."),
    (0, b"WithouFreSpacExt", "Disks of Parallels are not taken. Convert it first: qemu-img convert -O qcow2."),
    (0, b"Bochs Virtual HD Image", "Disks of Bochs are not taken. Convert it first: qemu-img convert -O qcow2."),
    (0, b"LUKS\xba\xbe", "The disk is encrypted as a whole (LUKS). Decrypt it first."),
    (0, b"\x7fELF", "The file is a program, not a disk."),
    (0, b"%PDF", "The file is a document, not a disk."),
)
_TEXT = re.compile(rb"\A[\t\r\n\x20-\x7e]{64,}\Z")


def inspect(file: BinaryIO, length: int) -> Inspection:
    """What the first `length` bytes of the file are. Raises Refused with the reason, and nothing else; OSError is the disk's own."""
    return _inspect(Reader(file, length), file)


def _inspect(reader: Reader, file: BinaryIO | None) -> Inspection:
    if reader.length < SECTOR:
        raise Refused("The file is too short to be a disk.")
    head = reader.some(0, 1024)
    for at, magic, why in _REFUSED:
        if head[at : at + len(magic)] == magic:
            raise Refused(why)
    for at, magic, read in _INSPECT:
        if reader.some(at, len(magic)) == magic:
            return read(reader)
    words = head.lstrip().lower()
    if words.startswith((b"json:", b"<")) or head.startswith(vmdk.DESCRIPTOR):
        raise Refused("The file only describes a disk that lies elsewhere. Bring the disk itself.")
    if file is not None and head[ova.MAGIC_AT : ova.MAGIC_AT + len(ova.MAGIC)] == ova.MAGIC:
        disk, offset, launch = ova.inspect(reader, file)
        return ova.disk(_inspect(disk, None), offset=offset, length=disk.length, launch=launch)
    if reader.length > SECTOR and reader.some(reader.length - SECTOR, 8) == vhd.COOKIE:
        return vhd.inspect(reader)
    if _TEXT.match(head[:SECTOR]):
        raise Refused("The file is a text, not a disk.")
    return Inspection("raw", "raw", -(-reader.length // SECTOR) * SECTOR)
