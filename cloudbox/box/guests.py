"""The box's guests and its network, from outside: counted, shut down and removed by `down`."""

from __future__ import annotations

import time
from pathlib import Path

from cloudbox.box import proc
from cloudbox.box.paths import Box
from cloudbox.box.shell import Log, output

SHUT_DOWN_SECONDS = 20.0


def running(box: Box) -> list[int]:
    """QEMU processes with a disk or socket in this home."""
    return list(proc.with_words("qemu-system", f"{box.home}/"))


def _virsh(box: Box, *words: str) -> str | None:
    return output(["virsh", "-q", "-c", f"qemu+unix:///system?socket={box.run / 'libvirt' / 'libvirt-sock'}", *words], timeout_seconds=15)


def shut_down(box: Box, *, log: Log) -> None:
    """Press every guest's power button, wait a while, pull the plug of who is left."""
    names = (_virsh(box, "list", "--name") or "").split()
    for name in names:
        _virsh(box, "shutdown", name)
    deadline = time.monotonic() + SHUT_DOWN_SECONDS
    while running(box) and time.monotonic() < deadline:
        time.sleep(0.25)
    for name in (_virsh(box, "list", "--name") or "").split():
        log(f"{name} did not shut down in time")
        _virsh(box, "destroy", name)


def network_processes(box: Box) -> list[int]:
    """DHCP servers of the tenants' networks."""
    return list(proc.with_words("dnsmasq", f"{box.home}/")) + list(proc.with_words("dnsmasq", f"{box.name}-"))


def remove_network(box: Box) -> None:
    """Namespaces, bridges and the box's table in the host's firewall; `up` makes them again."""
    if not Path("/run/netns").is_dir():
        return
    from compute.drivers import box_namespace

    box_namespace.teardown(box.home, box.name)
