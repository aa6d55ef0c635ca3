"""Files that somebody brings: what passes, what is refused and with which reason, and that nothing else ever happens."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compute.image_formats import Inspection, Refused, inspect
from compute.image_formats.reading import TIB

MIB = 1024**2
MAKE: dict[str, list[str]] = {
    "qcow2": ["-f", "qcow2"],
    "qcow2-v2": ["-f", "qcow2", "-o", "compat=0.10"],
    "qcow2-zstd": ["-f", "qcow2", "-o", "compression_type=zstd,extended_l2=on"],
    "vmdk": ["-f", "vmdk"],
    "vmdk-stream": ["-f", "vmdk", "-o", "subformat=streamOptimized"],
    "vhd": ["-f", "vpc", "-o", "force_size=on"],
    "vhd-fixed": ["-f", "vpc", "-o", "subformat=fixed,force_size=on"],
    "vhdx": ["-f", "vhdx"],
    "vdi": ["-f", "vdi"],
    "vdi-fixed": ["-f", "vdi", "-o", "static=on"],
}


def look(data: bytes) -> Inspection:
    return inspect(io.BytesIO(data), len(data))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One file of each kind, by QEMU itself; 8 MiB with something in them."""
    folder = tmp_path_factory.mktemp("formats")
    raw = folder / "raw"
    raw.write_bytes(b"\xeb\x3c" + bytes(508) + b"\x55\xaa" + b"data" * 4096 + bytes(8 * MIB - 512 - 16384))
    for name, how in MAKE.items():
        options = [word for word in how if word != "-f"]
        argv = ["qemu-img", "convert", "-f", "raw", "-O", options[0], *options[1:], str(raw), str(folder / name)]
        subprocess.run(argv, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", [*MAKE, "raw"])
def test_what_qemu_writes_passes(made: dict[str, bytes], name: str) -> None:
    found = look(made[name])
    assert found.format == name.partition("-")[0]
    assert found.virtual_bytes == 8 * MIB
    assert found.driver == {"vhd": "vpc"}.get(found.format, found.format)


def at(offset: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:offset] + new + data[offset + len(new) :]


def text(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new + bytes(max(0, len(old) - len(new))), 1) if len(new) <= len(old) else _longer(data, old, new)

    return change


def _longer(data: bytes, old: bytes, new: bytes) -> bytes:
    """Into the zeros that follow the text."""
    start = data.index(old)
    end = data.index(b"\0", start)
    whole = data[start:end].replace(old, new, 1)
    assert not any(data[end : start + len(whole)])
    return data[:start] + whole + data[start + len(whole) :]


def vhd(change: Callable[[bytearray], None]) -> Callable[[bytes], bytes]:
    """A dynamic VHD with another footer, whose checksum fits."""

    def changed(data: bytes) -> bytes:
        footer = bytearray(data[:512])
        change(footer)
        footer[64:68] = bytes(4)
        footer[64:68] = (~sum(footer) & 0xFFFFFFFF).to_bytes(4, "big")
        return bytes(footer) + data[512:]

    return changed


def _differencing(footer: bytearray) -> None:
    footer[60:64] = (4).to_bytes(4, "big")


def _endless(footer: bytearray) -> None:
    footer[48:56] = (2**62).to_bytes(8, "big")


PARENT = b'parentCID=12345678\nparentFileNameHint="/etc/shadow"\n\0'


def decoy(data: bytes) -> bytes:
    """A clean description where the header says, and one with a parent where QEMU reads it."""
    data += bytes(-len(data) % 512)
    moved = at(28, struct.pack("<QQ", len(data) // 512, 20))(data + data[512 : 21 * 512])
    return at(512, PARENT)(moved)


def overlong(data: bytes) -> bytes:
    """A description that goes on behind the length that the header says."""
    clean = data[512 : data.index(b"\0", 512)]
    assert len(clean) <= 512
    return at(28, struct.pack("<QQ", 1, 1))(at(512, clean.ljust(512, b"\n") + PARENT)(data))


EXTENT = b'RW 16384 SPARSE "'
HOSTILE: list[tuple[str, str, Callable[[bytes], bytes], str]] = [
    ("backing file", "qcow2", at(8, struct.pack(">QI", 512, 11)), "backing file"),
    ("backing file of version 2", "qcow2-v2", at(8, struct.pack(">QI", 512, 11)), "backing file"),
    ("backing length without an offset", "qcow2", at(16, struct.pack(">I", 11)), "backing file"),
    ("data file", "qcow2", at(72, struct.pack(">Q", 4)), "another file"),
    ("data file by extension", "qcow2", at(112, struct.pack(">II", 0x44415441, 8) + b"/etc/pwd" + bytes(8)), "another file"),
    ("backing format by extension", "qcow2", at(112, struct.pack(">II", 0xE2792ACA, 5) + b"vvfat"), "backing"),
    ("encryption", "qcow2", at(32, struct.pack(">I", 2)), "encrypted"),
    ("an extension longer than the header", "qcow2", at(112, struct.pack(">II", 7, 2**31)), "damaged"),
    ("marked as damaged", "qcow2", at(72, struct.pack(">Q", 2)), "damaged"),
    ("unknown features", "qcow2", at(72, struct.pack(">Q", 1 << 40)), "not understood"),
    ("version 9", "qcow2", at(4, struct.pack(">I", 9)), "version 9"),
    ("a disk of 8 EiB", "qcow2", at(24, struct.pack(">Q", 2**63 - 512)), "TiB"),
    ("a disk of nothing", "qcow2", at(24, bytes(8)), "no size"),
    ("clusters of 4 GiB", "qcow2", at(20, struct.pack(">I", 32)), "clusters"),
    ("a table of 32 GiB", "qcow2", at(36, struct.pack(">I", 2**32 - 1)), "table"),
    ("a table past the end", "qcow2", at(40, struct.pack(">Q", 2**40)), "past its end"),
    ("a million snapshots", "qcow2", at(60, struct.pack(">I", 10**6)), "snapshots"),
    ("a flat extent", "vmdk", text(EXTENT, b'RW 16384 FLAT   "'), "other files"),
    ("two extents", "vmdk", text(EXTENT, b'RW 1 SPARSE "b"\nRW 16384 SPARSE "'), "several files"),
    ("a parent", "vmdk", text(b"parentCID=ffffffff", b"parentCID=12345678"), "parent"),
    ("a parent's name", "vmdk", text(b"version=1", b'version=1\nparentFileNameHint="/etc/shadow"'), "parent"),
    ("a parent's name behind a carriage return", "vmdk", text(b"version=1", b'version=1\rPARENTFILENAMEHINT="x"'), "parent"),
    ("a parent's name where QEMU looks for it", "vmdk", decoy, "lies where none does"),
    ("a parent's name where QEMU looks for it", "vmdk-stream", decoy, "lies where none does"),
    ("a parent's name behind the description's end", "vmdk", overlong, "parent"),
    ("a footer that rounding moves", "vmdk-stream", lambda data: at(56, b"\xff" * 8)(data) + b"\0", "whole sector"),
    ("flat by kind", "vmdk", text(b'createType="monolithicSparse"', b'createType="monolithicFlat"'), "several files"),
    ("capacity 0", "vmdk", at(12, bytes(8)), "description"),
    ("no descriptor", "vmdk", at(28, bytes(16)), "description"),
    ("grains of nothing", "vmdk", at(20, bytes(8)), "grains"),
    ("a stream without its end", "vmdk-stream", at(56, b"\xff" * 8), "cut off"),
    ("differencing", "vhd", vhd(_differencing), "parent"),
    ("a VHD of 4 EiB", "vhd", vhd(_endless), "TiB"),
    ("a checksum that does not fit", "vhd", at(60, (4).to_bytes(4, "big")), "checksum"),
    ("differencing VDI", "vdi", at(76, struct.pack("<I", 4)), "changes to another"),
    ("linked VDI", "vdi", at(0x1A8, b"\1" * 16), "changes to another"),
    ("a VDI of 16 EiB", "vdi", at(368, struct.pack("<Q", 2**64 - 1)), "TiB"),
    ("blocks of 1 byte", "vdi", at(376, struct.pack("<I", 1)), "damaged"),
    ("cut off", "vdi", lambda data: data[:520], "cut off"),
    ("cut off", "vhdx", lambda data: data[: 200 * 1024], "cut off"),
    ("a descriptor", "raw", lambda data: b'# Disk DescriptorFile\nRW 1 FLAT "/etc/passwd" 0\n' + data, "lies elsewhere"),
    ("json:", "raw", lambda data: b'json:{"driver":"nbd"}' + data, "lies elsewhere"),
    ("XML", "raw", lambda data: b"<domain/>" + data, "lies elsewhere"),
    ("a text", "raw", lambda data: b"It was a dark and stormy night. " * 40, "text"),
    ("gzip", "raw", lambda data: b"\x1f\x8b" + data, "gzip"),
    ("an encrypted disk", "raw", lambda data: b"LUKS\xba\xbe" + data, "encrypted"),
    ("nothing", "raw", lambda data: b"", "too short"),
]


@pytest.mark.parametrize(("what", "kind", "change", "reason"), HOSTILE, ids=[f"{kind}: {what}" for what, kind, *_ in HOSTILE])
def test_the_hostile_are_refused_with_their_reason(
    made: dict[str, bytes], what: str, kind: str, change: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        look(change(made[kind]))


def test_vhdx_with_a_parent_or_a_log(made: dict[str, bytes]) -> None:
    data = made["vhdx"]
    parameters = data.index(bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b"))
    (offset,) = struct.unpack_from("<I", data, parameters + 16)
    region = data.index(b"metadata")
    with pytest.raises(Refused, match="parent"):
        look(at(region + offset + 4, struct.pack("<I", 2))(data))
    logged = at(128 * 1024 + 48, b"\1" * 16)(at(64 * 1024 + 48, b"\1" * 16)(data))
    with pytest.raises(Refused, match="closed cleanly"):
        look(logged)


OVF = """<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
<References><File ovf:id="f1" ovf:href="{href}"/></References><DiskSection><Disk ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
<VirtualSystem ovf:id="vm"><VirtualHardwareSection>
<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType>
<rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
<Item><rasd:ResourceType>10</rasd:ResourceType></Item><Item><rasd:ResourceType>10</rasd:ResourceType></Item>
<Item><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:ResourceType>17</rasd:ResourceType></Item>
<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/></VirtualHardwareSection></VirtualSystem></Envelope>"""


def archive(members: dict[str, bytes], **more: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_machine_in_one_file(made: dict[str, bytes]) -> None:
    data = archive({"vm.ovf": OVF.format(href="disk.vmdk").encode(), "disk.vmdk": made["vmdk-stream"]})
    found = look(data)
    assert (found.format, found.driver, found.virtual_bytes) == ("ova", "vmdk", 8 * MIB)
    assert data[found.offset : found.offset + found.length] == made["vmdk-stream"]
    assert found.launch is not None
    assert (found.launch.vcpus, found.launch.memory_mib, found.launch.nics, found.launch.firmware) == (2, 1024, 2, "uefi")


def test_hostile_machines(made: dict[str, bytes]) -> None:
    disk = made["vmdk-stream"]
    flat = {f"{kind}: {what}": change for what, kind, change, _ in HOSTILE}["vmdk: a flat extent"](made["vmdk"])
    good = OVF.format(href="disk.vmdk")
    cases: list[tuple[dict[str, bytes], str, dict[str, object]]] = [
        ({"vm.ovf": good.encode(), "disk.vmdk": flat}, "other files", {}),
        ({"vm.ovf": OVF.format(href="/etc/passwd").encode(), "disk.vmdk": disk}, "not in it", {}),
        ({"vm.ovf": OVF.format(href="../disk.vmdk").encode(), "disk.vmdk": disk}, "not in it", {}),
        ({"vm.ovf": good.encode(), "../disk.vmdk": disk}, "folders", {}),
        ({"vm.ovf": good.encode(), "disk.vmdk": b""}, "something else", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ({"vm.ovf": good.replace("<Envelope", '<!DOCTYPE a [<!ENTITY b "c">]><Envelope').encode(), "disk.vmdk": disk}, "entities", {}),
        ({"vm.ovf": good.encode("utf-16"), "disk.vmdk": disk}, "UTF-8", {}),
        ({"vm.ovf": b"<Envelope>", "disk.vmdk": disk}, "no XML", {}),
        ({"vm.ovf": b"<Envelope/>", "disk.vmdk": disk}, "without a disk", {}),
        ({"disk.vmdk": disk}, "no description", {}),
        ({f"{number}.ovf": b"" for number in range(70)}, "more than", {}),
    ]
    for members, reason, more in cases:
        with pytest.raises(Refused, match=reason):
            look(archive(members, **more))
    # An archive in an archive is a raw disk like any other bytes: it is never opened as an archive.
    nested = look(archive({"vm.ovf": good.encode(), "disk.vmdk": archive({"vm.ovf": good.encode(), "disk.vmdk": disk})}))
    assert (nested.format, nested.driver) == ("ova", "raw")


def test_a_disc() -> None:
    data = bytearray(64 * 2048)
    data[0x8000:0x8006] = b"\1CD001"
    data[0x8028:0x8048] = b"DEBIAN 12".ljust(32)
    data[0x8800:0x8806] = b"\0CD001"
    data[0x8807:0x881E] = b"EL TORITO SPECIFICATION"
    data[0x9000:0x9006] = b"\xffCD001"
    found = look(bytes(data))
    assert (found.format, found.driver, dict(found.facts)) == ("iso", "raw", {"label": "DEBIAN 12", "boots": "yes"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*MAKE, "ova"])
def test_any_damage_is_read_or_refused_and_costs_nothing(made: dict[str, bytes], kind: str) -> None:
    """Whatever the headers say: an inspection or a refusal, within a bounded amount of memory."""
    whole = made | {"ova": archive({"vm.ovf": OVF.format(href="disk.vmdk").encode(), "disk.vmdk": made["vmdk-stream"]})}
    data = whole[kind]
    places = [0, 512, 0x154, 64 * 1024, 192 * 1024, 256 * 1024, 1024**2, max(0, len(data) - 1024)]

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(places), st.integers(0, 1023), st.binary(min_size=1, max_size=24), st.integers(0, len(data)))
    def try_it(place: int, offset: int, new: bytes, cut: int) -> None:
        changed = at(place + offset, new)(data) if cut % 3 else data[:cut]
        try:
            found = look(changed)
        except Refused:
            return
        assert 0 < found.virtual_bytes <= 64 * TIB

    tracemalloc.start()
    try_it()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(data) + 64 * MIB
