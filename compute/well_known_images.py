"""Cloud images that a new box knows where to get: data that its administrator edits. Nothing is fetched before somebody asks for it.

The addresses are the publishers' own and lead to their newest build; what they put beside it says which digest that has.
"""

from __future__ import annotations

from typing import Any

_BOOKWORM = "https://cloud.debian.org/images/cloud/bookworm/latest"
_TRIXIE = "https://cloud.debian.org/images/cloud/trixie/latest"
_UBUNTU = "https://cloud-images.ubuntu.com/releases"
_ROCKY = "https://dl.rockylinux.org/pub/rocky/9/images/x86_64/Rocky-9-GenericCloud-Base.latest.x86_64.qcow2"
_ALMA = "https://repo.almalinux.org/almalinux/9/cloud/x86_64/images"
_CENTOS = "https://cloud.centos.org/centos/9-stream/x86_64/images/CentOS-Stream-GenericCloud-x86_64-9-latest.x86_64.qcow2"
_SUSE = "https://download.opensuse.org/distribution/leap/15.6/appliances/openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2"
_ARCH = "https://geo.mirror.pkgbuild.com/images/latest/Arch-Linux-x86_64-cloudimg.qcow2"


def _entry(name: str, version: str, os: str, url: str, checksums_url: str, *, disk: int, memory: int = 512) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "os": os,
        "url": url,
        "checksums_url": checksums_url,
        "min_disk_gib": disk,
        "min_memory_mib": memory,
    }


ENTRIES: tuple[dict[str, Any], ...] = (
    _entry("Debian", "12", "debian", f"{_BOOKWORM}/debian-12-generic-amd64.qcow2", f"{_BOOKWORM}/SHA512SUMS", disk=3),
    _entry("Debian", "13", "debian", f"{_TRIXIE}/debian-13-generic-amd64.qcow2", f"{_TRIXIE}/SHA512SUMS", disk=3),
    _entry(
        "Ubuntu",
        "24.04 LTS",
        "ubuntu",
        f"{_UBUNTU}/noble/release/ubuntu-24.04-server-cloudimg-amd64.img",
        f"{_UBUNTU}/noble/release/SHA256SUMS",
        disk=4,
        memory=1024,
    ),
    _entry(
        "Ubuntu",
        "22.04 LTS",
        "ubuntu",
        f"{_UBUNTU}/jammy/release/ubuntu-22.04-server-cloudimg-amd64.img",
        f"{_UBUNTU}/jammy/release/SHA256SUMS",
        disk=3,
        memory=1024,
    ),
    _entry("Rocky Linux", "9", "rocky", _ROCKY, f"{_ROCKY}.CHECKSUM", disk=10, memory=1024),
    _entry(
        "AlmaLinux", "9", "almalinux", f"{_ALMA}/AlmaLinux-9-GenericCloud-latest.x86_64.qcow2", f"{_ALMA}/CHECKSUM", disk=10, memory=1024
    ),
    _entry("CentOS Stream", "9", "centos", _CENTOS, f"{_CENTOS}.SHA256SUM", disk=10, memory=1024),
    _entry("openSUSE Leap", "15.6", "opensuse", _SUSE, f"{_SUSE}.sha256", disk=10, memory=1024),
    _entry("Arch Linux", "latest", "arch", _ARCH, f"{_ARCH}.SHA256", disk=3),
)
