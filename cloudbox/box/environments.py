"""The Python environment and the browser packages: built once per set of pins, shared by all boxes of the host.

A folder of the cache is named by the hash of what went into it and counts only with its `.complete` stamp, which comes last;
a build that broke off is thrown away by the next. Built where it stays, since virtual environments cannot be moved.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudbox.box.paths import CACHE, CHECKOUT
from cloudbox.box.shell import Failed, Log, Word, run

COMPLETE = ".complete"
KEPT = 3


def _hash(*parts: bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def venv_folder(*, dev: bool = False, checkout: Path = CHECKOUT) -> Path:
    """Where the environment for these requirements and this Python is, or will be."""
    pins = [(checkout / "requirements" / name).read_bytes() for name in _pin_files(dev)]
    return CACHE / f"{'dev' if dev else 'venv'}-{_hash(sys.version.encode(), *pins)}"


def _pin_files(dev: bool) -> list[str]:
    return ["box.txt", "dev.txt"] if dev else ["box.txt"]


def is_complete(folder: Path) -> bool:
    return (folder / COMPLETE).exists()


def build_venv(*, log: Log, dev: bool = False, checkout: Path = CHECKOUT) -> str:
    """pip, every file checked against its pinned hash."""

    def build(folder: Path) -> None:
        run(["/usr/bin/python3", "-m", "venv", folder], log=log)
        for name in _pin_files(dev):
            pip: list[Word] = [
                folder / "bin" / "python",
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
                "--progress-bar",
                "off",
            ]
            run(
                [*pip, "--root-user-action=ignore", "--require-hashes", "-r", checkout / "requirements" / name],
                log=log,
                env={"HOME": _home()},
            )

    return _build(venv_folder(dev=dev, checkout=checkout), build, log=log)


def node_folder(checkout: Path = CHECKOUT) -> Path:
    return CACHE / f"node-{_hash(*((checkout / name).read_bytes() for name in ('package.json', 'package-lock.json')))}"


def build_node(*, log: Log, checkout: Path = CHECKOUT) -> str:
    """`npm ci`: exactly the lock file, without running anybody's install scripts."""

    def build(folder: Path) -> None:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            if (checkout / name).exists():
                shutil.copyfile(checkout / name, folder / name)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=warn"], log=log, cwd=folder, env={"HOME": _home()})

    return _build(node_folder(checkout), build, log=log)


def _home() -> str:
    """pip and npm look for their settings there; sudo may have left another one."""
    return os.environ.get("HOME") or "/root"


def _build(folder: Path, build: Callable[[Path], None], *, log: Log) -> str:
    with _lock(folder, log=log):
        if is_complete(folder):
            return "another box had it"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        before = os.umask(0o022)
        try:
            build(folder)
        finally:
            os.umask(before)
        (folder / COMPLETE).touch()
        _forget_old(folder)
    return ""


def _forget_old(folder: Path) -> None:
    """Keep a few earlier ones: another box may still run on them."""
    kind = folder.name.partition("-")[0]
    others = sorted((p for p in CACHE.glob(f"{kind}-*") if p.is_dir() and p != folder), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in others[KEPT:]:
        if not _in_use(path):
            shutil.rmtree(path, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Does a process run a program or library of it?"""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(folder) in maps.read_text():
                return True
        except OSError:
            continue
    return False


@contextmanager
def _lock(folder: Path, *, log: Log) -> Iterator[None]:
    """Two boxes that are set up at the same time build one environment once."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        CACHE.chmod(0o755)
        file = (CACHE / f".{folder.name}.lock").open("w")
    except PermissionError as error:
        raise Failed(f"{CACHE} cannot be written", remedy="run it as root: sudo bin/cloudbox …") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("somebody else is building it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def publish(folder: Path, link: Path) -> None:
    """Point `link` at the folder in one move."""
    if link.is_symlink() and os.readlink(link) == str(folder):
        return
    beside = link.with_name(f".{link.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(folder)
    os.replace(beside, link)
