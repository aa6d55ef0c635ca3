"""Steps of `up` on the host itself: accounts, the home's folders, the port, the accelerator, the demo image."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from cloudbox.box.paths import CACHE, CHECKOUT, LONGEST_SOCKET, SOCKET_PATH_BYTES_MAX, USER, Box
from cloudbox.box.shell import Failed, Log, output, run

QEMU_USER = "libvirt-qemu"
METADATA_USER = "cloudbox-metadata"
FOLDERS = ("run", "logs", "stamps", "images", "instances", "console", "screens", "releases")


# --- accounts


def accounts_exist() -> bool:
    return all(_exists(pwd.getpwnam, name) for name in (USER, METADATA_USER, QEMU_USER)) and all(
        _exists(grp.getgrnam, name) for name in (USER, QEMU_USER)
    )


def _exists(look: Callable[[str], object], name: str) -> bool:
    try:
        look(name)
    except KeyError:
        return False
    return True


def make_accounts(*, log: Log) -> None:
    """`cloudbox` for the web, `cloudbox-metadata` for who reads what guests send, `libvirt-qemu` for the guests: Debian's name for it,
    whose group libvirt insists on."""
    add = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    for user in (USER, METADATA_USER):
        if not _exists(pwd.getpwnam, user):
            run([*add, "--home-dir", "/nonexistent", "--user-group", user], log=log)
    for group in ("kvm", QEMU_USER):
        if not _exists(grp.getgrnam, group):
            run(["groupadd", "--system", group], log=log)
    if not _exists(pwd.getpwnam, QEMU_USER):
        run([*add, "--home-dir", "/var/lib/libvirt", "--gid", "kvm", "--groups", QEMU_USER, QEMU_USER], log=log)


# --- the home


def check_home(box: Box) -> None:
    """What would only show much later, and unclearly: a path too long for sockets, or one the web's user cannot walk."""
    longest = len(os.fsencode(box.home / LONGEST_SOCKET))
    if longest > SOCKET_PATH_BYTES_MAX:
        raise Failed(
            f"the path {box.home} is too long: a Unix socket below it would have {longest} bytes, {SOCKET_PATH_BYTES_MAX} are possible",
            remedy="choose a shorter one with --home",
        )
    if "," in str(box.home) or any(letter.isspace() for letter in str(box.home)):
        raise Failed(
            f"the path {box.home} has a space or a comma in it, which QEMU takes for something else", remedy="choose another with --home"
        )
    for folder in box.home.parents:
        if folder.exists() and not folder.stat().st_mode & 0o001:
            raise Failed(
                f"{folder} is closed to other users, and the box's web and database run as such",
                remedy=f"choose another home with --home, or open the folder: chmod o+x {folder}",
            )


def make_home(box: Box) -> None:
    for folder in (box.home, *(box.home / name for name in FOLDERS)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(folder.stat().st_mode & 0o777 | 0o711)
    # Disks, consoles' texts and pictures of guests: everybody's programs may pass, nobody else's may look around.
    for name in ("images", "instances", "console", "screens", "logs"):
        (box.home / name).chmod(0o711)
    static = box.home / "static"
    static.mkdir(exist_ok=True)
    static.chmod(0o755)


# --- the port


def choose_port(box: Box, wanted: int | None) -> int:
    """The port asked for, or the one it has, or 8000; taken by somebody else is an error with a free one named."""
    before = box.config().get("port")
    port = wanted or before or 8000
    if port != before and not port_is_free(port):
        free = next((n for n in range(port + 1, port + 100) if port_is_free(n)), None)
        raise Failed(
            f"port {port} is taken" + (f" by {who}" if (who := holder(port)) else ""),
            remedy=f"choose another: --port {free}" if free else "choose another with --port",
        )
    return int(port)


def choose_store_ports(box: Box, portal: int) -> dict[str, int]:
    """Where the object store serves, where by TLS, and where it tells operators of itself: 9000, 9443 and 9001, or the next free ones."""
    before, found = box.config(), {}
    taken = {portal}
    for name, first in (("store_port", 9000), ("store_admin_port", 9001), ("store_tls_port", 9443)):
        port = before.get(name) or next(n for n in range(first, 65536) if n not in taken and port_is_free(n))
        found[name] = int(port)
        taken.add(int(port))
    return found


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens there, as `ss` tells, e.g. "granian (pid 12)"."""
    shown = output(["ss", "-Hltnp", f"sport = :{port}"]) or ""
    _, _, rest = shown.partition('users:(("')
    name, _, rest = rest.partition('"')
    pid = rest.partition("pid=")[2].partition(",")[0]
    return f"{name} (pid {pid})" if name else ""


# --- accelerator


def probe_accelerator(box: Box) -> str:
    """Run a tiny guest by KVM and write down whether it ended; asked once per box."""
    from compute.drivers import accelerator

    found = accelerator.probe(5.0)
    box.write_config({"accelerator": found.name})
    return f"{found.name}: {found.reason.partition(':')[0]}"


# --- demo image


def demo_folder(checkout: Path = CHECKOUT) -> Path:
    """The cache folder of the demo image that these builder sources make."""
    total = hashlib.sha256()
    for path in sorted((checkout / "compute" / "demo_image").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    return CACHE / f"demo-{total.hexdigest()[:12]}"


def demo_image() -> Path:
    return demo_folder() / "demo.qcow2"


def build_demo_image(*, log: Log) -> str:
    """Build it in the cache, once per host; the image store of each box takes its own copy."""
    from compute.demo_image import build

    folder = demo_folder()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build.build(CACHE / "debs", demo_image(), log)
    (folder / ".complete").touch()
    return f"{demo_image().stat().st_size / 1e6:.0f} MB"
