"""The demo image, built from real packages and booted for real: the console, the metadata, SSH and the power button."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.demo_image import build, disk
from tests.demo_image import metadata_by_hand
from tests.demo_image.guest import Guest, booted

pytestmark = [pytest.mark.machines, pytest.mark.slow]

CACHE = Path("/var/cache/cloudbox/demo-image")
SCRIPT = "#!/bin/sh\necho was here >/root/user-data-was-here\n"
MEBIBYTES_AT_LEAST = 96


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo-image") / "demo.qcow2"
    build.build(CACHE, path, print)
    return path


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, since sockets go in there."""
    with tempfile.TemporaryDirectory(prefix="cbx-demo-") as path:
        yield Path(path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def said_by(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_second_build_takes_the_first_from_the_cache(image: Path, tmp_path: Path) -> None:
    said: list[str] = []
    again = tmp_path / "again.qcow2"
    build.build(CACHE, again, said.append)
    assert again.read_bytes() == image.read_bytes()
    assert any("in the cache" in line for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["again.qcow2"]


def test_its_file_system_is_sound_and_all_is_roots(image: Path, tmp_path: Path) -> None:
    raw, offset = tmp_path / "raw", f"{disk.GAP_MIB * disk.MIB}"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    checked = said_by(["/sbin/e2fsck", "-fn", f"{raw}?offset={offset}"])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = said_by(["/sbin/debugfs", "-R", "ls -p /usr/sbin", f"{raw}?offset={offset}"])
    owners = {line.split("/")[5]: line.split("/")[2:5] for line in listed.stdout.splitlines() if line.startswith("/")}
    assert owners["dropbear"] == ["100755", "0", "0"]
    assert owners["cloud-start"] == ["100755", "0", "0"]


def test_it_boots_learns_who_it_is_and_powers_off(image: Path, folder: Path) -> None:
    key, user_data, port = folder / "key", folder / "user-data", free_port()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a test", "-f", key], check=True)
    user_data.write_text(SCRIPT)
    command = f"cmd:{sys.executable} {metadata_by_hand.__file__} {key}.pub {user_data}"
    network = f"user,id=net,restrict=on,net=169.254.169.0/24,host=169.254.169.1,dhcpstart=169.254.169.15,hostfwd=tcp:127.0.0.1:{port}-:22"
    more = ["-netdev", f"{network},guestfwd=tcp:169.254.169.254:80-{command}", "-device", "virtio-net-pci,netdev=net"]
    with booted(image, folder, memory_mib=MEBIBYTES_AT_LEAST, disk_gib=3, more=more) as guest:
        said = guest.expect("root@demo-1:~# ")
        assert "the portal has already checked" in said
        guest.type("echo $((6*7))")
        guest.expect("\r\n42\r\n", seconds=30)
        _check_inside(guest)
        _check_ssh(key, port)
        assert guest.agent("guest-get-host-name") == {"host-name": "demo-1"}
        _check_screen(guest, folder)
        print(f"{guest.cpu_seconds():.1f} CPU seconds")
        guest.qmp("system_powerdown")
        guest.expect("Power down", seconds=60)
        assert guest.process.wait(30) == 0


def _check_inside(guest: Guest) -> None:
    # User data is the last that it does, with the prompt there already.
    assert guest.run("until cat /var/lib/cloudbox/instance-id 2>/dev/null; do sleep 0.2; done") == f"i-{metadata_by_hand.ID.hex[:17]}\n"
    assert guest.run("cat /root/user-data-was-here") == "was here\n"
    assert guest.run("hostname; cat /etc/hostname") == "demo-1\ndemo-1\n"
    # Grown to the disk, both the partition and the file system on it.
    assert int(guest.run("df -k / | tail -n 1 | awk '{print $2}'")) > 2.8 * 1024 * 1024
    assert guest.run("grep ^root: /etc/shadow | cut -d: -f2") == "*\n"


def _check_ssh(key: Path, port: int) -> None:
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60"]
    ssh = ["ssh", "-F", "none", *options, "-p", str(port), "root@127.0.0.1"]
    with_key = said_by([*ssh, "-i", str(key), "-o", "BatchMode=yes", "hostname"])
    assert with_key.stdout == "demo-1\n", with_key.stderr
    without = said_by([*ssh, "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=0", "hostname"])
    assert without.returncode != 0
    assert "(publickey)" in without.stderr, without.stderr


def _check_screen(guest: Guest, folder: Path) -> None:
    """A viewer of VNC sees a text on black, not nothing."""
    picture = folder / "screen.ppm"
    guest.qmp("screendump", filename=str(picture))
    assert picture.stat().st_size > 100_000
    assert 0.9 < picture.read_bytes().count(0) / picture.stat().st_size < 0.999
