"""The packages the guest is made of: which, fetched by apt, unpacked by dpkg-deb. Nothing is installed.

Programs and their libraries only: what packages want beyond that (perl, init helpers) is for machines they are installed on.
So dependencies are followed to libraries and to the parts of a kernel; `tree.py` notices when a library is missing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compute.demo_image.tools import BuildError, run

PROGRAMS = ("busybox", "busybox-static", "dropbear-bin", "qemu-guest-agent", "e2fsprogs")
# A kernel for virtual machines, by distribution: small, with virtio.
KERNELS = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
# It and `busybox` hold the same path, and exclude each other on a real machine.
APART = "busybox-static"
LIBRARY = re.compile(r"z?lib(?!.*-perl$)")
KERNEL_PART = re.compile(r"linux-(image|modules)-\d")
DEPENDENCY = re.compile(r"^ *\|?(?:Pre)?Depends: (?!<)(\S+)$")
FIELD = re.compile(r"^(Package|Version|Filename|SHA256): (.*)$")


@dataclass(frozen=True, order=True)
class Package:
    name: str
    version: str
    sha256: str
    file_name: str


@dataclass(frozen=True)
class Unpacked:
    """The contents of all packages, and those of the one that is kept apart."""

    folder: Path
    static: Path

    def file(self, name: str) -> Path:
        """A file by name, wherever this distribution's release puts it (/bin or /usr/bin, with the architecture or without)."""
        found = self.all(name)
        if not found:
            raise BuildError(f"None of the packages of the demo image holds a file named {name}.")
        return found[0]

    def all(self, name: str) -> list[Path]:
        # Shortest first: ld.so as /lib64/… rather than below some test folder.
        return sorted((path for path in self.folder.rglob(name) if path.is_file()), key=lambda path: (len(path.parts), path))


def resolve() -> list[Package]:
    """The packages and versions that apt would choose now."""
    distribution = _distribution()
    if distribution not in KERNELS:
        raise BuildError(f"The demo image is built from Debian's or Ubuntu's packages; this host runs {distribution}.")
    names = _closure([*PROGRAMS, KERNELS[distribution]])
    # The kernel's meta package has done its work: it names the kernel.
    return _described(name for name in names if name != KERNELS[distribution])


def _closure(wanted: Iterable[str]) -> list[str]:
    found: set[str] = set()
    new = set(wanted)
    while new:
        found |= new
        try:
            shown = run(["apt-cache", "depends", *sorted(new)])
        except BuildError as error:
            raise BuildError(f"apt does not know all packages of the demo image; try apt-get update. {error}") from None
        named = {match[1] for line in shown.splitlines() if (match := DEPENDENCY.match(line))}
        # "name:i386" is another architecture's.
        new = {name for name in named if ":" not in name and (LIBRARY.match(name) or KERNEL_PART.match(name))} - found
    return sorted(found)


def _described(names: Iterable[str]) -> list[Package]:
    wanted = list(names)
    packages = []
    for paragraph in run(["apt-cache", "show", "--no-all-versions", *wanted]).split("\n\n"):
        fields = {match[1]: match[2] for line in paragraph.splitlines() if (match := FIELD.match(line))}
        if fields.keys() >= {"Package", "Version", "SHA256"}:
            # As apt-get download names it: the version with its epoch.
            architecture = fields.get("Filename", "_amd64.deb").rsplit("_", 1)[-1]
            file_name = f"{fields['Package']}_{fields['Version'].replace(':', '%3a')}_{architecture}"
            packages.append(Package(fields["Package"], fields["Version"], fields["SHA256"], file_name))
    missing = sorted(set(wanted) - {package.name for package in packages})
    if missing:
        raise BuildError(f"apt has no source for {', '.join(missing)}; try apt-get update.")
    return sorted(packages)


def download(packages: Sequence[Package], cache_dir: Path) -> None:
    """Into the cache, those that are not there yet with the right contents. apt checks signatures."""
    lacking = [package for package in packages if not _is_whole(package, cache_dir)]
    if lacking:
        wanted = [f"{package.name}={package.version}" for package in lacking]
        # Its own user for downloads could not write here.
        options = ["-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"]
        run(["apt-get", *options, "download", *wanted], cwd=cache_dir)
    broken = [package.file_name for package in lacking if not _is_whole(package, cache_dir)]
    if broken:
        raise BuildError(f"apt was content, yet these are not what its index promised: {', '.join(broken)}.")


def _is_whole(package: Package, cache_dir: Path) -> bool:
    try:
        return hashlib.sha256((cache_dir / package.file_name).read_bytes()).hexdigest() == package.sha256
    except FileNotFoundError:
        return False


def unpack(packages: Sequence[Package], cache_dir: Path, folder: Path) -> Unpacked:
    unpacked = Unpacked(folder / "all", folder / "static")
    for package in packages:
        target = unpacked.static if package.name == APART else unpacked.folder
        target.mkdir(parents=True, exist_ok=True)
        run(["dpkg-deb", "-x", cache_dir / package.file_name, target])
    return unpacked


def _distribution() -> str:
    """ "debian" or "ubuntu", for derivatives too."""
    fields = {}
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        fields[key] = value.strip().strip('"')
    names = [fields.get("ID", os.name), *fields.get("ID_LIKE", "").split()]
    return next((name for name in names if name in KERNELS), names[0])
