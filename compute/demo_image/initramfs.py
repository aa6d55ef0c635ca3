"""The first file system: a static busybox, the modules to reach the disk and the script `guest/init`. In cpio's newc format.

https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

from compute.demo_image.kernel import EARLY, Kernel
from compute.demo_image.packages import Unpacked
from compute.demo_image.tools import BuildError

INIT = Path(__file__).parent / "guest" / "init"


def make(unpacked: Unpacked, kernel: Kernel) -> bytes:
    busybox = next((path for path in sorted(unpacked.static.rglob("busybox")) if path.is_file()), None)
    if busybox is None:
        raise BuildError("The package busybox-static holds no busybox.")
    modules = kernel.load_order(EARLY)
    entries: list[tuple[str, int, bytes]] = [(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "modules", "new", "proc", "sys")]
    entries += [("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()), ("init", stat.S_IFREG | 0o755, INIT.read_bytes())]
    # Numbered, so that the names sort in the order in which they are to be loaded.
    entries += [(f"modules/{index:02}-{module.name}.ko", stat.S_IFREG | 0o644, module.data) for index, module in enumerate(modules)]
    archive = b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))
    return gzip.compress(archive + _entry(0, "TRAILER!!!", 0, b""), 9, mtime=0)


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    """All as root's, without a date."""
    links = 2 if stat.S_ISDIR(mode) else 1
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
