"""The bytes of disks in qcow2 files: read as they were at a snapshot, written into new ones. By qemu-nbd, which runs without rights.

QEMU alone knows what a qcow2 file holds (layers, compressed clusters, zeros), so it is asked, over a socket in a folder that only it and
we can enter. It ends with its client: whoever kills us kills it.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from cloudbox.common.errors import InsufficientCapacity, NotFound, Unavailable
from compute.drivers import inner_snapshots, nbd, paths, qcow2_changes
from compute.drivers.commands import ERROR_CHARACTERS, run
from compute.drivers.qemu_user import as_qemu_user, give

START_SECONDS = 30.0


@contextmanager
def served(path: Path, more: Sequence[str], options: str = "") -> Iterator[nbd.Disk]:
    """The disk in a qcow2 file, open; `more` are options of qemu-nbd, `options` those of the file."""
    folder = Path(tempfile.mkdtemp(prefix="cloudbox-disk-"))
    try:
        give(folder)
        wire = folder / "nbd"
        name = "driver=qcow2,file.driver=file,file.filename=" + str(path).replace(",", ",,") + options
        argv = ["qemu-nbd", "--image-opts", "--cache=writeback", "--discard=unmap", "-k", str(wire), *more, name]
        with (folder / "words").open("wb") as words:
            server = subprocess.Popen(
                as_qemu_user(argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words, start_new_session=True
            )
        try:
            disk = _connected(server, wire, folder / "words")
            try:
                yield disk
            finally:
                disk.close()
                try:
                    server.wait(START_SECONDS)  # what was written is in the file when it has ended
                except subprocess.TimeoutExpired:
                    server.kill()
        finally:
            if server.poll() is None:
                server.kill()
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _connected(server: subprocess.Popen[bytes], wire: Path, words: Path) -> nbd.Disk:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            text = words.read_text(errors="replace").strip()[-ERROR_CHARACTERS:]
            if "lock" in text:
                raise Unavailable("A machine is using the disk.")
            raise Unavailable(f"The program qemu-nbd failed: {text or server.returncode}")
        if wire.exists():
            try:
                return nbd.connect(str(wire))
            except Unavailable:
                if server.poll() is not None:
                    continue
        time.sleep(0.01)
    raise Unavailable("The program qemu-nbd did not begin to serve in time.")


class DiskAccess:
    """Of root disks and volumes alike; mixed into Qcow2Volumes."""

    home: Path

    def disk_path(self, id: UUID) -> Path:
        raise NotImplementedError

    @contextmanager
    def open_snapshot(self, id: UUID, snapshot_id: UUID) -> Iterator[nbd.Disk]:
        path = self.disk_path(id)
        if snapshot_id not in inner_snapshots.names(path):
            raise NotFound("The disk no longer holds this snapshot.", resource=str(snapshot_id))
        # A machine may go on writing to the disk: nothing of a snapshot changes while it is there.
        more = ["--read-only", f"--load-snapshot=snapshot.name={snapshot_id}"]
        with served(path, more, ",force-share=on") as disk:
            # qemu-nbd serves it as large as the disk is today; behind its own end there is nothing.
            disk.size_bytes = min(disk.size_bytes, qcow2_changes.size_of(path, snapshot_id) or disk.size_bytes)
            yield disk

    def changed_between(self, id: UUID, before: UUID, after: UUID) -> list[tuple[int, int]] | None:
        try:
            return [*qcow2_changes.changed(self.disk_path(id), before, after)]
        except qcow2_changes.Unknown:
            return None

    @contextmanager
    def open_disk(self, id: UUID) -> Iterator[nbd.Disk]:
        try:
            with served(self.disk_path(id), ["--detect-zeroes=off"]) as disk:
                yield disk
                disk.flush()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise InsufficientCapacity("The host's disk is full.") from error
            raise

    @contextmanager
    def new_disk(self, id: UUID, *, size_gib: int, is_root: bool = False) -> Iterator[nbd.Disk]:
        path = paths.root_disk(self.home, id) if is_root else paths.volume(self.home, id)
        # Of one name, so that what a crash left of it is found: here, or when the disk is deleted.
        part = filling(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o711)
        part.unlink(missing_ok=True)
        try:
            run(["qemu-img", "create", "-q", "-f", "qcow2", str(part), f"{size_gib}G"])
            part.chmod(0o600)
            give(part)
            with served(part, []) as disk:
                yield disk
                disk.flush()
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            part.unlink(missing_ok=True)


def filling(path: Path) -> Path:
    """The name of a disk that is not whole yet."""
    return path.with_name(f"{path.name}.filling")
