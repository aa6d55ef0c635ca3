"""Real disks for the tests: made by mke2fs, sfdisk and QEMU's own FAT, never by the code that reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

MIB = 2**20


class FileBytes:
    """A disk in a file."""

    def __init__(self, path: Path) -> None:
        self.size_bytes = path.stat().st_size
        self._file = path.open("rb")

    def read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def is_zero(self, offset: int, length: int) -> bool:
        return False


class Held:
    """A disk in memory; what lies behind the end of the bytes is zeros."""

    def __init__(self, data: bytes, size_bytes: int = 0) -> None:
        self.data, self.size_bytes = data, size_bytes or len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length].ljust(length, b"\0")


def run(*words: str, stdin: str = "") -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, input=stdin or None)


def tree(at: Path) -> dict[str, bytes]:
    """Some of everything; what each file holds by its path."""
    files = {
        "etc/hostname": b"fjord\n",
        "var/lib/app/large.bin": bytes(range(256)) * 9000,
        "a rather long name, with Größe.txt": b"long",
        "empty": b"",
        "etc/CAPITALS.TXT": b"loud",
        **{f"many/{number:04}.txt": b"%d" % number for number in range(300)},
    }
    for name, data in files.items():
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return files


def ext(at: Path, folder: Path, kind: str = "ext4", *, mib: int = 24, options: tuple[str, ...] = ()) -> Path:
    """A disk with one file system and no table."""
    (folder / "link").symlink_to("etc/hostname")
    (folder / "far").symlink_to("/" + "x" * 100)
    with (folder / "sparse").open("wb") as sparse:
        sparse.seek(3 * MIB)
        sparse.write(b"end")
    run("mke2fs", "-q", "-t", kind, "-L", "roots", *options, "-d", str(folder), str(at), f"{mib}M")
    return at


def partitioned(at: Path, label: str, part: Path) -> Path:
    """Two partitions: an empty one and the file system. With `dos` the second is a logical one."""
    size = part.stat().st_size // 512
    table = {
        "gpt": f"label: gpt\nstart=2048, size=2048\nstart=4096, size={size}\n",
        "dos": f"label: dos\nstart=2048, size=2048, type=83\nstart=4096, size={size + 4096}, type=5\nstart=8192, size={size}, type=83\n",
    }[label]
    start = {"gpt": 4096, "dos": 8192}[label] * 512
    with at.open("wb") as disk:
        disk.truncate(start + part.stat().st_size + 4 * MIB)
    run("sfdisk", "-q", str(at), stdin=table)
    with at.open("r+b") as disk:
        disk.seek(start)
        disk.write(part.read_bytes())
    return at


def fat(at: Path, folder: Path, bits: int) -> Path:
    """FAT12 and FAT32 are on the whole disk, FAT16 is in the first partition."""
    if bits == 32:
        run("mkfs.fat", "-F", "32", "-n", "ROOTS", "-C", str(at), str(40 * 1024))
        run("mcopy", "-s", "-i", str(at), *map(str, sorted(folder.iterdir())), "::/")
        return at
    kind = {12: "fat:floppy:", 16: "fat:"}[bits]
    run("qemu-img", "convert", "-O", "raw", f"{kind}{folder}", str(at))
    return at
