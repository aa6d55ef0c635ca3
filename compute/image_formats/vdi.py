"""VirtualBox's disks: fixed and dynamic, never the changes to another (the header as VirtualBox 1.1 and later writes it)."""

from __future__ import annotations

from compute.image_formats.reading import SECTOR, Inspection, Reader, Refused, sane_size

MAGIC, MAGIC_AT = b"\x7f\x10\xda\xbe", 0x40
_DYNAMIC, _FIXED = 1, 2
_BLOCK_BYTES = 1024**2


def inspect(file: Reader) -> Inspection:
    version, _, kind = file.unpack("<III", 0x44)
    if version != 0x00010001:
        raise Refused("This VDI file is of a version that is not understood here.")
    map_at, data_at, _, _, _, sector, _, size, block, _, blocks, allocated = file.unpack("<IIIIIIIQIIII", 0x154)
    parents = file.at(0x1A8, 32)  # whose changes these are: the last snapshot, the parent
    if kind not in (_DYNAMIC, _FIXED) or any(parents):
        raise Refused("This VDI file is only the changes to another one (a snapshot or a linked copy). Copy the whole disk first.")
    if sector != SECTOR or block != _BLOCK_BYTES or map_at % SECTOR or data_at % SECTOR:
        raise Refused("The VDI header is damaged: its sizes make no sense.")
    sane_size(size, what="VDI file")
    if blocks < -(-size // block) or blocks > 2**27 or allocated > blocks:
        raise Refused("The VDI header is damaged: its table of blocks does not fit the disk.")
    file.at(map_at, blocks * 4)
    return Inspection("vdi", "vdi", size, {"kind": "fixed" if kind == _FIXED else "dynamic"})
