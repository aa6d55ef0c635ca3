"""Readers of file systems on disks that others made: all that was put in comes out; what was broken on purpose ends with a sentence."""

from __future__ import annotations

import random
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from compute.filesystems import nodes, partitions
from compute.filesystems.nodes import FileSystem
from compute.filesystems.source import Source, Unreadable
from tests.filesystems.disks import MIB, FileBytes, Held, ext, fat, partitioned, tree


def only(source: Source) -> FileSystem:
    (part,) = [each for each in partitions.parts(source) if not each.why_not]
    return partitions.open_part(source, part)


def contents(system: FileSystem, path: str) -> bytes:
    return b"".join(system.read(nodes.find(system, path)))


def walk(system: FileSystem) -> dict[str, nodes.Node]:
    """All nodes by their path, to a depth of ten: folders of a broken disk may hold themselves."""
    found = {}
    todo = [("", system.root())]
    while todo:
        here, folder = todo.pop()
        for node in system.entries(folder):
            found[f"{here}{node.name}"] = node
            if node.kind == "folder" and here.count("/") < 10:
                todo.append((f"{here}{node.name}/", node))
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ext2", ()),
        ("ext3", ("-b", "1024")),
        ("ext4", ()),
        ("ext4", ("-b", "1024", "-O", "^64bit,metadata_csum")),
        ("ext4", ("-I", "128", "-O", "^extent,^64bit,^metadata_csum,^flex_bg")),
    ],
)
def test_ext(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    """Every file of a tree, byte by byte; links with where they point; holes as zeros; nothing else but lost+found."""
    folder = tmp_path / "tree"
    files = tree(folder)
    system = only(Source(FileBytes(ext(tmp_path / "disk", folder, kind, options=options))))
    assert system.label == "roots"
    assert system.note == ""
    there = walk(system)
    assert {path for path, node in there.items() if node.kind == "file"} == {*files, "sparse"}
    for path, data in files.items():
        assert b"".join(system.read(there[path])) == data, path
    assert contents(system, "/etc/hostname") == files["etc/hostname"]
    assert contents(system, "sparse") == bytes(3 * MIB) + b"end"
    assert (there["link"].kind, there["link"].link, there["far"].link) == ("link", "etc/hostname", "/" + "x" * 100)
    assert {path for path, node in there.items() if node.kind == "folder"} == {"etc", "var", "var/lib", "var/lib/app", "many", "lost+found"}
    assert there["etc/hostname"].modified is not None
    for path, words in {
        "/nowhere": "no nowhere",
        "/etc/hostname/x": "no folder",
        "/link/x": "links are not followed",
        "/../x": "no path",
    }.items():
        with pytest.raises(Unreadable, match=words):
            nodes.find(system, path)


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_fat(tmp_path: Path, bits: int) -> None:
    if bits == 32 and not (shutil.which("mkfs.fat") and shutil.which("mcopy")):
        pytest.skip("QEMU makes no FAT32 that others read; the packages dosfstools and mtools do, and are not installed.")
    folder = tmp_path / "tree"
    files = tree(folder)
    if bits == 12:
        (folder / "var/lib/app/large.bin").write_bytes(b"small")  # it is as large as a floppy
        files["var/lib/app/large.bin"] = b"small"
    system = only(Source(FileBytes(fat(tmp_path / "disk", folder, bits))))
    there = walk(system)
    assert {path for path, node in there.items() if node.kind == "file"} == set(files)
    for path, data in files.items():
        assert b"".join(system.read(there[path])) == data, path


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_partitions(tmp_path: Path, label: str) -> None:
    folder = tmp_path / "tree"
    files = tree(folder)
    disk = Source(FileBytes(partitioned(tmp_path / "disk", label, ext(tmp_path / "part", folder))))
    first, second = partitions.parts(disk)
    assert (first.number, second.number) == (1, 5 if label == "dos" else 2)
    assert (first.title, second.title, second.label) == ("unknown", "ext4", "roots")
    assert "no file system" in first.why_not
    assert contents(partitions.open_part(disk, second), "/etc/hostname") == files["etc/hostname"]
    with pytest.raises(Unreadable, match="no file system"):
        partitions.open_part(disk, first)


def test_what_is_known_by_sight_only() -> None:
    for at, mark, name in partitions._KNOWN:
        (part,) = partitions.parts(Source(Held(bytes(at) + mark, 4 * MIB)))
        assert (part.number, part.title) == (0, name)
        assert "Restore the disk as a volume" in part.why_not
    (empty,) = partitions.parts(Source(Held(b"", 4 * MIB)))
    assert empty.why_not == "There is no file system on it that is known here."
    (tiny,) = partitions.parts(Source(Held(b"", 100)))
    assert tiny.why_not


def test_names_that_are_no_text() -> None:
    assert nodes.shown(b"caf\xe9") == "caf\\xe9"
    assert nodes.shown(b"a\x00b/c\n") == "a\\x00b\\x2fc\\x0a"
    assert nodes.shown("Größe") == "Größe"


# --- hostile disks


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small disks to be broken, by their kind."""
    at = tmp_path_factory.mktemp("small")
    found = {}
    for kind, options in (("ext4", ()), ("ext2", ("-b", "1024"))):
        folder = at / kind
        folder.mkdir()
        (folder / "sub").mkdir()
        (folder / "sub/file").write_bytes(b"x" * 300_000)
        found[kind] = ext(at / f"{kind}.disk", folder, kind, mib=8, options=options).read_bytes()
    folder = at / "fat"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/file").write_bytes(b"x" * 30_000)
    found["fat"] = fat(at / "fat.disk", folder, 12).read_bytes()
    return found


def look_everywhere(data: bytes, size_bytes: int = 0) -> str:
    """Every folder and file of every part; the sentence it ended with, or an empty one. Anything else than a sentence fails the test."""
    source = Source(Held(data, size_bytes or len(data)), reads=20_000, total=256 * MIB, seconds=20)
    try:
        for part in partitions.parts(source):
            if not part.why_not:
                system = partitions.open_part(source, part)
                for _, node in zip(range(500), walk(system).values(), strict=False):
                    if node.kind == "file":
                        assert sum(len(each) for _, each in zip(range(5000), system.read(node), strict=False)) <= node.size_bytes
    except Unreadable as error:
        return str(error)
    return ""


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def test_loops_end(small: dict[str, bytes]) -> None:
    """Tables that lead to themselves, folders in themselves, a file of 16 TiB, chains in circles: each ends."""
    fat_disk = small["fat"]
    for cluster in range(2, 12):
        at = 512 * struct.unpack_from("<H", fat_disk, 14)[0] + cluster * 3 // 2
        pair = int.from_bytes(fat_disk[at : at + 2], "little")
        itself = (pair & 0xF) | cluster << 4 if cluster & 1 else (pair & 0xF000) | cluster
        look_everywhere(changed(fat_disk, at, itself.to_bytes(2, "little")))
    disk = bytearray(2 * MIB)
    for table, after in ((0, 1), (512, 0)):
        disk[table + 510 : table + 512], disk[table + 446 + 4] = b"\x55\xaa", 5
        struct.pack_into("<II", disk, table + 446 + 8, after, 100)
    assert [part.number for part in partitions.parts(Source(Held(bytes(disk))))] == [0]


def test_a_tree_of_blocks_that_leads_to_itself(small: dict[str, bytes]) -> None:
    """The file's inode is found by its size, and given a tree whose root points to a block that says it has the same depth."""
    data = small["ext4"]
    at = next(at for at in range(0, len(data), 128) if struct.unpack_from("<I", data, at + 4)[0] == 300_000 and data[at + 1] & 0xF0 == 0x80)
    block = 700
    node = struct.pack("<HHHHI", 0xF30A, 1, 4, 3, 0) + struct.pack("<IIHH", 0, block, 0, 0)
    looped = changed(changed(data, at + 40, node), block * 1024, node)
    assert "table of blocks is damaged" in look_everywhere(looped)
    back = struct.pack("<HHHHI", 0xF30A, 2, 4, 0, 0) + struct.pack("<IHHI", 9, 1, 0, 50) + struct.pack("<IHHI", 3, 1, 0, 50)
    assert "out of order" in look_everywhere(changed(data, at + 40, back))
    far = struct.pack("<HHHHI", 0xF30A, 1, 4, 0, 0) + struct.pack("<IHHI", 0, 1, 0xFFFF, 50)
    assert "behind the end" in look_everywhere(changed(data, at + 40, far))
    huge = changed(data, at + 108, struct.pack("<I", 0xFFF))
    look_everywhere(huge)


def test_headers_that_lie(small: dict[str, bytes]) -> None:
    data = small["ext4"]
    for place, value, words in (
        (1024 + 24, 40, "cannot be"),
        (1024 + 40, 0, "cannot be"),
        (1024 + 88, 7, "cannot be"),
        (1024 + 96, 0x80000000, "features that are not known"),
    ):
        (part,) = partitions.parts(Source(Held(changed(data, place, struct.pack("<I", value)))))
        assert words in part.why_not, place
    noted = changed(data, 1024 + 96, struct.pack("<I", struct.unpack_from("<I", data, 1024 + 96)[0] | 4))
    assert "in use at that moment" in only(Source(Held(noted))).note
    header = bytearray(92)
    struct.pack_into("<8sIIIIQQQQ16sQIII", header, 0, b"EFI PART", 0x10000, 92, 0, 0, 1, 0, 0, 0, b"", 2**60, 2**31, 128, 0)
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    disk = bytearray(2 * MIB)
    disk[510:512], disk[450], disk[512 : 512 + 92] = b"\x55\xaa", 0xEE, header
    with pytest.raises(Unreadable, match="behind the end"):
        partitions.parts(Source(Held(bytes(disk))))
    disk[520] ^= 1
    with pytest.raises(Unreadable, match="damaged"):
        partitions.parts(Source(Held(bytes(disk))))


@pytest.mark.parametrize("kind", ["ext4", "ext2", "fat"])
def test_noise(small: dict[str, bytes], kind: str) -> None:
    """Some hundred disks with bytes changed where tables are: each look ends with a sentence or with what is still whole."""
    data, chance = small[kind], random.Random(kind)
    busy = [at for at in range(0, min(len(data), 2 * MIB), 64) if data[at : at + 64].count(0) < 64 and data[at : at + 64] != b"x" * 64]
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(chance.choice((1, 8, 64))):
            at = chance.choice(busy) + chance.randrange(64)
            if at < len(broken):
                broken[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        look_everywhere(bytes(broken))
    look_everywhere(data[: len(data) // 3])


def test_limits(small: dict[str, bytes]) -> None:
    for limits in ({"reads": 5}, {"total": 3000}, {"seconds": -1.0}):
        with pytest.raises(Unreadable, match="too much to look through"):
            walk(only(Source(Held(small["ext4"]), **limits)))  # type: ignore[arg-type]
