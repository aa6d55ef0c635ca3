"""Build the demo image: about 18 MB of qcow2 that boots in 96 MiB, and asks the metadata service who it is.

Everything in it comes from packages of the host's own distribution (Debian 12 and 13, Ubuntu 24.04, amd64), fetched by apt and
unpacked without installing. No root, mount or loop device is needed: file systems and boot sectors are written as plain files.

On the host it needs apt and dpkg, and the programs of HOST_PACKAGES: qemu-utils (qemu-img), e2fsprogs (mke2fs, debugfs),
grub-common (grub-mkimage), grub-pc-bin (GRUB's modules for BIOS) and zstd (Ubuntu's kernel modules are packed with it).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from compute.demo_image import disk, initramfs, packages, tools, tree
from compute.demo_image.kernel import Kernel

HOST_PACKAGES = ("qemu-utils", "e2fsprogs", "grub-common", "grub-pc-bin", "zstd")
PROGRAMS = ("apt-get", "apt-cache", "dpkg-deb", "qemu-img", "mke2fs", "debugfs", "grub-mkimage")
HERE = Path(__file__).parent

Log = Callable[[str], None]


def build(cache_dir: Path, out: Path, log: Log) -> None:
    """Write the image to `out`, whole or not at all. What `cache_dir` holds of the same packages and scripts is not made again."""
    tools.require(PROGRAMS, HOST_PACKAGES)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _alone(cache_dir):
        with _phase("found the packages it is made of", log):
            chosen = packages.resolve()
        built = cache_dir / f"demo-{stamp(chosen)}.qcow2"
        if built.exists():
            log(f"the image is in the cache: {built.name}")
        else:
            _make(chosen, cache_dir, built, log)
            _forget_others(cache_dir, built, chosen)
        _place(built, out)


def stamp(chosen: Sequence[packages.Package]) -> str:
    """Says whether an image is the one that these scripts make of these packages."""
    total = hashlib.sha256()
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(f"{path.relative_to(HERE)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for package in chosen:
        total.update(f"{package.name}={package.version} {package.sha256}\n".encode())
    return total.hexdigest()[:16]


def _make(chosen: Sequence[packages.Package], cache_dir: Path, built: Path, log: Log) -> None:
    with _phase(f"fetched {len(chosen)} packages", log):
        packages.download(chosen, cache_dir)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=cache_dir) as folder:
        work = Path(folder)
        with _phase("unpacked them", log):
            unpacked = packages.unpack(chosen, cache_dir, work / "packages")
        with _phase("laid out the guest", log):
            kernel = Kernel.found_in(unpacked)
            root = work / "root"
            tree.make(root, unpacked, kernel)
            (root / "boot" / "initrd").write_bytes(initramfs.make(unpacked, kernel))
            tree.freeze_times(root)
        with _phase("wrote its disk", log):
            raw = disk.make(root, work)
        with _phase("compressed it", log):
            finished = work / "finished.qcow2"
            tools.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, finished])
            os.replace(finished, built)
    log(f"the image has {built.stat().st_size / 1e6:.1f} MB, with Linux {kernel.version}")


def _forget_others(cache_dir: Path, built: Path, chosen: Sequence[packages.Package]) -> None:
    """Images and packages that an update has replaced."""
    keep = {built.name, *(package.file_name for package in chosen)}
    for path in [*cache_dir.glob("demo-*.qcow2"), *cache_dir.glob("*.deb")]:
        if path.name not in keep:
            path.unlink()


def _place(built: Path, out: Path) -> None:
    """A copy of its own, renamed into place: guests may have an older image of that name open."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        shutil.copyfile(built, partial)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(cache_dir: Path) -> Iterator[None]:
    """One build at a time in a cache: the second finds what the first has made."""
    with (cache_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _phase(done: str, log: Log) -> Iterator[None]:
    began = time.monotonic()
    yield
    log(f"{done} ({time.monotonic() - began:.1f} s)")
