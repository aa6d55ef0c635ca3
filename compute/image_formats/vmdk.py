"""VMware's disks: one file that holds its own data, sparse or stream-optimized (VMware, Virtual Disk Format 5.0).

The embedded descriptor is a text that may name other files: extents of any kind, and a parent. QEMU opens what it names, so only a
descriptor whose single extent is the file itself passes; and no header of capacity 0, which makes QEMU read the descriptor instead.
QEMU looks for a parent where most files have their descriptor, whatever place and length the header names; so they must be the same.
"""

from __future__ import annotations

import re

from compute.image_formats.reading import SECTOR, Inspection, Reader, Refused, sane_size

MAGIC = b"KDMV"
ESX_MAGIC = b"COWD"
DESCRIPTOR = b"# Disk DescriptorFile"
_COMPRESSED, _MARKERS = 1 << 16, 1 << 17
_GD_AT_END = 2**64 - 1
_DESCRIPTOR_SECTORS_MAX = 2048
# Where QEMU reads the text that may name a parent, and how much of it (its block driver "vmdk": 20 sectors from byte 0x200).
_DESCRIPTOR_AT, _PARENT_SECTORS = 1, 20
_HEADER = "<IIQQQQIQQQBccccH"
_EXTENT = re.compile(r"^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\S+)(?:\s+(.*))?$")
_KINDS = ("monolithicsparse", "streamoptimized")


def inspect(file: Reader) -> Inspection:
    kind, compressed, capacity = _header(file, 0)
    if kind == "streamoptimized" and not compressed:
        raise Refused("The VMDK file contradicts itself: stream-optimized, and not compressed.")
    return Inspection("vmdk", "vmdk", sane_size(capacity * SECTOR, what="VMDK file"), {"kind": kind})


def _header(file: Reader, at: int) -> tuple[str, bool, int]:
    version, flags, capacity, grain, descriptor_at, descriptor_sectors, entries, _, tables_at, overhead, *_, compression = file.unpack(
        _HEADER, at + 4
    )
    if version not in (1, 2, 3):
        raise Refused(f"This is version {version} of VMDK; 1 to 3 are understood.")
    if not capacity:
        raise Refused("This VMDK file holds no disk, only a description of one in other files. Put it into one file first.")
    if grain < 8 or grain > 2048 or grain & (grain - 1):
        raise Refused("The VMDK header is damaged: no file has grains of that size.")
    if not 1 <= entries <= 512 or capacity > 2**53 or overhead > 2**40:
        raise Refused("The VMDK header is damaged: its tables make no sense.")
    if compression not in (0, 1):
        raise Refused("This VMDK file is compressed in a way that is not understood here.")
    compressed = bool(flags & _COMPRESSED)
    if tables_at == _GD_AT_END:
        _footer(file, capacity, grain)
    elif tables_at * SECTOR >= file.length:
        raise Refused("The file is cut off, or its header points past its end.")
    if not descriptor_at or not 0 < descriptor_sectors <= _DESCRIPTOR_SECTORS_MAX:
        raise Refused("This VMDK file is one of several: its description is not in it. Put it into one file first.")
    if descriptor_at != _DESCRIPTOR_AT:
        raise Refused(
            "The description in the VMDK file lies where none does. Export it once more, or convert it: qemu-img convert -O vmdk."
        )
    text = file.at(descriptor_at * SECTOR, descriptor_sectors * SECTOR)
    kind = _descriptor(text + file.some(SECTOR + len(text), (_PARENT_SECTORS - descriptor_sectors) * SECTOR))
    return kind, compressed, capacity


def _footer(file: Reader, capacity: int, grain: int) -> None:
    """Written last, since a stream knows only then where its tables are: a copy of the header, that must say the same."""
    if file.length % SECTOR:  # QEMU rounds up, and would find another footer than we do
        raise Refused("The VMDK file is cut off: it does not end with a whole sector.")
    at = file.length - 2 * SECTOR
    magic, _, _, again, grain_again = file.unpack("<4sIIQQ", at)
    if magic != MAGIC or (again, grain_again) != (capacity, grain):
        raise Refused("The VMDK file is cut off: what its last sectors should say is not there.")


def _descriptor(raw: bytes) -> str:
    """The kind of the disk. Raises Refused for whatever names another file."""
    try:
        text = raw.split(b"\0", 1)[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("The description in the VMDK file is not text.") from error
    kind, extents = "", 0
    # QEMU looks for words anywhere in the text; so do we, whatever line ends it has.
    if re.search(r"parentFileNameHint", text, re.IGNORECASE):
        raise Refused("This VMDK file is only the changes to another one (its parent). Put them together first.")
    for line in (each.strip() for each in re.split(r"[\r\n]+", text)):
        name, _, value = (part.strip() for part in line.partition("="))
        if name.lower() == "createtype":
            kind = value.strip('"').lower()
        elif name.lower() == "parentcid" and value.lower() != "ffffffff":
            raise Refused("This VMDK file is only the changes to another one (its parent). Put them together first.")
        elif found := _EXTENT.match(line):
            extents += 1
            if found[3].upper() != "SPARSE":
                raise Refused("This VMDK file says that its data lie in other files. Put it into one file first: qemu-img convert -O vmdk.")
    if kind not in _KINDS:
        raise Refused(f"VMDK files of this kind ({kind[:40] or 'unnamed'}) lie in several files. Bring a streamOptimized one instead.")
    if extents != 1:
        raise Refused("This VMDK file says that its data lie in several files. Put it into one file first: qemu-img convert -O vmdk.")
    return kind
