"""Root disks and images as qcow2 files under the box's home.

A file appears under its name whole or not at all: written beside it, flushed, renamed. An image is read-only from then on, and a
root disk is an overlay on it. The format is always given to QEMU, never guessed from tenants' bytes.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cloudbox.common.errors import InsufficientCapacity, Invalid, NotFound, TooLarge
from compute.drivers import paths
from compute.drivers.commands import TIMEOUT_SECONDS, CommandFailed, run
from compute.drivers.disk_access import DiskAccess, filling
from compute.drivers.inner_snapshots import InnerSnapshots, copy_out
from compute.drivers.kept_roots import KeptRoots
from compute.drivers.qemu_user import as_qemu_user, give, qemu_user

GIB = 1024**3
IMAGE_BYTES_MAX = 64 * GIB
VIRTUAL_BYTES_MAX = 4096 * GIB
COPY_BYTES = 1024 * 1024
PART = ".part"
COPY_SECONDS = 4 * 3600

_HEADER = struct.Struct(">4sIQIIQ")  # magic, version, backing file offset and size, cluster bits, virtual size
_EXTERNAL_DATA = 1 << 2


def virtual_bytes(path: Path, *, layered: bool = False) -> int:
    """The size of the disk inside, after checking that the file stands alone: a qcow2 that names a backing or data file would
    make QEMU open any file of the host (https://www.qemu.org/docs/master/interop/qcow2.html). `layered`: one of ours, on its image."""
    with path.open("rb") as file:
        head = file.read(104)
    if len(head) < _HEADER.size or not head.startswith(b"QFI\xfb"):
        raise Invalid("The image is not a qcow2 file.")
    _, version, backing, _, _, size = _HEADER.unpack_from(head)
    if version not in (2, 3) or (version == 3 and len(head) < 104):
        raise Invalid("The image is a qcow2 file of an unknown version.")
    if (backing and not layered) or (version == 3 and struct.unpack_from(">Q", head, 72)[0] & _EXTERNAL_DATA):
        raise Invalid("The image refers to other files; flatten it first (qemu-img convert).")
    if size > VIRTUAL_BYTES_MAX:
        raise TooLarge(f"The image holds a disk of more than {VIRTUAL_BYTES_MAX // GIB} GiB.")
    return int(size)


def _backing(path: Path) -> str:
    """The file that an overlay of ours names in its header; empty: it stands alone, or is gone."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size or not head.startswith(b"QFI\xfb"):
                return ""
            _, _, offset, length, _, _ = _HEADER.unpack(head)
            file.seek(offset)
            return file.read(min(length, 1023)).decode(errors="replace") if offset else ""
    except FileNotFoundError:
        return ""


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A file to fill that takes the name `path`, durably, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{PART}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InsufficientCapacity("The host's disk is full.") from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


class Qcow2Volumes(KeptRoots, InnerSnapshots, DiskAccess):
    """HOME/instances/<id>/root.qcow2 and HOME/volumes/<id>.qcow2"""

    def __init__(self, home: Path) -> None:
        self.home = home

    def create_root(self, id: UUID, *, base: Path, size_gib: int) -> Path:
        path = self.root_path(id)
        if path.exists():
            return path
        if not base.exists():
            raise NotFound("The image's file is not there.", resource=base.stem)
        if size_gib * GIB < virtual_bytes(base):
            raise Invalid("The disk is smaller than the image.", field="size_gib")
        with _appearing(path) as part:
            # Passable for QEMU's user; what else lies there is not its business.
            path.parent.chmod(0o711)
            # -u: without opening the image. This runs as root, and the image holds a tenant's bytes; what must be known of them was
            # read above.
            argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", str(base.resolve()), str(part), f"{size_gib}G"]
            _run(argv)
            part.chmod(0o600)
            give(part)
        _sync_folder(path.parent.parent)
        return path

    def root_path(self, id: UUID) -> Path:
        return paths.root_disk(self.home, id)

    def grow_root(self, id: UUID, *, size_gib: int) -> None:
        try:
            if virtual_bytes(self.root_path(id), layered=True) >= size_gib * GIB:
                return
        except FileNotFoundError:
            raise NotFound("There is no such root disk.", resource=str(id)) from None
        # A guest wrote to it, so whatever opens it has no rights; and the image below it is not asked what it is.
        _run(as_qemu_user(["qemu-img", "resize", "-q", "-f", "qcow2", str(self.root_path(id)), f"{size_gib}G"]))

    def create_rescue(self, id: UUID, *, base: Path) -> Path:
        path = self.rescue_path(id)
        if path.exists():
            return path
        if not base.exists():
            raise NotFound("The image's file is not there.", resource=base.stem)
        size = virtual_bytes(base)
        with _appearing(path) as part:
            _run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", str(base.resolve()), str(part), str(size)])
            part.chmod(0o600)
            give(part)
        return path

    def export_root(self, id: UUID) -> Path:
        root, path = self.root_path(id), self.root_path(id).with_name("export.qcow2")
        try:
            size = virtual_bytes(root, layered=True)
        except FileNotFoundError:
            raise NotFound("There is no such root disk.", resource=str(id)) from None
        with _appearing(path) as part:
            # Made here and filled by QEMU's user: it reads a tenant's bytes, so it has no rights to make files.
            _run(["qemu-img", "create", "-q", "-f", "qcow2", str(part), str(size)])
            part.chmod(0o600)
            give(part)
            _run(
                as_qemu_user(["qemu-img", "convert", "-q", "-n", "-c", "-f", "qcow2", "-O", "qcow2", str(root), str(part)]),
                timeout_seconds=COPY_SECONDS,
            )
        return path

    def import_root(self, id: UUID, source: Path, *, size_gib: int) -> Path:
        path = self.root_path(id)
        if not path.exists():
            if not source.exists():
                raise NotFound("The copy of the disk is not there.", resource=str(id))
            virtual_bytes(source)  # it stands alone, or it is refused
            with _appearing(path) as part:
                path.parent.chmod(0o711)
                shutil.copyfile(source, part)
                part.chmod(0o600)
                give(part)
            _sync_folder(path.parent.parent)
        self.grow_root(id, size_gib=size_gib)
        return path

    def put_config_drive(self, id: UUID, disc: bytes) -> Path:
        path = self.config_drive_path(id)
        with _appearing(path) as part:
            path.parent.chmod(0o711)
            part.touch(0o600)  # User data hold secrets: nobody reads it in between.
            part.write_bytes(disc)
            part.chmod(0o400)
            give(part)
        _sync_folder(path.parent.parent)
        return path

    def config_drive_path(self, id: UUID) -> Path:
        return paths.config_drive(self.home, id)

    def drop_config_drive(self, id: UUID) -> None:
        self.config_drive_path(id).unlink(missing_ok=True)

    def delete(self, id: UUID) -> None:
        folder = self.root_path(id).parent
        self.root_path(id).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise InsufficientCapacity("The disk's directory could not be removed.", resource=str(id))

    def all(self) -> set[UUID]:
        """A directory counts even without its disk: what a crash left half made must be found to be deleted."""
        try:
            return {id for name in os.listdir(self.home / "instances") if (id := _id(name))}
        except FileNotFoundError:
            return set()

    def bases(self) -> set[UUID]:
        found = (_backing(path) for path in (self.home / "instances").glob("*/*.qcow2*"))
        return {id for name in found if name and (id := _id(Path(name).stem))}

    def used_bytes(self, id: UUID) -> int:
        try:
            return self.root_path(id).stat().st_blocks * 512
        except FileNotFoundError:
            raise NotFound("There is no such root disk.", resource=str(id)) from None

    def create_volume(self, id: UUID, *, size_gib: int) -> Path:
        path = self.volume_path(id)
        if path.exists():
            return path
        with _appearing(path) as part:
            path.parent.chmod(0o711)
            _run(["qemu-img", "create", "-q", "-f", "qcow2", str(part), f"{size_gib}G"])
            part.chmod(0o600)
            give(part)
        return path

    def create_volume_from(self, id: UUID, *, base: Path, size_gib: int) -> Path:
        path = self.volume_path(id)
        if not path.exists():
            if not base.exists():
                raise NotFound("The image's file is not there.", resource=base.stem)
            if size_gib * GIB < virtual_bytes(base):
                raise Invalid("The disk is smaller than the image.", field="size_gib")
            with _appearing(path) as part:
                path.parent.chmod(0o711)
                # Bytes are copied, nothing is looked into; where the file system can share them, at once.
                _run(["cp", "--reflink=auto", "--sparse=auto", str(base.resolve()), str(part)], timeout_seconds=COPY_SECONDS)
                part.chmod(0o600)
                give(part)
                if virtual_bytes(part) < size_gib * GIB:
                    _run(as_qemu_user(["qemu-img", "resize", "-q", "-f", "qcow2", str(part), f"{size_gib}G"]))
        return path

    def copy_volume(self, id: UUID, *, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        return self._copy(self.volume_path(id), source, snapshot_id, size_gib)

    def copy_root(self, id: UUID, *, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        path = self._copy(self.root_path(id), source, snapshot_id, size_gib)
        _sync_folder(path.parent.parent)
        return path

    def _copy(self, path: Path, source: UUID, snapshot_id: UUID, size_gib: int) -> Path:
        if not path.exists():
            with _appearing(path) as part:
                path.parent.chmod(0o711)
                _run(["qemu-img", "create", "-q", "-f", "qcow2", str(part), f"{size_gib}G"])
                part.chmod(0o600)
                give(part)
                copy_out(self.disk_path(source), snapshot_id, part, timeout_seconds=COPY_SECONDS)
        return path

    def volume_path(self, id: UUID) -> Path:
        return paths.volume(self.home, id)

    def grow_volume(self, id: UUID, *, size_gib: int) -> None:
        if self.volume_bytes(id)[0] < size_gib * GIB:
            # A guest wrote to it, so whatever opens it has no rights. QEMU locks the file of a running machine: then it fails.
            _run(as_qemu_user(["qemu-img", "resize", "-q", "-f", "qcow2", str(self.volume_path(id)), f"{size_gib}G"]))

    def volume_bytes(self, id: UUID) -> tuple[int, int]:
        path = self.volume_path(id)
        try:
            return virtual_bytes(path), path.stat().st_blocks * 512
        except FileNotFoundError:
            raise NotFound("The file of this volume is not there.", resource=str(id)) from None

    def delete_volume(self, id: UUID) -> None:
        filling(self.volume_path(id)).unlink(missing_ok=True)
        self.volume_path(id).unlink(missing_ok=True)

    def all_volumes(self) -> set[UUID]:
        folder = self.home / "volumes"
        # What a crash left half filled counts, too: it must be found to be deleted.
        names = (each.name.removesuffix(".filling") for each in folder.glob("*.qcow2*")) if folder.exists() else ()
        return {id for name in names if name.endswith(".qcow2") and (id := _id(name.removesuffix(".qcow2")))}


def _run(argv: Sequence[str], *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    try:
        run(argv, timeout_seconds=timeout_seconds)
    except CommandFailed as error:
        if "No space left" in error.message:
            raise InsufficientCapacity("The host's disk is full.") from error
        raise


class FileImages:
    """HOME/images/<id>.qcow2"""

    def __init__(self, home: Path) -> None:
        self.home = home

    def put(self, id: UUID, source: BinaryIO) -> int:
        path = paths.image(self.home, id)
        count = 0
        with _appearing(path) as part:
            with part.open("wb") as file:
                while chunk := source.read(COPY_BYTES):
                    count += len(chunk)
                    if count > IMAGE_BYTES_MAX:
                        raise TooLarge(f"An image may have {IMAGE_BYTES_MAX // GIB} GiB at most.")
                    file.write(chunk)
            virtual_bytes(part)
            part.chmod(0o440)
            if os.geteuid() == 0:
                os.chown(part, 0, qemu_user().gid)
        return count

    def path(self, id: UUID) -> Path:
        path = paths.image(self.home, id)
        if not path.exists():
            raise NotFound("There is no such image file.", resource=str(id))
        return path

    def delete(self, id: UUID) -> None:
        paths.image(self.home, id).unlink(missing_ok=True)

    def all(self) -> Iterator[UUID]:
        try:
            names = os.listdir(self.home / "images")
        except FileNotFoundError:
            names = []
        return iter([id for name in names if name.endswith(".qcow2") and (id := _id(name.removesuffix(".qcow2")))])
