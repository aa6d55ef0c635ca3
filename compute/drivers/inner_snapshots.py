"""Snapshots inside qcow2 files: a disk keeps its one file and its one name, and each snapshot can go whenever it likes.

Why not overlays: a chain of files changes the disk's name with every snapshot, needs its members merged before one of them can go, and
breaks whole when one is lost. Inside the file QEMU itself counts who needs which cluster. The price: they live as long as the disk.
https://www.qemu.org/docs/master/tools/qemu-img.html, https://www.qemu.org/docs/master/interop/qcow2.html

Whatever opens a file that a guest has written to runs without rights, and is told the format.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from cloudbox.common.errors import NotFound, Unavailable
from compute.drivers import paths
from compute.drivers.commands import CommandFailed, run
from compute.drivers.qemu_user import as_qemu_user

SNAPSHOT_SECONDS = 600  # Deleting one of a large disk counts all of its clusters down.


def _options(path: Path) -> str:
    """The file as QEMU's options: `snapshot` has no other way to be told a format."""
    return "driver=qcow2,file.driver=file,file.filename=" + str(path).replace(",", ",,")


def _facts(path: Path) -> dict[str, object]:
    # -U: a machine may be writing to it. What is asked for here changes only by us.
    text = run(as_qemu_user(["qemu-img", "info", "-U", "--output=json", "--image-opts", _options(path)]))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise Unavailable("The program qemu-img gave no answer that can be read.") from error
    assert isinstance(found, dict)
    return found


def names(path: Path) -> set[UUID]:
    """The ids of the snapshots in a file; those of other names are none of ours."""
    found = set()
    for each in _facts(path).get("snapshots", ()):  # type: ignore[attr-defined]
        try:
            found.add(UUID(each["name"]))
        except ValueError:
            continue
    return found


def _forget_bitmaps(path: Path) -> None:
    """What tracks changes for incremental backups knows nothing of going back: QEMU refuses to, and a backup would miss the change."""
    inside = _facts(path).get("format-specific", {}).get("data", {}).get("bitmaps", ())  # type: ignore[attr-defined]
    for each in inside:
        run(as_qemu_user(["qemu-img", "bitmap", "--remove", "-f", "qcow2", str(path), each["name"]]))


class InnerSnapshots:
    """Of root disks and volumes alike: both are qcow2 files, and no two disks share an id."""

    home: Path

    def disk_path(self, id: UUID) -> Path:
        for path in (paths.volume(self.home, id), paths.root_disk(self.home, id)):
            if path.exists():
                return path
        raise NotFound("The file of this disk is not there.", resource=str(id))

    def snapshots(self, id: UUID) -> set[UUID]:
        return names(self.disk_path(id))

    def snapshot(self, id: UUID, snapshot_id: UUID) -> None:
        path = self.disk_path(id)
        if snapshot_id not in names(path):
            self._change(path, ["-c", str(snapshot_id)])

    def delete_snapshot(self, id: UUID, snapshot_id: UUID) -> None:
        try:
            path = self.disk_path(id)
        except NotFound:
            return
        if snapshot_id in names(path):
            self._change(path, ["-d", str(snapshot_id)])

    def restore(self, id: UUID, snapshot_id: UUID, *, size_gib: int) -> None:
        path = self.disk_path(id)
        if snapshot_id not in names(path):
            raise NotFound("The disk no longer holds this snapshot.", resource=str(snapshot_id))
        _forget_bitmaps(path)
        self._change(path, ["-a", str(snapshot_id)])
        # It had its size of then; what it has grown to since stays.
        if int(str(_facts(path)["virtual-size"])) < size_gib * 1024**3:
            run(as_qemu_user(["qemu-img", "resize", "-q", "-f", "qcow2", str(path), f"{size_gib}G"]))

    def _change(self, path: Path, what: Sequence[str]) -> None:
        """QEMU holds a lock on the file of a machine that is on: then this fails, and is tried again."""
        argv = ["qemu-img", "snapshot", "-q", *what, "--image-opts", _options(path)]
        try:
            run(as_qemu_user(argv), timeout_seconds=SNAPSHOT_SECONDS)
        except CommandFailed as error:
            if "lock" in error.message:
                raise Unavailable("A machine is using the disk.", resource=path.stem) from error
            raise


def copy_out(path: Path, snapshot_id: UUID, target: Path, *, timeout_seconds: float) -> None:
    """Write a disk as it was at a snapshot into an empty qcow2 file at least as large; a machine may go on writing to the disk.

    Safe beside a running machine because nothing of a snapshot changes while it is there, and all of it was on the disk before the
    snapshot was told to be done.
    """
    if snapshot_id not in names(path):
        raise NotFound("The disk no longer holds this snapshot.", resource=str(snapshot_id))
    argv = ["qemu-img", "convert", "-U", "-q", "-n", "--target-is-zero", "-f", "qcow2", "-O", "qcow2"]
    run(as_qemu_user([*argv, "-l", f"snapshot.name={snapshot_id}", str(path), str(target)]), timeout_seconds=timeout_seconds)
