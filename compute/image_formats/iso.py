"""Discs (ECMA-119, which is ISO 9660; El Torito for how they boot)."""

from __future__ import annotations

from compute.image_formats.reading import Inspection, Reader

MAGIC, MAGIC_AT = b"CD001", 0x8001
_SECTOR = 2048
_DESCRIPTORS_MAX = 32
_EL_TORITO = b"EL TORITO SPECIFICATION"


def inspect(file: Reader) -> Inspection:
    label = file.some(0x8028, 32).decode("ascii", "replace").strip()
    bootable = False
    for number in range(_DESCRIPTORS_MAX):
        found = file.some(0x8000 + number * _SECTOR, 64)
        if len(found) < 64 or found[1:6] != MAGIC or found[0] == 255:
            break
        bootable = bootable or (found[0] == 0 and found[7:30] == _EL_TORITO)
    return Inspection("iso", "raw", file.length, {"label": label, "boots": "yes" if bootable else "no"})
