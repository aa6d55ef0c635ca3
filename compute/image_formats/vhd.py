"""Microsoft's disks of before 2012 (Virtual Hard Disk Image Format Specification 1.0): fixed and dynamic, never the changes to another."""

from __future__ import annotations

from compute.image_formats.reading import SECTOR, Inspection, Reader, Refused, sane_size

COOKIE = b"conectix"
_SPARSE = b"cxsparse"
_FOOTER_BYTES, _SPARSE_BYTES = 512, 1024
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_GEOMETRY_MAX = (65535, 16, 255)


def inspect(file: Reader) -> Inspection:
    """Of a dynamic disk the footer has a copy at the start, of a fixed one it is at the end alone."""
    at = 0 if file.some(0, 8) == COOKIE else file.length - _FOOTER_BYTES
    footer = file.at(at, _FOOTER_BYTES)
    _checksum(footer, 64)
    version, data_at = (int.from_bytes(footer[start:end], "big") for start, end in ((12, 16), (16, 24)))
    size = int.from_bytes(footer[48:56], "big")
    cylinders, heads, sectors = int.from_bytes(footer[56:58], "big"), footer[58], footer[59]
    kind = int.from_bytes(footer[60:64], "big")
    if version >> 16 != 1:
        raise Refused("This VHD file is of a version that is not understood here.")
    if kind == _DIFFERENCING:
        raise Refused("This VHD file is only the changes to another one (its parent). Merge them first.")
    if kind not in (_FIXED, _DYNAMIC):
        raise Refused("The VHD file does not say whether it is fixed or dynamic.")
    # Some programs go by the size, others by the geometry, unless that is the largest there is.
    geometry = 0 if (cylinders, heads, sectors) == _GEOMETRY_MAX else cylinders * heads * sectors * SECTOR
    virtual = sane_size(max(size, geometry), what="VHD file")
    if kind == _DYNAMIC:
        _dynamic(file, data_at, size)
    elif size > file.length - _FOOTER_BYTES:
        raise Refused("The file is cut off, or its header points past its end.")
    return Inspection("vhd", "vpc", virtual, {"kind": "fixed" if kind == _FIXED else "dynamic"})


def _dynamic(file: Reader, at: int, size: int) -> None:
    header = file.at(at, _SPARSE_BYTES)
    if not header.startswith(_SPARSE):
        raise Refused("The VHD file is damaged: the header of a dynamic disk is not where it should be.")
    _checksum(header, 36)
    table_at = int.from_bytes(header[16:24], "big")
    entries, block = int.from_bytes(header[28:32], "big"), int.from_bytes(header[32:36], "big")
    if not SECTOR <= block <= 256 * 1024**2 or block & (block - 1):
        raise Refused("The VHD file is damaged: no file has blocks of that size.")
    if entries < -(-size // block):
        raise Refused("The VHD file is damaged: its table of blocks does not fit the disk.")
    if any(header[40:56]) or any(header[576:]):  # the parent's id; where it lies on disk
        raise Refused("This VHD file speaks of a parent. Merge them first.")
    file.at(table_at, entries * 4)


def _checksum(record: bytes, at: int) -> None:
    wanted = int.from_bytes(record[at : at + 4], "big")
    if ~(sum(record) - sum(record[at : at + 4])) & 0xFFFFFFFF != wanted:
        raise Refused("The VHD file is damaged: a checksum does not fit.")
