"""`doctor`: what on this host would stop or slow a box, each with its remedy. It looks and changes nothing."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from cloudbox.box import host, packages
from cloudbox.box.paths import Box
from cloudbox.box.shell import Failed, output

GIB = 2**30
DISK_BYTES_MIN, DISK_BYTES_GOOD = 3 * GIB, 10 * GIB
MEMORY_BYTES_MIN, MEMORY_BYTES_GOOD = 1 * GIB, 2 * GIB


@dataclass(frozen=True)
class Finding:
    """`level`: good, slow (works, not as well as it could) or stops."""

    name: str
    level: str
    text: str
    remedy: str = ""


def good(name: str, text: str) -> Finding:
    return Finding(name, "good", text)


def examine(box: Box, port: int | None = None) -> list[Finding]:
    """Every check, each on its own: one that fails to look says so."""
    found = []
    for check in CHECKS:
        try:
            found.append(check(box, port))
        except Exception as error:  # what cannot be looked at is reported, not fatal
            found.append(Finding(check.__name__.strip("_"), "slow", f"could not be checked: {error}"))
    return found


def report(findings: list[Finding]) -> str:
    marks = {"good": "+", "slow": "~", "stops": "!"}
    lines = []
    for finding in findings:
        lines.append(f"  {marks[finding.level]} {finding.name:<16} {finding.text}")
        if finding.remedy:
            lines.append(f"    {'':<16} -> {finding.remedy}")
    stops = sum(finding.level == "stops" for finding in findings)
    slow = sum(finding.level == "slow" for finding in findings)
    lines += [
        "",
        f"{stops} thing(s) would stop a box here." if stops else f"A box can run here{f', with {slow} remark(s)' if slow else ''}.",
    ]
    return "\n".join(lines)


# --- the checks


def _root(box: Box, port: int | None) -> Finding:
    if os.geteuid() == 0:
        return good("root", "yes")
    return Finding("root", "stops", "not root; setting a box up needs it", "sudo bin/cloudbox …")


def _system(box: Box, port: int | None) -> Finding:
    distro = packages.distribution()
    text = f"{distro[0]} {distro[1]}, {platform.machine()}, kernel {platform.release()}"
    if platform.machine() != "x86_64":
        return Finding("system", "stops", text, "a box needs a 64-bit x86 machine; guests are of the same kind")
    if not shutil.which("apt-get"):
        return Finding("system", "stops", f"{text}: no apt", "use Debian 12, Debian 13 or Ubuntu 24.04")
    if distro not in packages.SUPPORTED:
        return Finding("system", "slow", f"{text}: not one this is tested on", "Debian 12, Debian 13 or Ubuntu 24.04 are")
    return good("system", text)


def _apt(box: Box, port: int | None) -> Finding:
    lacking = packages.missing(packages.wanted(packages.distribution()))
    if not lacking:
        return good("packages", "all installed")
    trouble = packages.apt_reachable()
    if trouble is None:
        return good("packages", f"{len(lacking)} to install; apt reaches its archive")
    return Finding(
        "packages", "stops", f"{len(lacking)} to install, and {trouble}", "mend the network or /etc/apt/sources.list; try: apt-get update"
    )


def _kvm(box: Box, port: int | None) -> Finding:
    if not Path("/dev/kvm").exists():
        return Finding(
            "kvm",
            "slow",
            "no /dev/kvm: guests run by emulation (TCG), perhaps ten times slower",
            "switch on VT-x or AMD-V in the firmware and load kvm_intel or kvm_amd; in a virtual machine, mend nested virtualization",
        )
    if not shutil.which("qemu-system-x86_64"):
        return Finding(
            "kvm", "slow", "/dev/kvm is there; whether a guest runs can be told once QEMU is installed", "bin/cloudbox up installs it"
        )
    from compute.drivers import accelerator

    found = accelerator.probe(5.0)
    if found.name == "kvm":
        return good("kvm", f"usable: {found.reason}")
    return Finding(
        "kvm",
        "slow",
        f"/dev/kvm is there, but not usable: {found.reason}",
        "the box uses emulation (TCG); on the host below, mend nested virtualization",
    )


def _nested(box: Box, port: int | None) -> Finding:
    """Whether this machine is a virtual one itself, and could give its guests virtualization again."""
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    virtual = " hypervisor" in flags
    can = " vmx" in flags or " svm" in flags
    for module in ("kvm_intel", "kvm_amd"):
        parameter = Path(f"/sys/module/{module}/parameters/nested")
        if parameter.exists() and parameter.read_text().strip() in ("1", "Y"):
            return good("nested", "guests may run guests of their own")
    if virtual and not can:
        return Finding(
            "nested",
            "slow",
            "this is a virtual machine without nested virtualization",
            "give it vmx or svm on the host below (libvirt: <cpu mode='host-passthrough'/>)",
        )
    return good("nested", "a virtual machine itself" if virtual else "a real machine")


def _memory(box: Box, port: int | None) -> Finding:
    pairs = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(pairs["MemAvailable"].split()[0]) * 1024
    text = f"{available / GIB:.1f} GiB available; a box takes about 0.4, the rest is for guests"
    if available < MEMORY_BYTES_MIN:
        return Finding("memory", "stops", text, "free some, or give the machine at least 2 GiB")
    if available < MEMORY_BYTES_GOOD:
        return Finding("memory", "slow", text, "there will be room for a few small guests only")
    return good("memory", text)


def _disk(box: Box, port: int | None) -> Finding:
    place = next(folder for folder in (box.home, *box.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / GIB:.1f} GiB free for {box.home}"
    if free < DISK_BYTES_MIN:
        return Finding("disk", "stops", text, "free some space, or choose another place with --home")
    if free < DISK_BYTES_GOOD:
        return Finding("disk", "slow", text, "enough to begin with; disks of guests grow as they are written")
    return good("disk", text)


def _home(box: Box, port: int | None) -> Finding:
    try:
        host.check_home(box)
    except Failed as error:
        return Finding("home", "stops", error.message, error.remedy)
    return good("home", f"{box.home} is short enough for sockets, and open to the box's users")


def _port(box: Box, port: int | None) -> Finding:
    own = box.config().get("port")
    number = port or own or 8000
    if number == own or host.port_is_free(number):
        return good("port", f"{number} is {'this box’s' if number == own else 'free'}")
    who = host.holder(number)
    return Finding("port", "stops", f"{number} is taken" + (f" by {who}" if who else ""), "choose another with --port")


def _kernel(box: Box, port: int | None) -> Finding:
    """Makes one of each in a network namespace that ends with the check."""
    if os.geteuid() != 0:
        return Finding("kernel", "slow", "can only be checked by root", "sudo bin/cloudbox doctor")
    if not (shutil.which("ip") and shutil.which("unshare")):
        return Finding("kernel", "slow", "can be checked once iproute2 is installed", "bin/cloudbox up installs it")
    lacking = [name for name, script in KERNEL.items() if not _works_apart(script)]
    if not shutil.which("nft"):
        lacking = [name for name in lacking if "nft -f" not in KERNEL[name]]
    if not lacking:
        return good("kernel", f"has {', '.join(KERNEL)}")
    modules = "bridge veth tun br_netfilter nf_tables nf_conntrack nft_ct"
    remedy = f"modprobe -a {modules}, or use the distribution's own kernel; in a container, ask its host"
    return Finding("kernel", "stops", f"lacks {', '.join(lacking)}", remedy)


def _chain(family: str, *lines: str) -> str:
    """A script that loads a chain of these lines."""
    text = "\\n".join((f"table {family} t {{", "chain c {", *lines, "}", "}"))
    return f"printf '{text}\\n' | nft -f -"


KERNEL = {
    "network namespaces": "true",
    "bridges": "ip link add name br0 type bridge",
    "veth pairs": "ip link add name v0 type veth peer name v1",
    "taps": "ip tuntap add name t0 mode tap",
    "nftables": _chain("ip", "type nat hook postrouting priority srcnat", "masquerade"),
    "nftables on bridges": _chain("bridge", "type filter hook forward priority 0", "meta mark set 1"),
    "connection marks and zones": _chain("ip", "type filter hook prerouting priority raw", "ct zone set 1", "ct mark set 1"),
    "br_netfilter": "modprobe br_netfilter 2>&1; ip link add name b0 type bridge && test -e /proc/sys/net/bridge/bridge-nf-call-iptables",
}


def _works_apart(script: str) -> bool:
    argv = ["unshare", "--net", "--mount", "sh", "-c", f"mount -t sysfs sysfs /sys 2>/dev/null; {script}"]
    return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0


def _settings(box: Box, port: int | None) -> Finding:
    """Forwarding between networks is a kernel setting; some containers may only read those."""
    if os.statvfs("/proc/sys/net").f_flag & os.ST_RDONLY:
        return Finding(
            "settings", "stops", "kernel settings are read-only here (/proc/sys)", "in a container, have its host mount /proc/sys writable"
        )
    return good("settings", "kernel settings can be changed")


def _vpn(box: Box, port: int | None) -> Finding:
    """Access from outside by WireGuard, which runs in user space here."""
    if shutil.which("wireguard-go") is None:
        return Finding("vpn", "slow", "there is no wireguard-go, so nobody gets VPN access to networks", "apt-get install wireguard-go")
    if not os.path.exists("/dev/net/tun"):
        return Finding("vpn", "slow", "there is no /dev/net/tun for VPN access to networks", "modprobe tun; in a container, ask its host")
    return good("vpn", "wireguard-go is there")


def _ranges(box: Box, port: int | None) -> Finding:
    """Addresses that the box takes of those which belong to nobody (RFC 6598); some providers and overlay networks use them, too."""
    from compute.drivers.box_namespace import OUTER_RANGE, UPLINK_RANGE

    used = [
        (IPv4Network(row["dst"], strict=False), row.get("dev", ""))
        for row in json.loads(output(["ip", "-j", "-4", "route", "show", "table", "all"]) or "[]")
        if row["dst"] != "default" and not row.get("dev", "").endswith("-up")  # a box's own
    ]
    for name, wanted in (("its way out", UPLINK_RANGE), ("its first external network", OUTER_RANGE)):
        taken = next((f"{each} on {device}" for each, device in used if wanted.subnet_of(each) and each.prefixlen > 0), "")
        if taken:
            remedy = (
                "give the host's own network another range" if wanted == UPLINK_RANGE else "create an external network of another range"
            )
            level = "stops" if wanted == UPLINK_RANGE else "slow"
            return Finding("addresses", level, f"the host uses {taken}, of which the box takes {wanted} for {name}", remedy)
    return good("addresses", f"{OUTER_RANGE} and {UPLINK_RANGE} are free, or parts of them")


def _namespaces(box: Box, port: int | None) -> Finding:
    """Bind mounts in a mount namespace: how a box gets a libvirt of its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return Finding("mounts", "slow", "can only be checked by root", "sudo bin/cloudbox doctor")
    with tempfile.TemporaryDirectory() as folder:
        argv = ["unshare", "--mount", "--uts", "--propagation", "private", "mount", "--bind", folder, folder]
        if output(argv) is not None:
            return good("mounts", "mount namespaces work")
    return Finding(
        "mounts",
        "stops",
        "mount namespaces do not work here",
        "in a container, run it with the rights to mount (privileged), or use a machine",
    )


CHECKS: tuple[Callable[[Box, int | None], Finding], ...] = (
    _root,
    _system,
    _apt,
    _kvm,
    _nested,
    _memory,
    _disk,
    _home,
    _port,
    _kernel,
    _settings,
    _vpn,
    _ranges,
    _namespaces,
)
