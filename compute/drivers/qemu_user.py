"""The unprivileged account under which QEMU runs, whatever the distribution calls it."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NAMES = ("libvirt-qemu", "qemu", "nobody")


@dataclass(frozen=True)
class QemuUser:
    name: str
    group: str
    uid: int
    gid: int


@cache
def qemu_user() -> QemuUser:
    for name in NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return QemuUser(name, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_uid, entry.pw_gid)
    raise LookupError("There is no unprivileged account for QEMU on this host.")


def give(path: Path) -> None:
    """Hand a file or directory to QEMU. As an ordinary user (tests of the stores) it stays ours."""
    if os.geteuid() == 0:
        os.chown(path, qemu_user().uid, qemu_user().gid)


def as_qemu_user(argv: Sequence[str]) -> list[str]:
    """The same command without rights: for programs that open what a tenant has written to."""
    if os.geteuid() != 0:
        return list(argv)
    user = qemu_user()
    return ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups", "--no-new-privs", *argv]


def may_use(device: str) -> bool:
    """Whether QEMU's user may open a device for reading and writing, by its mode."""
    try:
        facts = os.stat(device)
    except OSError:
        return False
    user = qemu_user()
    if facts.st_uid == user.uid:
        return facts.st_mode & 0o600 == 0o600
    groups = {user.gid, *(each.gr_gid for each in grp.getgrall() if user.name in each.gr_mem)}
    if facts.st_gid in groups:
        return facts.st_mode & 0o060 == 0o060
    return facts.st_mode & 0o006 == 0o006
