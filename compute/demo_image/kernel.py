"""The kernel in the packages, and the few of its modules that the guest loads, each after those it needs."""

from __future__ import annotations

import lzma
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from compute.demo_image import elf
from compute.demo_image.packages import Unpacked
from compute.demo_image.tools import BuildError, run

# To reach the root disk.
EARLY = ("virtio_pci", "virtio_blk")
# The rest: network, entropy, memory balloon, guest agent's line; the power button, and the events by which acpid hears of it.
LATE = ("virtio_net", "virtio_rng", "virtio_balloon", "virtio_console", "button", "evdev")


@dataclass(frozen=True)
class Module:
    name: str
    data: bytes


@dataclass(frozen=True)
class Kernel:
    version: str
    image: Path
    modules: Path  # lib/modules/<version>

    @classmethod
    def found_in(cls, unpacked: Unpacked) -> Kernel:
        images = sorted(unpacked.folder.glob("boot/vmlinuz-*"))
        if len(images) != 1:
            raise BuildError(f"There should be one kernel in the packages of the demo image, and there are {len(images)}.")
        version = images[0].name.removeprefix("vmlinuz-")
        folders = [unpacked.folder / parent / version for parent in ("lib/modules", "usr/lib/modules")]
        # Ubuntu: the image's package and the modules' one both bring the folder, in the same place.
        folder = next((folder for folder in folders if (folder / "modules.builtin").exists()), None)
        if folder is None:
            raise BuildError(f"The packages of the demo image have a kernel {version}, but not its modules.")
        return cls(version, images[0], folder)

    def load_order(self, wanted: Iterable[str]) -> list[Module]:
        """The modules and what they need, in the order for insmod; without what is built into the kernel."""
        built_in = {_plain(line) for line in (self.modules / "modules.builtin").read_text().split()}
        files = {_plain(str(path)): path for path in self.modules.rglob("*.ko*")}
        order: dict[str, Module] = {}

        def add(name: str) -> None:
            if name in built_in or name in order:
                return
            if name not in files:
                raise BuildError(f"Linux {self.version} has no module {name}, which the demo image needs.")
            data = _content(files[name])
            for other in elf.module_info(data).get("depends", "").split(","):
                if other:
                    add(_plain(other))
            order[name] = Module(name, data)

        for name in wanted:
            add(name)
        return list(order.values())


def _plain(path: str) -> str:
    """virtio_rng for kernel/drivers/char/hw_random/virtio-rng.ko.xz: dashes and underscores are the same to Linux."""
    return path.rsplit("/", 1)[-1].split(".ko")[0].replace("-", "_")


def _content(path: Path) -> bytes:
    """Uncompressed: the guest's insmod cannot do more. Debian 13 packs with xz, Ubuntu with zstd."""
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".zst":
            plain = path.with_suffix("")
            run(["zstd", "-q", "-d", "-f", path, "-o", plain])
            return plain.read_bytes()
    return path.read_bytes()
