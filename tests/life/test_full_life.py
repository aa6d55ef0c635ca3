"""The full life of an instance on real machines, driven by REST, by unmodified clients, and by a person in the portal.

Each way does the same and is held to the same facts, which the guest itself tells over ssh. Three lives boot some twenty guests:
minutes, so they run when they are named: `bin/cloudbox test tests/life`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.life.cli import openstack_cli
from tests.life.guest import Guest
from tests.life.portal import portal
from tests.life.rest import Rest, rest
from tests.life.ways import Way
from tests.machines import eventually
from tests.whole_box import WholeBox, free_port, whole_box

pytestmark = [pytest.mark.machines, pytest.mark.long, pytest.mark.skipif(os.geteuid() != 0, reason="setting a box up needs root")]
Begin = Callable[[WholeBox, Path], AbstractContextManager[Way]]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeBox]:
    with whole_box(tmp_path_factory.mktemp("checkout")) as box:
        box("up", "--detach", "--port", str(free_port()))
        yield box


@pytest.fixture(scope="module")
def vmdk(box: WholeBox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo image as another cloud would hand it over."""
    path = tmp_path_factory.mktemp("foreign") / "tiny.vmdk"
    (source,) = (box.box.home / "images").glob("*.qcow2")
    options = ["-f", "qcow2", "-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", *options, str(source), str(path)], check=True)
    return path


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "begin"), [("rest", rest), ("openstack", openstack_cli), ("portal", portal)])
def test_a_full_life(box: WholeBox, vmdk: Path, tmp_path: Path, name: str, begin: Begin) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    watch = Rest(box)
    before = watch.usage()
    with begin(box, tmp_path) as way:
        live(way, name, key, vmdk)
    # Objects are counted by a round; the rest is free at once.
    eventually(lambda: watch.usage() == before)


def live(way: Way, name: str, key: Path, vmdk: Path) -> None:
    way.key(name, key.with_suffix(".pub").read_text())
    way.group(name)
    way.network(f"second-{name}")
    way.image(f"{name}-image", vmdk)
    way.launch(name, image=f"{name}-image", size="m1.nano", networks=["private", f"second-{name}"], key=name, group=name)
    guest = Guest(way.reach(name), key)
    guest.until("hostname", name)
    guest.until("ip -4 -o addr show scope global | wc -l", "2")
    assert f"this is {name}, instance" in way.console(name)

    # A volume is written to, grows in use and is backed up; it is lost, and comes back with the same bytes.
    disk = guest.disk(_given(way, name))
    guest(f"mkfs.ext2 -q {disk} && mount {disk} /mnt && dd if=/dev/urandom of=/mnt/file bs=64k count=64 2>/dev/null && sync")
    written = guest("sha256sum </mnt/file")
    way.snapshot(f"{name}-data", f"{name}-before")
    way.grow(f"{name}-data", 2)
    guest.until(f"cat /sys/block/{disk.rpartition('/')[2]}/size", str(2 * 2**30 // 512))
    way.backup(f"{name}-data")
    guest("umount /mnt")
    way.detach(f"{name}-data")
    way.lose(f"{name}-data")
    serial = way.restore(f"{name}-data", f"{name}-again")
    way.attach(f"{name}-again", name)

    def check_bytes() -> None:
        device = guest.disk(serial)
        assert guest(f"mount -o ro {device} /mnt && sha256sum </mnt/file && umount /mnt") == written

    check_bytes()

    # Another size, for good; the disk is the same.
    guest("echo first >/root/marker && sync")
    way.resize(name, "m1.micro")
    guest.until("cat /root/marker", "first")
    assert int(guest("sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) > 400_000
    check_bytes()

    # In rescue another system runs, and its own disk lies beside that.
    way.rescue(name)
    guest.until("test ! -e /root/marker && hostname", name)
    look = "for d in /dev/vd*; do mount -o ro $d /mnt 2>/dev/null || continue; cat /mnt/root/marker 2>/dev/null; umount /mnt; done"
    assert guest(look) == "first"
    way.unrescue(name)
    guest.until("cat /root/marker", "first")

    way.rebuild(name)
    guest.until("test ! -e /root/marker && hostname", name)
    check_bytes()

    guest("echo second >/root/marker && sync")
    way.shelve(name)
    assert not guest.answers()
    way.unshelve(name)
    guest.until("cat /root/marker", "second")
    check_bytes()
    assert f"this is {name}, instance" in way.console(name)
    way.clean(name)
    assert not guest.answers()


def _given(way: Way, name: str) -> str:
    serial = way.volume(f"{name}-data", 1)
    way.attach(f"{name}-data", name)
    return serial
