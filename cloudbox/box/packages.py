"""System packages by apt: which, for which distribution, and installed without starting anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cloudbox.box.shell import Failed, Log, output, run

# One list, since the three distributions use the same names for these; what differs stands in DIFFERENT.
BOX_PACKAGES = (
    "ca-certificates git iproute2 iptables nftables kmod procps util-linux dnsmasq-base haproxy "
    "python3-venv python3-dev gcc libc6-dev pkg-config libvirt-dev "
    "libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils "
    "postgresql redis-server nodejs npm "
    "wireguard-go e2fsprogs fdisk cpio grub-common grub-pc-bin xz-utils zstd"
).split()
TEST_PACKAGES = "chromium vagrant fonts-dejavu-core openssh-client awscli curl fuse rclone restic s3cmd s3fs dosfstools mtools".split()
DIFFERENT: dict[tuple[str, str], dict[str, str]] = {
    # Ubuntu has Chromium as a snap only; its browser tests run with the one of Playwright, when that is installed.
    ("ubuntu", "24.04"): {"chromium": "", "vagrant": "", "awscli": "", "fuse": "fuse3"},
    # Debian 13 has no Vagrant any more.
    ("debian", "13"): {"vagrant": "", "fuse": "fuse3"},
}
SUPPORTED = (("debian", "12"), ("debian", "13"), ("ubuntu", "24.04"))
# A program on the machine is as good as its package; node often comes from elsewhere, and the two exclude each other.
PROVIDED_BY_PROGRAM = {"npm": "npm", "nodejs": "node", "chromium": "chromium", "vagrant": "vagrant", "git": "git"}
# Services that packages bring, which no box uses: a box runs its own.
SERVICES = ("postgresql", "redis-server", "haproxy", "libvirtd", "libvirt-guests", "virtlogd", "virtlockd")
POLICY = Path("/usr/sbin/policy-rc.d")
NO_MAIN_CLUSTER = Path("/etc/postgresql-common/createcluster.d/cloudbox.conf")


def distribution(os_release: Path = Path("/etc/os-release")) -> tuple[str, str]:
    """("debian", "12"), by /etc/os-release."""
    try:
        pairs = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
    except FileNotFoundError:
        pairs = {}
    return pairs.get("ID", "unknown").strip('"'), pairs.get("VERSION_ID", "").strip('"')


def wanted(distro: tuple[str, str], *, tests: bool = False) -> list[str]:
    """The packages a box (and its tests) need there."""
    names = BOX_PACKAGES + (TEST_PACKAGES if tests else [])
    other = DIFFERENT.get(distro, {})
    return [other.get(name, name) for name in names if other.get(name, name)]


def missing(names: Sequence[str]) -> list[str]:
    """Those not installed, in the order given."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *names], capture_output=True, text=True, check=False
    ).stdout
    installed = {line.split()[1] for line in shown.splitlines() if line.startswith("installed ")}
    return [name for name in names if name not in installed and not shutil.which(PROVIDED_BY_PROGRAM.get(name, "/nowhere"))]


def install(names: Sequence[str], *, log: Log) -> str:
    """Install what is missing. No service is started, none already running is touched, no cluster of the host's is made."""
    lacking = missing(names)
    if not lacking:
        return ""
    if distribution() not in SUPPORTED:
        log(f"{distribution()} is not a distribution this is tested on")
    with ExitStack() as guards:
        guards.enter_context(_nothing_starts())
        if "postgresql" in lacking and not NO_MAIN_CLUSTER.exists():
            NO_MAIN_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
            NO_MAIN_CLUSTER.write_text("# A Cloudbox makes its own cluster in its home.\ncreate_main_cluster = false\n")
        env = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "APT_LISTCHANGES_FRONTEND": "none"}
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold", "-o", "Acquire::Retries=3"]
        run([*apt, "update"], log=log, env=env)
        # Without documentation and its indexes an installation is a good deal faster.
        run([*apt, "install", "-y", "--no-install-recommends", *lacking], log=log, env=env)
    _leave_services_off(lacking, log=log)
    still = missing(names)
    if still:
        raise Failed(f"apt was content, yet these are not installed: {' '.join(still)}")
    return f"{len(lacking)} asked for"


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """Debian's own way to keep packages from starting services (invoke-rc.d asks policy-rc.d)."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\n# Made by cloudbox for the time of one apt run.\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def _leave_services_off(new: Sequence[str], *, log: Log) -> None:
    """What these packages brought must not start at the next boot either; what was there before stays as it was."""
    if not Path("/run/systemd/system").is_dir():
        return
    brought = {"postgresql": ("postgresql",), "redis-server": ("redis-server",), "libvirt-daemon": SERVICES[2:]}
    for package, services in brought.items():
        for service in services if package in new else ():
            if output(["systemctl", "cat", f"{service}.service"]) is not None:
                run(["systemctl", "disable", "--quiet", f"{service}.service"], log=log)


def apt_reachable() -> str | None:
    """None when apt reaches its first repository, by apt's own way out (proxies and all); else what stood in the way."""
    shown = output(["apt-get", "indextargets", "--format", "$(REPO_URI)dists/$(RELEASE)/InRelease"])
    if not shown:
        return "apt knows no repository"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        helper = ["/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=8"]
        got = output([*helper, "download-file", shown.split()[0], f"{folder}/InRelease"], timeout_seconds=20)
    return None if got is not None else f"no answer from {shown.split()[0]}"
