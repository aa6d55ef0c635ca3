"""Microsoft's disks since 2012 (MS-VHDX): never with a parent, and closed cleanly."""

from __future__ import annotations

from uuid import UUID

from compute.image_formats.reading import Inspection, Reader, Refused, sane_size

MAGIC = b"vhdxfile"
_KIB, _MIB = 1024, 1024**2
_HEADERS = (64 * _KIB, 128 * _KIB)
_REGIONS = (192 * _KIB, 256 * _KIB)
_ENTRIES_MAX = 2047
_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_BLOCKS = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_PARENT = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")


def inspect(file: Reader) -> Inspection:
    _header(file)
    regions = _regions(file)
    if not {_METADATA, _BLOCKS} <= regions.keys():
        raise Refused("The VHDX file is damaged: a region that every file has is not there.")
    items = _items(file.part(*regions[_METADATA]))
    if _PARENT in items:
        raise Refused("This VHDX file is only the changes to another one (its parent). Merge them first.")
    if not {_PARAMETERS, _SIZE} <= items.keys():
        raise Refused("The VHDX file is damaged: it does not say how large its disk is.")
    block, flags = items[_PARAMETERS].unpack("<II", 0)
    if flags & 2:
        raise Refused("This VHDX file is only the changes to another one (its parent). Merge them first.")
    if not _MIB <= block <= 256 * _MIB or block & (block - 1):
        raise Refused("The VHDX file is damaged: no file has blocks of that size.")
    (size,) = items[_SIZE].unpack("<Q", 0)
    return Inspection("vhdx", "vhdx", sane_size(size, what="VHDX file"), {"block": f"{block // _MIB} MiB"})


def _header(file: Reader) -> None:
    """The one of the two that was written last; it names a log if changes still wait to be written to their places."""
    found = [(sequence, log) for magic, sequence, log in (_one_header(file, at) for at in _HEADERS) if magic == b"head"]
    if not found:
        raise Refused("The VHDX file is damaged: it has no header.")
    if max(found)[1] != bytes(16):
        raise Refused("The VHDX file was not closed cleanly. Mount it once on Windows, or convert it with qemu-img, and try again.")


def _one_header(file: Reader, at: int) -> tuple[bytes, int, bytes]:
    magic, sequence, log = file.unpack("<4s4xQ32x16s", at)
    return magic, sequence, log


def _regions(file: Reader) -> dict[UUID, tuple[int, int]]:
    for at in _REGIONS:
        magic, count = file.unpack("<4s4xI", at)
        if magic == b"regi" and count <= _ENTRIES_MAX:
            rows = [file.unpack("<16sQII", at + 16 + 32 * number) for number in range(count)]
            return {UUID(bytes_le=name): (offset, length) for name, offset, length, _ in rows}
    raise Refused("The VHDX file is damaged: it has no table of regions.")


def _items(metadata: Reader) -> dict[UUID, Reader]:
    magic, count = metadata.unpack("<8s2xH", 0)
    if magic != b"metadata" or count > _ENTRIES_MAX:
        raise Refused("The VHDX file is damaged: its metadata are none.")
    rows = [metadata.unpack("<16sIII", 32 + 32 * number) for number in range(count)]
    return {UUID(bytes_le=name): metadata.part(offset, length) for name, offset, length, _ in rows}
