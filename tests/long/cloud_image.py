"""A real Debian with cloud-init as a disk image: mmdebstrap's tree, an ext4 made of it, and GRUB in front, as the demo image has it.

It is kept between runs under the name of what went into it, since it takes minutes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from compute.demo_image.disk import BOOT_CODE_BYTES, GAP_MIB, GRUB_FOLDER, GRUB_MODULES, MIB, SECTOR

CACHE = Path("/var/cache/cloudbox/cloud-init-image")
SUITE = "bookworm"
PACKAGES = (
    "linux-image-cloud-amd64 systemd systemd-sysv udev dbus initramfs-tools cloud-init openssh-server netplan.io iproute2 "
    "isc-dhcp-client e2fsprogs ca-certificates"
).split()
DISK_MIB = 1536
LABEL = "cloud-root"
GRUB_CONFIG = """set root=(hd0,msdos1)
linux /vmlinuz root=LABEL=cloud-root ro console=tty0 console=ttyS0,115200 net.ifnames=0
initrd /initrd.img
boot
"""
# What a first boot need not wait for, in a guest whose processor is a program.
HOOKS = (
    'chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer man-db.timer fstrim.timer e2scrub_all.timer dpkg-db-backup.timer',
    'sed -i "s/^MODULES=.*/MODULES=list/" "$1/etc/initramfs-tools/initramfs.conf"',
    'printf "virtio_pci\\nvirtio_blk\\next4\\n" >> "$1/etc/initramfs-tools/modules"',
    'chroot "$1" update-initramfs -u',
    'printf "LABEL=cloud-root / ext4 defaults 0 1\\n" > "$1/etc/fstab"',
    'rm -f "$1/etc/hostname" "$1"/etc/ssh/ssh_host_*',
)


def image() -> Path:
    """The qcow2 file."""
    words = repr((SUITE, PACKAGES, DISK_MIB, GRUB_CONFIG, HOOKS))
    made = CACHE / f"{hashlib.sha256(words.encode()).hexdigest()[:12]}.qcow2"
    if not made.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            part = _build(Path(folder))
            os.replace(part, made)
    return made


def _build(folder: Path) -> Path:
    root, raw = folder / "root", folder / "disk.raw"
    hooks = [f"--customize-hook={line}" for line in HOOKS]
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--dpkgopt=path-exclude=/usr/share/doc/*"]
    _run([*argv, "--dpkgopt=path-exclude=/usr/share/locale/*", *hooks, SUITE, str(root)])
    try:
        with raw.open("wb") as file:
            file.truncate(DISK_MIB * MIB)
            file.write(_boot_sector())
            file.write(_grub(folder))
        size = (DISK_MIB - GAP_MIB) * MIB // 4096
        options = ["-b", "4096", "-m", "0", "-L", LABEL, "-O", "^metadata_csum_seed,^metadata_csum,^orphan_file"]
        _run(["mke2fs", "-q", "-F", "-t", "ext4", *options, "-E", f"offset={GAP_MIB * MIB}", "-d", str(root), str(raw), str(size)])
    finally:
        shutil.rmtree(root, ignore_errors=True)
    part = folder / "disk.qcow2"
    _run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(part)])
    return part


def _boot_sector() -> bytes:
    first, length = GAP_MIB * MIB // SECTOR, (DISK_MIB - GAP_MIB) * MIB // SECTOR
    partition = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, length)
    code = (GRUB_FOLDER / "boot.img").read_bytes()[:BOOT_CODE_BYTES]
    return code + struct.pack("<IH", 0x0C10DD12, 0) + partition + bytes(48) + b"\x55\xaa"


def _grub(folder: Path) -> bytes:
    config, core = folder / "grub.cfg", folder / "core.img"
    config.write_text(GRUB_CONFIG)
    options = ["-O", "i386-pc", "-d", str(GRUB_FOLDER), "-p", "(hd0,msdos1)/boot/grub", "-c", str(config)]
    _run(["grub-mkimage", *options, "-o", str(core), *GRUB_MODULES])
    return core.read_bytes()


def _run(argv: list[str]) -> None:
    environment = os.environ | {"LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{argv[0]}: {done.stderr[-2000:]}"
