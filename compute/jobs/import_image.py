"""Images on their way in: fetched, looked at, converted, and put where images lie.

Each step can be repeated: it begins its part anew. Deleting the image ends the work at the next word about its progress.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from functools import partial
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction

from cloudbox.common import events, outbound
from cloudbox.common.errors import Conflict, Invalid, TooLarge
from cloudbox.common.jobs import Kind, Run, Step
from compute import host, image_copies
from compute.backup_store.repository import store_of
from compute.drivers.base import DiskBytes
from compute.image_formats import Inspection, boot, checksums
from compute.jobs import disks
from compute.models import Image

S = Image.Status
GIB = 2**30
SOURCE_BYTES_MAX = 64 * GIB
VIRTUAL_BYTES_MAX = 1024 * GIB
TELL_SECONDS = 1.0
PIECE_BYTES = 2**18
COPY_BYTES, ROOM_EVERY = 2**20, 256  # of disks of ours; so many pieces between two looks at the host's room
# How much of the whole each part is, in percent: what takes long is the way here and the conversion.
FETCHED, CONVERTED = 50, 95


def _subject(run: Run) -> Image:
    return Image.objects.get(id=run.subject_id)


class _Teller:
    """Progress from `start` to `end` percent, told once a second; raises Conflict when the image was deleted meanwhile."""

    def __init__(self, image: Image, start: int, end: int) -> None:
        self._image, self._start, self._end, self._told = image, start, end, 0.0

    def __call__(self, percent: int) -> None:
        if time.monotonic() - self._told < TELL_SECONDS:
            return
        self._told = time.monotonic()
        with transaction.atomic():
            progress = self._start + (self._end - self._start) * min(percent, 100) // 100
            if not Image.objects.filter(id=self._image.id, status=S.IMPORTING).update(progress=progress):
                raise Conflict("The image was deleted meanwhile.")
            if self._image.project_id is not None:
                events.touch("image", self._image.id, self._image.project_id)


def _hold(run: Run) -> None:
    """A disk goes on meanwhile: a snapshot for the image, called as it, holds the moment."""
    image = _subject(run)
    if "held" in image.source:
        instance = _holder(image)
        with disks.held_still(instance):
            disks.take(instance, {UUID(image.source["disk"]): image.id})


def _let_go(run: Run) -> None:
    image = _subject(run)
    if "held" in image.source:
        instance = _holder(image)
        disks.let_go_on(instance)
        disks.forget(instance, UUID(image.source["disk"]), image.id)


def _holder(image: Image) -> UUID | None:
    return UUID(image.source["held"]) if image.source["held"] else None


def _fetch(run: Run) -> None:
    image = _subject(run)
    _Teller(image, 0, FETCHED)(0)
    source = image.source
    if "url" in source:
        try:
            if "checksums_url" in source and "checksum" not in source:
                _look_up_checksum(image)
            with outbound.get(source["url"], outbound.networks(settings.IMAGE_NETWORKS), trust=settings.IMAGE_CA) as (length, pieces):
                _keep(image, pieces, length)
        except outbound.Refused as refused:
            raise Invalid(str(refused), field="url") from refused
        return
    if "disk" in source:
        with host.volumes().open_snapshot(UUID(source["disk"]), UUID(source.get("snapshot", str(image.id)))) as disk:
            _copy(image, disk)
        return
    if "upload" in source:
        with host.uploads().open(image.id) as file:
            _keep(image, iter(partial(file.read, PIECE_BYTES), b""), int(source["upload"]["size"]))
        return
    assert image.project_id is not None, "a bucket is a project's"
    with store_of(image.project_id).get(source["bucket"], source["key"]) as body:
        _keep(image, body, body.head.size)


def _look_up_checksum(image: Image) -> None:
    """The digest that the publisher tells today, noted with the image. Raises Refused or Invalid when it tells none."""
    address, name = image.source["checksums_url"], unquote(urlsplit(image.source["url"]).path.rpartition("/")[2])
    body = b""
    with outbound.get(address, outbound.networks(settings.IMAGE_NETWORKS), trust=settings.IMAGE_CA) as (_, pieces):
        for piece in pieces:
            body += piece
            if len(body) > checksums.LIST_BYTES_MAX:
                raise TooLarge("The list of checksums is longer than any is.")
    digest = checksums.find(body.decode("utf-8", "replace"), name)
    if not digest:
        raise Invalid(f"The list of checksums says nothing of {name[:100]}.", field="checksums_url")
    image.source["checksum"] = digest
    Image.objects.filter(id=image.id).update(source=image.source)


def _keep(image: Image, pieces: Iterable[bytes], length: int | None) -> None:
    """Into the workshop, counted, and compared with the checksum that was named."""
    if (length or 0) > SOURCE_BYTES_MAX:
        raise TooLarge(f"The file has more than {SOURCE_BYTES_MAX // GIB} GiB.")
    workshop, tell, count = host.workshop(image.id), _Teller(image, 0, FETCHED), 0
    digests = {name: hashlib.new(name) for name in ("sha256", "sha512")}
    with workshop.open_source() as file:
        workshop.room(length or 0)
        for piece in pieces:
            count += len(piece)
            if count > SOURCE_BYTES_MAX:
                raise TooLarge(f"The file has more than {SOURCE_BYTES_MAX // GIB} GiB.")
            for digest in digests.values():
                digest.update(piece)
            file.write(piece)
            tell(100 * count // length if length else 0)
    if length is not None and count != length:
        raise Invalid(f"Only {count} of {length} bytes came.")
    wanted = str(image.source.get("checksum", ""))
    if wanted and wanted not in {digest.hexdigest() for digest in digests.values()}:
        raise Invalid(f"The file is not the one that was meant: its SHA-256 is {digests['sha256'].hexdigest()}.", field="checksum")


def _copy(image: Image, disk: DiskBytes) -> None:
    """A disk of ours as a raw file with holes where it has zeros."""
    workshop, tell = host.workshop(image.id), _Teller(image, 0, FETCHED)
    if disk.size_bytes > VIRTUAL_BYTES_MAX:
        raise TooLarge(f"The disk has more than {VIRTUAL_BYTES_MAX // GIB} GiB.")
    with workshop.open_source() as file:
        for offset in range(0, disk.size_bytes, COPY_BYTES):
            length = min(COPY_BYTES, disk.size_bytes - offset)
            if not disk.is_zero(offset, length):
                if offset // COPY_BYTES % ROOM_EVERY == 0:
                    workshop.room(ROOM_EVERY * COPY_BYTES)
                file.seek(offset)
                file.write(disk.read(offset, length))
            tell(100 * offset // disk.size_bytes)
        file.truncate(disk.size_bytes)


def _inspect(image: Image) -> Inspection:
    """What the file is. A disk of ours is raw, whatever its guest wrote to its beginning."""
    workshop = host.workshop(image.id)
    if "disk" in image.source:
        return Inspection("raw", "raw", workshop.source.stat().st_size)
    return workshop.inspect()


def _look(run: Run) -> None:
    image = _subject(run)
    found = _inspect(image)
    facts: dict[str, object] = {**found.facts}
    if found.launch is not None:
        wants = found.launch
        facts["launch"] = {"vcpus": wants.vcpus, "memory_mib": wants.memory_mib, "nics": wants.nics, "disks": len(wants.disks)}
    Image.objects.filter(id=image.id).update(format=found.format, facts=facts, virtual_bytes=found.virtual_bytes)


def _convert(run: Run) -> None:
    image = _subject(run)
    workshop = host.workshop(image.id)
    out = workshop.convert(_inspect(image), _Teller(image, FETCHED, CONVERTED), virtual_max=VIRTUAL_BYTES_MAX)
    verdict = boot.judge(workshop.head())
    stream, found = workshop.take(out)
    with stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        size = image_copies.put(image.id, stream)
    boots = {"bios": verdict.bios, "uefi": verdict.uefi, "table": verdict.table, "system": verdict.system, "sentence": verdict.sentence}
    Image.objects.filter(id=image.id).update(
        virtual_bytes=found.virtual_bytes, size_bytes=size, checksum=checksum, facts={**image.facts, "boot": boots}
    )


def _unmake(run: Run) -> None:
    host.images().delete(run.subject_id)


def _clear(run: Run) -> None:
    host.workshop(run.subject_id).clear()


def _made(run: Run) -> None:
    _clear(run)
    _let_go(run)
    with transaction.atomic():
        image = Image.objects.select_for_update(of=("self",)).get(id=run.subject_id)
        if image.status == S.READY:
            return  # Once more, after a crash.
        if image.status != S.IMPORTING:
            raise Conflict("The image was deleted meanwhile.")
        image.status, image.progress, image.error = S.READY, 100, ""
        image.save(update_fields=["status", "progress", "error"])
        if image.entry_id is not None:  # the newest one of an entry takes the place of the others
            older = Image.objects.filter(entry_id=image.entry_id, status=S.READY, created_at__lt=image.created_at)
            older.update(status=S.DEACTIVATED)
        events.publish(run.actor, str(image.status), "image", image)


def _not_made(run: Run, sentence: str) -> None:
    with transaction.atomic():
        image = Image.objects.select_for_update(of=("self",)).get(id=run.subject_id)
        if image.status == S.IMPORTING:
            image.status, image.error = S.FAILED, sentence[:500]
            image.save(update_fields=["status", "error"])
            events.publish(run.actor, str(image.status), "image", image, detail=sentence)


KIND = Kind(
    name="import-image",
    noun="image",
    steps=(
        Step("Holding the moment", _hold, _let_go),
        Step("Fetching the file", _fetch, _clear),
        Step("Looking at what it is", _look),
        Step("Converting it", _convert, _unmake),
        Step("Making it available", _made),
    ),
    on_failed=_not_made,
)
