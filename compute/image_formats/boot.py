"""Whether a disk is likely to boot, and how, judged by its first two mebibytes: boot code, partition table, what the partitions say.

A guess that says its grounds: nothing is mounted, and a boot loader can still be broken.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from uuid import UUID

from compute.image_formats.reading import SECTOR, Reader, Refused

HEAD_BYTES = 2 * 1024**2
_EFI_SYSTEM = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")
_MICROSOFT = (UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"), UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae"))
_GPT_ENTRIES_MAX = 256
_TYPE_PROTECTIVE, _TYPE_EFI, _TYPE_NTFS = 0xEE, 0xEF, 0x07


@dataclass(frozen=True, slots=True)
class Verdict:
    """`table`: "gpt", "mbr" or "". `system`: "windows" where the partitions say so."""

    table: str
    bios: bool
    uefi: bool
    system: str = ""

    @property
    def sentence(self) -> str:
        if self.bios:
            return "It looks bootable" + (" by BIOS and by UEFI." if self.uefi else " by BIOS.")
        if self.uefi:
            return "It boots by UEFI only: it has an EFI system partition, and no boot code for BIOS."
        if not self.table:
            return "It has neither boot code nor partitions: it is data rather than a system."
        return "It has partitions, but no boot code and no EFI system partition: it will not boot by itself."


def judge(head: bytes) -> Verdict:
    """Of the disk's first bytes, HEAD_BYTES or less."""
    reader = Reader(io.BytesIO(head), len(head))
    first = reader.some(0, SECTOR)
    if len(first) < SECTOR or first[510:] != b"\x55\xaa":
        return Verdict("", bios=False, uefi=False)
    has_code = any(first[:440])
    entries = [first[446 + 16 * number : 462 + 16 * number] for number in range(4)]
    types = {entry[4] for entry in entries if entry[4]}
    if _TYPE_PROTECTIVE in types:
        kinds = _gpt(reader)
        windows = "windows" if kinds & {*_MICROSOFT} else ""
        # Boot code beside GPT is GRUB's, which needs a partition of its own for the rest; or a hybrid disc's.
        bios = has_code and (_BIOS_BOOT in kinds or _EFI_SYSTEM not in kinds)
        return Verdict("gpt", bios=bios, uefi=_EFI_SYSTEM in kinds, system=windows)
    if not types:
        return Verdict("", bios=has_code, uefi=False)
    ntfs = any(entry[4] == _TYPE_NTFS and _is_ntfs(reader, int.from_bytes(entry[8:12], "little")) for entry in entries)
    return Verdict("mbr", bios=has_code, uefi=_TYPE_EFI in types, system="windows" if ntfs else "")


def _gpt(reader: Reader) -> set[UUID]:
    try:
        magic, at, count, size = reader.unpack("<8s64xQII", SECTOR)
        if magic != b"EFI PART" or not 128 <= size <= 4096 or count > _GPT_ENTRIES_MAX:
            return set()
        found = {UUID(bytes_le=reader.at(at * SECTOR + number * size, 16)) for number in range(count)}
    except Refused:
        return set()
    return found - {UUID(int=0)}


def _is_ntfs(reader: Reader, sector: int) -> bool:
    return reader.some(sector * SECTOR + 3, 8) == b"NTFS    "
