"""The code a box runs: a copy of the checkout under the home, swapped in whole.

A copy, because web processes are an unprivileged user who may not read the checkout's folder (/root, a home), and so that
an edit in the checkout changes a running box only at the next `up`.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cloudbox.box.paths import CHECKOUT, Box
from cloudbox.box.shell import Log

NOT_CODE = {".git", "node_modules", ".venv", "__pycache__", ".vagrant", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
RELEASES_KEPT = 2


def files(checkout: Path = CHECKOUT) -> list[Path]:
    """What belongs to the code, relative: tracked and new files, as they are now; without git, all but the known clutter."""
    if (checkout / ".git").exists():
        # The checkout may be another user's: `sudo bin/cloudbox up` in one's own folder is the usual way.
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=False,
        )
        if listed.returncode == 0:
            names = {Path(os.fsdecode(name)) for name in listed.stdout.split(b"\0") if name}
            return sorted(name for name in names if (checkout / name).is_file() and not NOT_CODE & set(name.parts))
    return sorted(_walk(checkout))


def _walk(checkout: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(checkout):
        folders[:] = [name for name in folders if name not in NOT_CODE]
        for name in names:
            yield (Path(folder) / name).relative_to(checkout)


def tree_hash(checkout: Path = CHECKOUT) -> str:
    """Names, modes and contents of all files."""
    total = hashlib.sha256()
    for name in files(checkout):
        path = checkout / name
        total.update(f"{name}\0{path.stat().st_mode & 0o111:o}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def current(box: Box) -> str:
    """The hash of the code the box has, "" when it has none."""
    return os.readlink(box.app).rpartition("/")[2] if box.app.is_symlink() else ""


def copy(box: Box, *, log: Log, checkout: Path = CHECKOUT) -> str:
    """Lay the code into releases/<hash> and point `app` there in one move."""
    hash_ = tree_hash(checkout)
    releases = box.home / "releases"
    target, beside = releases / hash_, releases / f".{hash_}.new"
    if not target.exists():
        shutil.rmtree(beside, ignore_errors=True)
        names = files(checkout)
        for name in names:
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkout / name, path)
            path.chmod(0o755 if os.access(checkout / name, os.X_OK) else 0o644)
        # Compiled once: no start spends time and memory on it again. A release never changes, so nothing need be checked.
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(beside, quiet=2, invalidation_mode=unchecked, stripdir=str(beside), prependdir=str(box.app))
        for folder in [beside, *(path for path in beside.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
        beside.rename(target)
        log(f"{len(names)} files")
    link = box.home / ".app.new"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("releases") / hash_)
    os.replace(link, box.app)
    _forget_old(releases, hash_)
    return hash_


def _forget_old(releases: Path, keep: str) -> None:
    others = sorted((path for path in releases.iterdir() if path.name != keep), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[RELEASES_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
