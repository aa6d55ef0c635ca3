"""Machines in one file: a tar of a description (OVF, DMTF DSP0243) and the disks that it names.

Nothing is unpacked under a name of the archive's: what counts is where in the file a member's bytes lie.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree import ElementTree

from compute.image_formats.reading import Inspection, Launch, Reader, Refused

MAGIC, MAGIC_AT = b"ustar", 257
_MEMBERS_MAX = 64
_OVF_BYTES_MAX = 1024**2
_CPU, _MEMORY, _NIC, _DISK = "3", "4", "10", "17"
_UNITS = {"byte": 1, "byte*2^10": 2**10, "byte*2^20": 2**20, "byte*2^30": 2**30, "megabytes": 2**20, "gigabytes": 2**30, "kilobytes": 2**10}


def inspect(file: Reader, raw: BinaryIO) -> tuple[Reader, int, Launch]:
    """The boot disk's window and offset, and what the machine wants."""
    members = _members(raw)
    descriptions = [name for name in members if name.lower().endswith(".ovf")]
    if len(descriptions) != 1:
        raise Refused("The archive holds no description of one machine (a file .ovf). Is it an OVA?")
    at, length = members[descriptions[0]]
    if length > _OVF_BYTES_MAX:
        raise Refused("The description in the OVA is longer than any is.")
    disks, launch = _description(file.at(at, length))
    for disk in disks:
        if disk not in members:
            raise Refused(f"The OVA names a disk that is not in it: {disk[:80]}.")
    boot_at, boot_length = members[disks[0]]
    return file.part(boot_at, boot_length), boot_at, launch


def _members(raw: BinaryIO) -> dict[str, tuple[int, int]]:
    raw.seek(0)
    found: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(fileobj=raw, mode="r:") as archive:
            for member in archive:
                if len(found) >= _MEMBERS_MAX:
                    raise Refused(f"The OVA holds more than {_MEMBERS_MAX} files.")
                if not member.isreg() or member.sparse is not None:
                    raise Refused("The OVA holds something else than plain files.")
                if "/" in member.name or "\\" in member.name or member.name in found or member.name.startswith("."):
                    raise Refused("The OVA holds files in folders, or two of one name.")
                found[member.name] = (member.offset_data, member.size)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, UnicodeError) as error:
        raise Refused("The archive is damaged, or not an OVA.") from error
    return found


def _description(raw: bytes) -> tuple[list[str], Launch]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("The description in the OVA is not UTF-8.") from error
    # Entities are how a small text becomes a large one, or reads a file.
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise Refused("The description in the OVA defines entities, which none needs.")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise Refused("The description in the OVA is no XML.") from error
    files = {_of(each, "id"): (_of(each, "href"), _of(each, "compression")) for each in _all(root, "File")}
    refs = {_of(each, "diskId"): _of(each, "fileRef") for each in _all(root, "Disk")}
    items = [{_bare(part.tag): (part.text or "").strip() for part in item} for item in _all(root, "Item")]
    # A disk's item says which it is: "ovf:/disk/vmdisk1". Those without keep the order in which they were named.
    used = [item["HostResource"].rpartition("/")[2] for item in items if item.get("ResourceType") == _DISK and item.get("HostResource")]
    names = []
    for disk in [*used, *(each for each in refs if each not in used)]:
        href, compression = files.get(refs.get(disk, ""), ("", ""))
        if compression not in ("", "identity"):
            raise Refused("The disks in the OVA are compressed once more. Export it without compression.")
        if href and href not in names:
            names.append(href)
    if not names:
        raise Refused("The OVA describes a machine without a disk.")
    firmware = next((_of(each, "value") for each in _all(root, "Config") if _of(each, "key") == "firmware"), "")
    return names, Launch(
        vcpus=_number(items, _CPU),
        memory_mib=_memory_mib(items),
        nics=sum(item.get("ResourceType") == _NIC for item in items),
        disks=tuple(name[:255] for name in names),
        firmware="uefi" if firmware.lower() == "efi" else "",
    )


def _number(items: list[dict[str, str]], kind: str) -> int:
    text = next((item.get("VirtualQuantity", "") for item in items if item.get("ResourceType") == kind), "")
    return int(text) if re.fullmatch(r"\d{1,9}", text) else 0


def _memory_mib(items: list[dict[str, str]]) -> int:
    units = next((item.get("AllocationUnits", "") for item in items if item.get("ResourceType") == _MEMORY), "")
    unit = _UNITS.get(re.sub(r"\s", "", units).lower(), 2**20)
    return _number(items, _MEMORY) * unit // 2**20


def _bare(name: str) -> str:
    return name.rpartition("}")[2]


def _all(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (each for each in root.iter() if _bare(each.tag) == name)


def _of(element: ElementTree.Element, name: str) -> str:
    """An attribute, whatever its namespace."""
    return next((value for key, value in element.attrib.items() if _bare(key) == name), "")


def disk(inspection: Inspection, *, offset: int, length: int, launch: Launch) -> Inspection:
    """The same disk, as a part of its OVA."""
    if inspection.format not in ("vmdk", "vhd", "vhdx", "raw"):
        raise Refused(f"The disk in the OVA is of a format that none has there: {inspection.format}.")
    facts = {**inspection.facts, "disk": inspection.format}
    if len(launch.disks) > 1:
        facts["disks"] = f"the first of {len(launch.disks)}; the others stay behind: {', '.join(launch.disks[1:])}"[:255]
    return Inspection("ova", inspection.driver, inspection.virtual_bytes, facts, offset, length, launch)
