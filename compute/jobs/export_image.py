"""Images on their way out: converted in the sandbox, and put into a bucket of the tenant in parts.

Each step can be repeated: it begins its part anew. Deleting the row of the export ends the work at the next word about its progress.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock, events
from cloudbox.common.errors import Conflict, NotFound
from cloudbox.common.jobs import Kind, Run, Step
from cloudbox.common.object_client import Part
from compute import host, image_copies
from compute.backup_store.repository import store_of
from compute.image_formats import writing
from compute.models import ImageExport

S, F = ImageExport.Status, ImageExport.Format
TELL_SECONDS = 1.0
CONVERTED = 50
PART_BYTES = 16 * 1024**2  # S3 allows 10,000 parts of an upload
PARTS_MAX = 10_000
# The name of QEMU's driver and its options. A VHD's size is told as it is, not rounded to what a disk of 1996 could address.
DRIVERS: dict[str, tuple[str, str]] = {
    F.RAW: ("raw", ""),
    F.VMDK: ("vmdk", "subformat=streamOptimized"),
    F.VHD: ("vpc", "subformat=dynamic,force_size=on"),
    F.VHDX: ("vhdx", "subformat=dynamic"),
    F.OVA: ("vmdk", "subformat=streamOptimized"),
}
GONE = "The export was cancelled."


class Uploads(Protocol):
    """What is needed of an object store: part of `ObjectClient`."""

    def create_upload(self, bucket: str, key: str) -> str: ...

    def put_part(self, bucket: str, key: str, upload: str, number: int, body: bytes) -> Part: ...

    def complete_upload(self, bucket: str, key: str, upload: str, parts: list[Part]) -> str: ...

    def abort_upload(self, bucket: str, key: str, upload: str) -> None: ...

    def delete(self, bucket: str, key: str) -> object: ...


def _uploads(project_id: UUID) -> Uploads:
    return store_of(project_id)  # type: ignore[return-value]


def _subject(run: Run) -> ImageExport:
    found = ImageExport.objects.select_related("image").filter(id=run.subject_id).first()
    if found is None:
        raise Conflict(GONE)
    return found


class _Teller:
    """Progress from `start` to `end` percent, told once a second; raises Conflict when the export was cancelled meanwhile."""

    def __init__(self, row: ImageExport, start: int, end: int) -> None:
        self._row, self._start, self._end, self._told = row, start, end, 0.0

    def __call__(self, percent: int) -> None:
        if time.monotonic() - self._told < TELL_SECONDS:
            return
        self._told = time.monotonic()
        with transaction.atomic():
            progress = self._start + (self._end - self._start) * min(percent, 100) // 100
            if not ImageExport.objects.filter(id=self._row.id, status=S.EXPORTING).update(progress=progress):
                raise Conflict(GONE)
            events.touch("image", self._row.image_id, self._row.project_id)


def _convert(run: Run) -> None:
    row = _subject(run)
    tell = _Teller(row, 0, CONVERTED)
    tell(0)
    if row.format == F.QCOW2:
        return  # it is kept as that
    image, workshop = row.image, host.workshop(row.id)
    with image_copies.file(image.id) as source, source.open("rb") as stream, workshop.open_source() as file:
        # A copy is worked on, not the file that disks stand on: the sandbox's program gets it as its own.
        workshop.room(image.size_bytes + min(image.virtual_bytes, 4 * image.size_bytes))
        shutil.copyfileobj(stream, file, writing.PIECE_BYTES)
    driver, options = DRIVERS[row.format]
    workshop.export(driver, options, tell)


@contextlib.contextmanager
def _file(row: ImageExport) -> Iterator[tuple[int, Iterable[bytes]]]:
    """What goes out, and how long it is."""
    if row.format == F.QCOW2:
        with image_copies.file(row.image_id) as path, path.open("rb") as stream:
            yield path.stat().st_size, _pieces(stream)
        return
    with host.workshop(row.id).exported() as (stream, length):
        if row.format != F.OVA:
            yield length, _pieces(stream)
            return
        image, disk = row.image, "disk1.vmdk"
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        wants = image.facts.get("launch") or {}
        text = writing.ovf(
            name=image.name,
            system=image.os,
            disk=disk,
            disk_bytes=length,
            capacity=image.virtual_bytes,
            vcpus=wants.get("vcpus") or 1,
            memory_mib=wants.get("memory_mib") or image.min_memory_mib or 1024,
        )
        listed = writing.manifest({"machine.ovf": hashlib.sha256(text).hexdigest(), disk: digest})
        files: list[tuple[str, int, bytes | BinaryIO]] = [
            ("machine.ovf", len(text), text),
            ("machine.mf", len(listed), listed),
            (disk, length, stream),
        ]
        yield writing.tar_bytes([(name, size) for name, size, _ in files]), writing.tar(files)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(writing.PIECE_BYTES):
        yield piece


def _upload(run: Run) -> None:
    row = _subject(run)
    _abort(run)  # what a crash left
    store, tell = _uploads(row.project_id), _Teller(row, CONVERTED, 100)
    tell(0)
    upload = store.create_upload(row.bucket, row.key)
    run.job.arguments |= {"bucket": row.bucket, "key": row.key, "upload": upload}
    run.job.save(update_fields=["arguments"])
    digest, count, parts = hashlib.sha256(), 0, []
    with _file(row) as (length, pieces):
        part_bytes = max(PART_BYTES, -(-length // PARTS_MAX))
        for number, body in enumerate(_parts(pieces, part_bytes), start=1):
            digest.update(body)
            parts.append(store.put_part(row.bucket, row.key, upload, number, body))
            count += len(body)
            tell(100 * count // length if length else 0)
    if not ImageExport.objects.filter(id=row.id, status=S.EXPORTING).exists():
        raise Conflict(GONE)
    store.complete_upload(row.bucket, row.key, upload, parts)
    ImageExport.objects.filter(id=row.id).update(size_bytes=count, checksum=digest.hexdigest())


def _parts(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def _abort(run: Run) -> None:
    """An upload that is not completed takes room in the bucket, and no list shows it."""
    told = run.job.arguments
    if told.get("upload") and run.job.project_id is not None:
        with contextlib.suppress(NotFound):
            _uploads(run.job.project_id).abort_upload(told["bucket"], told["key"], told["upload"])


def _clear(run: Run) -> None:
    host.workshop(run.subject_id).clear()


def _take_back(run: Run) -> None:
    """Of one that was cancelled while its last part was on its way, nothing stays either."""
    _abort(run)
    told = run.job.arguments
    if told.get("upload") and run.job.project_id is not None:
        with contextlib.suppress(NotFound):
            _uploads(run.job.project_id).delete(told["bucket"], told["key"])


def _made(run: Run) -> None:
    _clear(run)
    with transaction.atomic():
        row = ImageExport.objects.select_for_update(of=("self",)).select_related("image").filter(id=run.subject_id).first()
        if row is None:
            raise Conflict(GONE)
        if row.status == S.READY:
            return  # Once more, after a crash.
        row.status, row.progress, row.finished_at = S.READY, 100, clock.now()
        row.save(update_fields=["status", "progress", "finished_at"])
        events.publish(run.actor, "finish-export", "image", row.image, project_id=row.project_id, detail=f"{row.bucket}/{row.key}")


def _not_made(run: Run, sentence: str) -> None:
    with transaction.atomic():
        row = ImageExport.objects.select_for_update(of=("self",)).select_related("image").filter(id=run.subject_id).first()
        if row is not None and row.status == S.EXPORTING:
            row.status, row.error, row.finished_at = S.FAILED, sentence[:500], clock.now()
            row.save(update_fields=["status", "error", "finished_at"])
            events.publish(run.actor, "fail-export", "image", row.image, project_id=row.project_id, detail=sentence)


KIND = Kind(
    name="export-image",
    noun="image",
    steps=(
        Step("Converting it", _convert, _clear),
        Step("Putting it into the bucket", _upload, _take_back),
        Step("Noting where it is", _made),
    ),
    on_failed=_not_made,
)
