"""Fixtures of a real machine for tests: a box namespace with its own libvirtd, in a home of its own, gone without trace afterwards.

Needs root, libvirt, QEMU, nftables, iptables, dnsmasq. What libvirt learns about QEMU (seconds) is kept between runs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compute.drivers import box_namespace, libvirt_daemon

CAPABILITIES = Path("/var/cache/cloudbox/libvirt-capabilities")
HOMES = "cloudbox-machines-"
WAIT_SECONDS = 30.0


def eventually(condition: Callable[[], object], *, seconds: float = WAIT_SECONDS) -> None:
    """Wait for a condition, never for a time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"it did not become true in {seconds:g} seconds"
        time.sleep(0.02)


@dataclass
class RealBox:
    """A box's namespace; its libvirtd when a test asks for it."""

    home: Path
    name: str
    daemon: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.home / "libvirtd.log"

    def start_libvirtd(self) -> None:
        """As the supervisor of the box does; again after `kill_libvirtd`."""
        if self.daemon is not None and self.daemon.poll() is None:
            return
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                box_namespace.libvirtd_command(self.home, self.name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(lambda: box_namespace.libvirtd_ready(self.home, self.name))

    def kill_libvirtd(self) -> None:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()


def _learned(home: Path) -> Path:
    return home / "libvirt" / "cache" / "qemu" / "capabilities"


def make_box(prefix: str = "cbx-t") -> RealBox:
    if os.geteuid() != 0:
        pytest.fail("Tests of real machines need root (run the rest with: -m 'not machines').")
    _remove_orphans()
    home = Path(tempfile.mkdtemp(prefix=HOMES))
    box = RealBox(home, f"{prefix}{secrets.token_hex(2)}")
    (home / "owner").write_text(f"{os.getpid()} {box.name}")
    box_namespace.prepare(home, box.name)
    if CAPABILITIES.exists():
        shutil.copytree(CAPABILITIES, _learned(home), dirs_exist_ok=True)
    return box


def _remove_orphans() -> None:
    """Boxes of test runs that were killed before they could clean up."""
    for owner in Path(tempfile.gettempdir()).glob(f"{HOMES}*/owner"):
        pid, name = owner.read_text().split()
        if not Path(f"/proc/{pid}").exists():
            box_namespace.teardown(owner.parent, name)
            shutil.rmtree(owner.parent, ignore_errors=True)


def remove_box(box: RealBox) -> None:
    box_namespace.teardown(box.home, box.name)
    if box.daemon is not None:
        box.daemon.wait()
    if box.daemon is not None and any(_learned(box.home).glob("*.xml")):
        CAPABILITIES.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(_learned(box.home), CAPABILITIES, dirs_exist_ok=True)
    shutil.rmtree(box.home, ignore_errors=True)


@pytest.fixture(scope="session")
def real_box() -> Iterator[RealBox]:
    box = make_box()
    try:
        yield box
    finally:
        remove_box(box)


@pytest.fixture(scope="session")
def real_libvirt(real_box: RealBox) -> RealBox:
    real_box.start_libvirtd()
    assert libvirt_daemon.pid(real_box.home) is not None
    return real_box
