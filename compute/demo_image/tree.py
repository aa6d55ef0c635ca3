"""The guest's root file system as a folder: programs with the libraries they need, kernel and modules, and `guest/root`."""

from __future__ import annotations

import os
import shutil
from collections import deque
from pathlib import Path

from compute.demo_image import elf
from compute.demo_image.kernel import LATE, Kernel
from compute.demo_image.packages import Unpacked
from compute.demo_image.tools import BuildError, run

GUEST = Path(__file__).parent / "guest" / "root"
FOLDERS = (
    "bin boot dev etc/dropbear home lib/modules lib64 mnt proc root/.ssh run sbin sys tmp usr/bin usr/sbin var/lib/cloudbox var/log"
).split()
LIBRARIES = "lib/x86_64-linux-gnu"
# Program: where it goes. mke2fs is here besides resize2fs, for the volumes that people attach.
PROGRAMS = {
    "busybox": "bin/busybox",
    "dropbear": "usr/sbin/dropbear",
    "dropbearkey": "usr/bin/dropbearkey",
    "qemu-ga": "usr/sbin/qemu-ga",
    "resize2fs": "sbin/resize2fs",
    "mke2fs": "sbin/mke2fs",
    "mke2fs.conf": "etc/mke2fs.conf",
}
LINKS = {
    "sbin/init": "../bin/busybox",
    "sbin/mkfs.ext4": "mke2fs",
    "sbin/mkfs.ext2": "mke2fs",
    "var/run": "../run",
    "etc/mtab": "../proc/mounts",
}
PRIVATE = {"etc/shadow": 0o600, "root": 0o700, "root/.ssh": 0o700, "etc/dropbear": 0o700, "tmp": 0o1777}
# Every file of the image has this date (14 November 2023), so that the same packages make the same image.
EPOCH = 1_700_000_000


def make(root: Path, unpacked: Unpacked, kernel: Kernel) -> None:
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, target in PROGRAMS.items():
        shutil.copyfile(unpacked.file(name), root / target)
        (root / target).chmod(0o755 if elf.is_elf(root / target) else 0o644)
    _add_libraries(root, unpacked)
    _add_applets(root)
    shutil.copyfile(kernel.image, root / "boot" / "vmlinuz")
    for index, module in enumerate(kernel.load_order(LATE)):
        (root / "lib" / "modules" / f"{index:02}-{module.name}.ko").write_bytes(module.data)
    _add_scripts(root)
    for name, target in LINKS.items():
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)
    for name, mode in PRIVATE.items():
        (root / name).chmod(mode)


def freeze_times(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def _add_applets(root: Path) -> None:
    """A link for each of busybox's commands, except where the real program is there."""
    present = {Path(target).name for target in PROGRAMS.values()}
    busybox = root / "bin" / "busybox"
    # By the guest's own loader and libraries: they need not be as old as the host's.
    loader = root / (elf.interpreter(busybox) or "").lstrip("/")
    for name in run([loader, "--library-path", root / LIBRARIES, busybox, "--list"]).split():
        if name not in present:
            (root / "bin" / name).symlink_to("busybox")


def _add_libraries(root: Path, unpacked: Unpacked) -> None:
    """The libraries of the programs, and those of the libraries."""
    folder = root / LIBRARIES
    folder.mkdir(parents=True)
    programs = [root / target for target in PROGRAMS.values() if elf.is_elf(root / target)]
    for program in programs:
        loader = elf.interpreter(program)
        if loader is not None:
            _copy_library(unpacked, Path(loader).name, root / loader.lstrip("/"))
    queue = deque(programs)
    while queue:
        for name in elf.needed(queue.popleft()):
            # ld.so is where the programs look for it, and is found there.
            if not (folder / name).exists() and not (root / "lib64" / name).exists():
                _copy_library(unpacked, name, folder / name)
                queue.append(folder / name)


def _copy_library(unpacked: Unpacked, name: str, target: Path) -> None:
    found = [path for path in unpacked.all(name) if elf.is_elf(path)]
    if not found:
        raise BuildError(f"The demo image needs the library {name}, which none of its packages holds.")
    shutil.copyfile(found[0], target)
    target.chmod(0o755)


def _add_scripts(root: Path) -> None:
    """Our own files. A checkout may have lost their modes: what begins with #! is a program."""
    for source in sorted(GUEST.rglob("*")):
        target = root / source.relative_to(GUEST)
        if source.is_dir():
            target.mkdir(exist_ok=True)
            continue
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.read_bytes().startswith(b"#!") else 0o644)
