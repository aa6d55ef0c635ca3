"""Files that tenants bring, opened and made into qcow2 of ours: by a program without rights, without a network, within limits.

What the file is was told before, from its bytes (compute/image_formats); QEMU is told the format and never guesses. The program runs as
nobody, in namespaces of its own for network, processes and IPC, without a way to new privileges, with limits on memory, processor time
and what it may write. It works in a folder of its own, and what it leaves there is taken as hostile again.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cloudbox.common.errors import InsufficientCapacity, Invalid, TooLarge
from compute.image_formats import Inspection, Refused, boot, inspect

ACCOUNT = "nobody"
MEMORY_BYTES_MAX = 2 * 1024**3
SPARE_BYTES = 64 * 1024**2
CPU_SECONDS_LEAST, CPU_SECONDS_PER_GIB = 120, 60
HEAD_SECONDS = 60.0
GIB = 1024**3
_PERCENT = re.compile(rb"\((\d{1,3})(?:\.\d+)?/100%\)")

Tell = Callable[[int], None]


class Workshop:
    """HOME/imports/<id>: where one file is worked on. Root's; the program's own folder lies in it."""

    def __init__(self, home: Path, id: UUID) -> None:
        self.folder = home / "imports" / str(id)
        self.source, self._inside = self.folder / "source", self.folder / "work"

    def open_source(self) -> BinaryIO:
        """The file to fill, empty."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self.source.unlink(missing_ok=True)
        return self.source.open("xb")

    def room(self, wanted_bytes: int) -> None:
        """Raises InsufficientCapacity if that much more does not fit on the host's disk."""
        if shutil.disk_usage(self.folder).free < wanted_bytes + GIB:
            raise InsufficientCapacity("The host's disk has no room for this image.")

    def inspect(self) -> Inspection:
        """Raises Refused with the reason."""
        with self.source.open("rb") as file:
            return inspect(file, self.source.stat().st_size)

    def convert(self, found: Inspection, tell: Tell, *, virtual_max: int) -> Path:
        """A qcow2 file that stands alone, checked again. `tell` hears percents, and stops the work by raising."""
        if found.virtual_bytes > virtual_max:
            raise TooLarge(f"The disk inside has {-(-found.virtual_bytes // GIB)} GiB; {virtual_max // GIB} GiB are the most.")
        self._prepare()
        options = self._options(found)
        told = self._info(options)
        size = told.get("virtual-size")
        if not isinstance(size, int) or not 0 < size <= found.virtual_bytes + SPARE_BYTES:
            raise Refused("The file is not what its header says.")
        if "backing-filename" in told or "data-file" in json.dumps(told.get("format-specific", {})):
            raise Refused("The file refers to other files.")
        out = self._inside / "disk.qcow2"
        out.unlink(missing_ok=True)
        argv = ["qemu-img", "convert", "-p", "--image-opts", "-O", "qcow2", options, out.name]
        self._run(argv, cpu_seconds=CPU_SECONDS_LEAST + CPU_SECONDS_PER_GIB * (size // GIB + 1), file_bytes=size + size // 64, tell=tell)
        return out

    def export(self, driver: str, options: str, tell: Tell) -> None:
        """The source, a qcow2 file of ours, as another format; `exported` gives it."""
        found = self.inspect()
        if found.format != "qcow2":
            raise Refused("The image's file is not what it should be.")
        self._prepare()
        out = self._inside / "exported"
        out.unlink(missing_ok=True)
        more = ["-o", options] if options else []
        argv = ["qemu-img", "convert", "-p", "--image-opts", "-O", driver, *more, self._options(found), out.name]
        size = found.virtual_bytes
        self._run(argv, cpu_seconds=CPU_SECONDS_LEAST + CPU_SECONDS_PER_GIB * (size // GIB + 1), file_bytes=size + size // 64, tell=tell)

    @contextlib.contextmanager
    def exported(self) -> Iterator[tuple[BufferedReader, int]]:
        """What `export` made, and its length."""
        with self.taken(self._inside / "exported") as file:
            yield file, os.fstat(file.fileno()).st_size

    def head(self) -> bytes:
        """The converted disk's first bytes, as its guest will read them."""
        out = self._inside / "head.raw"
        out.unlink(missing_ok=True)
        argv = ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=65536", f"count={boot.HEAD_BYTES // 65536}"]
        self._run([*argv, "if=disk.qcow2", f"of={out.name}"], cpu_seconds=HEAD_SECONDS, file_bytes=0)
        with self.taken(out) as file:
            return file.read(boot.HEAD_BYTES)

    @contextlib.contextmanager
    def taken(self, path: Path) -> Iterator[BufferedReader]:
        """A file that the program left, for reading: a plain file of its own, no link to anything."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != _account()[0]:
                raise Refused("What came out of the conversion is not a plain file.")
            yield file

    def take(self, path: Path) -> tuple[BufferedReader, Inspection]:
        """The converted disk, open and looked at once more: what made it had a hostile file before it. The caller closes it."""
        with self.taken(path) as file:
            found = inspect(file, os.fstat(file.fileno()).st_size)
            if found.format != "qcow2":
                raise Refused("What came out of the conversion is not a qcow2 file.")
            file.seek(0)
            return os.fdopen(os.dup(file.fileno()), "rb"), found

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- in the sandbox

    def _prepare(self) -> None:
        uid, gid = _account()
        self._inside.mkdir(exist_ok=True)
        self._inside.chmod(0o700)
        self.source.chmod(0o400)
        # By a second name in its own folder: it finds there all that it may know of, whatever lies above.
        with contextlib.suppress(FileNotFoundError):
            (self._inside / "source").unlink()
        os.link(self.source, self._inside / "source")
        if os.geteuid() == 0:
            os.chown(self._inside, uid, gid)
            os.chown(self.source, uid, gid)

    def _options(self, found: Inspection) -> str:
        """The source as QEMU takes it, with nothing left to guess (qemu-img(1), --image-opts)."""
        if found.length:
            window = f"file.driver=raw,file.offset={found.offset},file.size={found.length}"
            return f"driver={found.driver},{window},file.file.driver=file,file.file.filename=source"
        return f"driver={found.driver},file.driver=file,file.filename=source"

    def _info(self, options: str) -> dict[str, object]:
        text = self._run(["qemu-img", "info", "--output=json", "--image-opts", options], cpu_seconds=30, file_bytes=0)
        try:
            told = json.loads(text)
        except ValueError as error:
            raise Refused("QEMU cannot read the file.") from error
        return told if isinstance(told, dict) else {}

    def _run(self, argv: Sequence[str], *, cpu_seconds: float, file_bytes: int, tell: Tell | None = None) -> bytes:
        """What it printed. Raises Refused with QEMU's words if it fails, and whatever `tell` raises after ending it."""
        limits = [f"--as={MEMORY_BYTES_MAX}", f"--cpu={int(cpu_seconds)}", f"--fsize={file_bytes + SPARE_BYTES}", "--nofile=64", "--core=0"]
        words = ["prlimit", *limits, "--", *argv]
        if os.geteuid() == 0:
            uid, gid = _account()
            rights = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
            words = ["unshare", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--", *rights, *words]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self._inside, env=environment
        )
        assert process.stdout is not None
        assert process.stderr is not None
        printed, told = b"", 0.0
        try:
            while piece := os.read(process.stdout.fileno(), 65536):
                printed = (printed + piece)[-(1024**2) :]
                percents = _PERCENT.findall(piece)
                if tell is not None and percents and time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    tell(min(int(percents[-1]), 100))
            said = process.stderr.read(4096).decode("utf-8", "replace")
            if process.wait() == 0:
                return printed
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        if "No space left" in said:
            raise InsufficientCapacity("The host's disk is full.")
        if process.returncode in (-24, 152) or "CPU time" in said:
            raise Invalid("Reading the file took longer than a disk of its size may take.")
        # The last words, without where the file lies on the host.
        words_of_qemu = said.strip().splitlines()[-1].rpartition(": ")[2] if said.strip() else "it ended without a word"
        raise Refused(f"QEMU cannot read the file: {words_of_qemu[:160]}")


def _account() -> tuple[int, int]:
    """As an ordinary user (tests of the conversion) it is ourselves."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(ACCOUNT)
    return entry.pw_uid, entry.pw_gid
