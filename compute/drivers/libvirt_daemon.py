"""The box's own libvirtd: its files under the home, and the command line that runs it in the box's namespace.

It sees its own /etc, /var/lib, /run, /var/cache and /var/log of libvirt by bind mounts in a mount namespace, so the host's
libvirt (if there is one) and other boxes never meet it. It runs in the foreground: whoever supervises the box's processes
runs the command; killed at any point, the next one finds the running machines again through HOME/run/libvirt.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from compute.drivers import netns, paths
from compute.drivers.qemu_user import give, may_use, qemu_user

# What libvirtd shall find at its usual places, from under the home.
PLACES = {
    "libvirt/etc": "/etc/libvirt",
    "libvirt/lib": "/var/lib/libvirt",
    "run/libvirt": "/run/libvirt",
    "libvirt/cache": "/var/cache/libvirt",
    "libvirt/log": "/var/log/libvirt",
}

# $1 the home, $2 the box's name. A bare sysfs of this network namespace hides the cgroups, hence the detour.
SCRIPT = """
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
echo "$2" >/proc/sys/kernel/hostname
if mount --rbind /sys/fs/cgroup "$1/libvirt/cgroup" 2>/dev/null; then
  mount -t sysfs sysfs /sys
  mount --rbind "$1/libvirt/cgroup" /sys/fs/cgroup
else
  mount -t sysfs sysfs /sys
fi
""" + "".join(f'mkdir -p {there} && mount --bind "$1/{here}" {there}\n' for here, there in PLACES.items())

# The daemon asks for its own host name at every start of a machine; without this line it would wait for a DNS that cannot know it.
HOSTS = """
printf '127.0.0.1 localhost %s\n' "$2" >"$1/libvirt/etc/hosts"
mount --bind "$1/libvirt/etc/hosts" /etc/hosts
"""

# $3: whether QEMU's user may open /dev/kvm. If it may not, the node is covered by a file that nobody can use: libvirtd would find
# KVM enabled when it asks QEMU and unusable when it asks the file's mode, and never trust its cache: four seconds for every call.
KVM = """
if [ "$3" = no ] && [ -e /dev/kvm ]; then
  : >"$1/libvirt/etc/no-kvm"
  chmod 000 "$1/libvirt/etc/no-kvm"
  mount --bind "$1/libvirt/etc/no-kvm" /dev/kvm
fi
"""

# Not 022 by chance: what libvirtd makes must be passable for QEMU's user, whatever umask the supervisor was started with.
START = """
umask 022
exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid
"""


def write_files(home: Path, box: str) -> None:
    """Make the directories and configuration files; the same again when they are there."""
    for here in (*PLACES, "libvirt/etc/qemu", "libvirt/cgroup", "run", "images", "instances", "console", "logs"):
        folder = home / here
        folder.mkdir(parents=True, exist_ok=True)
        # QEMU's user walks through; it cannot list or read what is not its own.
        folder.chmod(folder.stat().st_mode | 0o011)
    home.chmod(home.stat().st_mode | 0o011)
    machines = home / "run" / "machines"
    machines.mkdir(exist_ok=True)
    machines.chmod(0o750)
    give(machines)  # QEMU makes the screen's socket there itself.
    for name, text in _files(home, box).items():
        path = home / "libvirt" / "etc" / name
        if not path.exists() or path.read_text() != text:
            new = path.with_suffix(".new")
            new.write_text(text)
            os.replace(new, path)


def _files(home: Path, box: str) -> dict[str, str]:
    user = qemu_user()
    return {
        "libvirtd.conf": (
            'unix_sock_group = "root"\n'
            'unix_sock_rw_perms = "0700"\n'
            'unix_sock_ro_perms = "0700"\n'
            'auth_unix_rw = "none"\n'
            'auth_unix_ro = "none"\n'
            f'host_uuid = "{uuid.uuid5(uuid.NAMESPACE_URL, f"cloudbox:{home}:{box}")}"\n'
            'log_outputs = "3:stderr"\n'
        ),
        # Disks and logs are given to QEMU by us (relabel='no' in the domain), the rest by libvirt's dynamic ownership.
        # Without systemd nothing starts virtlogd, hence files. No cgroups: they need a delegated tree, which not every host has.
        "qemu.conf": (
            f'user = "{user.name}"\n'
            f'group = "{user.group}"\n'
            "dynamic_ownership = 1\n"
            "remember_owner = 0\n"
            'security_driver = "none"\n'
            'stdio_handler = "file"\n'
            "namespaces = [ ]\n"
            "cgroup_controllers = [ ]\n"
            "max_core = 0\n"
            'auto_dump_path = "/var/lib/libvirt/qemu/dump"\n'
        ),
        "network.conf": "",
    }


def command(home: Path, box: str) -> list[str]:
    return [
        *netns.enter(box),
        "unshare",
        "--mount",
        "--uts",
        "--propagation",
        "private",
        "sh",
        "-c",
        SCRIPT + HOSTS + KVM + START,
        "libvirtd",
        str(home),
        box,
        "yes" if may_use("/dev/kvm") else "no",
    ]


def pid(home: Path) -> int | None:
    """The daemon's process, if it runs."""
    try:
        number = int((home / "run" / "libvirt" / "libvirtd.pid").read_text())
        return number if "libvirtd" in Path(f"/proc/{number}/cmdline").read_text() else None
    except (OSError, ValueError):
        return None


def uri(home: Path) -> str:
    return f"qemu+unix:///system?socket={paths.libvirt_socket(home)}"
