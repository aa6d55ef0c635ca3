"""The disk: boot sector, GRUB in the gap behind it, one ext4 partition. All by writing to files.

GRUB's boot.img loads the sector after itself, where grub-mkimage's core begins and fetches the rest of itself:
so an image needs no grub-install, which would want a device.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from compute.demo_image.tools import BuildError, run
from compute.demo_image.tree import EPOCH

MIB = 1024 * 1024
SECTOR = 512
DISK_MIB = 64  # The guest grows it to its flavor's disk at boot.
GAP_MIB = 1  # What partition tools leave in front of the first partition; GRUB lives there.
LABEL = "cloudbox-root"
UUID = "6f1f2a52-7c0e-4f0b-9c1d-c10ddb0c0001"  # One for all: the same packages make the same image.
DISK_ID = 0xC10DDB0C
# Room in its tables to grow to 1 TiB while mounted (in blocks of 4 KiB); GRUB reads large blocks much faster than small ones.
BLOCK = 4096
GROWS_TO_BLOCKS = 2**40 // BLOCK
# GRUB 2.06, of Debian 12, does not know checksums' seeds in the superblock; orphan_file is unknown to most.
FEATURES = "^metadata_csum_seed,^metadata_csum,^orphan_file"
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux", "normal")
GRUB_FOLDER = Path("/usr/lib/grub/i386-pc")
GRUB_CONFIG = Path(__file__).parent / "guest" / "grub.cfg"
BOOT_CODE_BYTES = 440  # Then come the disk's id and the partition table.


def make(root: Path, work: Path) -> Path:
    """The raw disk, a sparse file in `work`."""
    raw = work / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(DISK_MIB * MIB)
        file.write(_boot_sector())
        file.write(_grub_core(work))
        if file.tell() > GAP_MIB * MIB:
            raise BuildError("GRUB has become too large for the gap in front of the partition.")
    _add_file_system(raw, root, work)
    return raw


def _boot_sector() -> bytes:
    boot = GRUB_FOLDER / "boot.img"
    if not boot.exists():
        raise BuildError(f"{boot} is not there. Install it with: apt-get install grub-pc-bin")
    first, length = GAP_MIB * MIB // SECTOR, (DISK_MIB - GAP_MIB) * MIB // SECTOR
    # Bootable, type 83 (Linux); beginning and end as cylinders, heads and sectors say "see the numbers behind".
    partition = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, length)
    code = boot.read_bytes()[:BOOT_CODE_BYTES]
    return code + struct.pack("<IH", DISK_ID, 0) + partition + bytes(48) + b"\x55\xaa"


def _grub_core(work: Path) -> bytes:
    core, config = work / "core.img", work / "grub.cfg"
    # The shell of a core without modules knows no comments, and would tell whoever looks at the screen.
    config.write_text("".join(line for line in GRUB_CONFIG.read_text().splitlines(keepends=True) if not line.startswith("#")))
    options = ["-O", "i386-pc", "-d", str(GRUB_FOLDER), "-p", "(hd0,msdos1)/boot/grub", "-c", str(config)]
    run(["grub-mkimage", *options, "-o", core, *GRUB_MODULES])
    return core.read_bytes()


def _add_file_system(raw: Path, root: Path, work: Path) -> None:
    """At its place in the disk itself: no copy of it."""
    offset = GAP_MIB * MIB
    names = ["-t", "ext4", "-b", str(BLOCK), "-m", "0", "-L", LABEL, "-U", UUID, "-O", FEATURES]
    extended = f"offset={offset},root_owner=0:0,hash_seed={UUID},resize={GROWS_TO_BLOCKS},lazy_itable_init=1,lazy_journal_init=1"
    size = (DISK_MIB - GAP_MIB) * MIB // BLOCK
    times = {"E2FSPROGS_FAKE_TIME": str(EPOCH), "SOURCE_DATE_EPOCH": str(EPOCH)}
    run(["mke2fs", "-q", "-F", *names, "-J", "size=4", "-E", extended, "-d", root, raw, str(size)], env=times)
    # mke2fs has taken over who owns the files here (root does not have to build this), and when that was noted.
    script = work / "owners.debugfs"
    lines = []
    for path in [root, *sorted(root.rglob("*"))]:
        inside = f"/{path.relative_to(root)}" if path != root else "/"
        fields = {"uid": 0, "gid": 0} | {f"{letter}time": f"@{EPOCH}" for letter in ("a", "c", "m")} | {"crtime": f"@{EPOCH}"}
        fields |= {f"{letter}time_extra": 0 for letter in ("a", "c", "m", "cr")}
        lines += [f'set_inode_field "{inside}" {field} {value}' for field, value in fields.items()]
    script.write_text("\n".join(lines) + "\n")
    run(["debugfs", "-w", "-f", script, f"{raw}?offset={offset}"], env=times)
    os.remove(script)
