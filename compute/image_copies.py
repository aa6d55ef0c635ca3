"""Where the files of images lie: all of them in the object store, and on this host those that are in use or were used last.

A file is made on this host, whole and on stable storage. From then on a round copies it into a bucket; when it is there, the host's is a
cache, and goes when room is needed and nothing stands on it. The disks of shelved instances lie there in the same way, and leave the host
as soon as they have arrived. A store that is away holds up nothing but the launch from an image that this host has no file of.

The bucket is one of the box's own (a project of its own holds it), or one of any S3 that the box's configuration names; the files lie below
a prefix that bears the box's name, and nothing else in the bucket is touched.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from cloudbox.common import object_client
from cloudbox.common.errors import CloudError, Conflict, NotFound, Unavailable
from cloudbox.common.object_client import ObjectClient, Part
from cloudbox.common.object_signing import Keys
from compute import host
from compute.backup_store.repository import service_keys
from compute.lifecycle import unfinished
from compute.models import Image, ImageCopy, Instance
from identity import projects

log = logging.getLogger(__name__)

S = Instance.Status
COMPARE_SECONDS = 3600.0
ROUND_SECONDS = 20.0  # A round ends then and the next goes on, so that nothing waits for a large image.
# The store holds a part in memory while it comes; the least that S3 allows is 5 MiB.
PART_BYTES, PARTS_MAX = 5 * 2**20, 10_000
PIECE_BYTES = 2**20
AWAY = "The file of this image lies in the object store, which does not answer, and this host has none of its own. Try again when it does."
DAMAGED = "The file of this image came back from the object store with other bytes than were stored. Bring the image in again."


class Store(Protocol):
    """What is needed of an object store: part of `ObjectClient`."""

    def create_bucket(self, bucket: str) -> None: ...

    def walk(self, bucket: str, *, prefix: str = "") -> Iterator[object_client.Entry]: ...

    def get(self, bucket: str, key: str) -> Any: ...

    def create_upload(self, bucket: str, key: str) -> str: ...

    def put_part(self, bucket: str, key: str, upload: str, number: int, body: bytes) -> Part: ...

    def complete_upload(self, bucket: str, key: str, upload: str, parts: list[Part]) -> str: ...

    def list_uploads(self, bucket: str, *, prefix: str = "") -> Iterator[object_client.Upload]: ...

    def abort_upload(self, bucket: str, key: str, upload: str) -> None: ...

    def delete(self, bucket: str, key: str) -> Any: ...


@dataclass(frozen=True)
class Place:
    """A bucket and the part of it that is ours."""

    name: str  # as the rows of copies have it
    store: Store
    bucket: str
    prefix: str

    def key(self, id: UUID) -> str:
        return f"{self.prefix}{id}.qcow2"


def place() -> Place | None:
    """None: the box has no object store, and its images lie on the host alone."""
    given = settings.IMAGE_STORE
    return _given() if given else _own()


def _own() -> Place | None:
    return Place("", _own_store(settings.STORE_URL), f"{settings.BOX_NAME}-images", f"{settings.BOX_NAME}/") if settings.STORE_URL else None


def _given() -> Place:
    given = settings.IMAGE_STORE
    # Read anew: `up` may have brought others. The worker can; a web process has no use for them.
    told = json.loads(settings.IMAGE_STORE_KEYS_FILE.read_text())
    keys, where = Keys(told["access_key"], told["secret_key"]), object_client.Endpoint(given["url"], given.get("region") or settings.REGION)
    return Place(_given_name(), cast(Store, ObjectClient(where, lambda: keys)), given["bucket"], f"{settings.BOX_NAME}/")


def _given_name() -> str:
    given = settings.IMAGE_STORE
    return f"{given['url']}/{given['bucket']}" if given else ""


def _place_of(row: ImageCopy) -> Place:
    """Where this copy lies: not where the next ones go, when the box was told of another store since."""
    found = _own() if not row.place else _given() if row.place == _given_name() else None
    if found is None:
        raise NotFound(f"The file of this image lies in {row.place or 'the object store'}, which this box is not configured for any more.")
    return found


@cache
def _own_store(url: str) -> Store:
    return cast(Store, ObjectClient(object_client.endpoint(), service_keys(projects.of_the_box().id)))


# --- the files on this host

_lock = threading.Lock()
_leases: Counter[UUID] = Counter()
_fetching: Counter[UUID] = Counter()
_fetched = threading.Condition(_lock)


@contextmanager
def _leased(id: UUID) -> Iterator[None]:
    """Meanwhile its file, if there is one, stays."""
    with _lock:
        _leases[id] += 1
    try:
        yield
    finally:
        with _lock:
            _leases[id] -= 1
            if not _leases[id]:
                del _leases[id]


@contextmanager
def file(id: UUID) -> Iterator[Path]:
    """Its file on this host, fetched from the object store if need be; it stays until the end of the block, and as long as a disk stands
    on it.

    Raises NotFound, or Unavailable while the store that has it does not answer.
    """
    with _leased(id):
        try:
            path = host.images().path(id)
        except NotFound:
            path = _fetch_once(id)
        os.utime(path)  # used now: the last to go
        yield path


def has(id: UUID) -> bool:
    """Is there a file of it, here or in the store?"""
    return id in set(host.images().all()) or ImageCopy.objects.filter(id=id).exists()


def put(id: UUID, source: BinaryIO) -> int:
    """Keep these bytes under the id, in place of others; returns their number. They are on this host then, and on the way to the store."""
    with _leased(id):
        size = host.images().put(id, source)
        # The copy in the store is of other bytes. Afterwards, since one that was on its way until now has been noted by then, or never is.
        ImageCopy.objects.filter(id=id).delete()
        return size


def _fetch_once(id: UUID) -> Path:
    """Fetch it; somebody who wants the same meanwhile waits for that."""
    with _fetched:
        while _fetching[id]:
            _fetched.wait()
        _fetching[id] += 1
    try:
        try:
            return host.images().path(id)
        except NotFound:
            return _fetch(id)
    finally:
        with _fetched:
            del _fetching[id]
            _fetched.notify_all()


def _fetch(id: UUID) -> Path:
    row = ImageCopy.objects.filter(id=id).first()
    if row is None:
        raise NotFound("The file of this image is gone. Choose another image, or bring this one in again.", resource=str(id))
    where = _place_of(row)
    try:
        with where.store.get(where.bucket, where.key(id)) as download:
            host.images().put(id, cast(BinaryIO, _Checked(iter(download), row)))
    except Unavailable as error:
        raise Unavailable(AWAY) from error
    except NotFound as error:
        raise NotFound("The file of this image is gone from the object store.", resource=str(id)) from error
    ImageCopy.objects.filter(id=id).update(is_here=True)
    return host.images().path(id)


class _Checked(RawIOBase):
    """A body as a file that fails at its end if it is not what was stored: then nothing of it is kept."""

    def __init__(self, pieces: Iterator[bytes], row: ImageCopy) -> None:
        self._pieces, self._row, self._digest, self._rest = pieces, row, hashlib.sha256(), b""

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
            self._digest.update(self._rest)
            if not self._rest and self._digest.hexdigest() != self._row.sha256:
                raise Conflict(DAMAGED)
        found, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return found


# --- the round


@dataclass
class _Upload:
    """One file on its way into the store, over several rounds. A crash ends it, and the next life begins it anew."""

    id: UUID
    upload: str
    inode: int
    offset: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    parts: list[Part] = field(default_factory=list)


class _Rounds:
    def __init__(self) -> None:
        self.under_way: _Upload | None = None
        self.is_ready = ""  # the bucket that is there, and in which nothing of a former life is under way
        self.compared = float("-inf")


_rounds = _Rounds()


def kept() -> set[UUID]:
    """The ids whose files something stands for: images, shelved instances, and those on their way to or from the shelf."""
    found = set(Image.objects.exclude(status=Image.Status.DELETED).values_list("id", flat=True))
    shelf = Q(status__in=(S.SHELVING, S.SHELVED, S.UNSHELVING)) | Q(id__in=unfinished())
    return found | set(Instance.objects.filter(shelf).values_list("id", flat=True))


def _settled() -> dict[UUID, bool]:
    """Those whose files are what they will be, and whether they are images."""
    images = Image.objects.filter(status__in=(Image.Status.READY, Image.Status.DEACTIVATED)).values_list("id", flat=True)
    shelved = Instance.objects.filter(status=S.SHELVED).values_list("id", flat=True)
    return {**dict.fromkeys(shelved, False), **dict.fromkeys(images, True)}


def tend(*, seconds: float = ROUND_SECONDS) -> None:
    """Copy what has no copy yet, forget the copies that nothing stands for, and make room on the host. As far as it comes in that time."""
    where = place()
    if where is None:
        return
    until = time.monotonic() + seconds
    here = set(host.images().all())
    _note_what_is_here(here)
    wanted = kept()
    settled = _settled()
    try:
        for row in ImageCopy.objects.exclude(id__in=wanted):
            _remove(row)
        copied = set(ImageCopy.objects.filter(place=where.name).values_list("id", flat=True))
        _move_house(where, here)
        todo = [id for id in settled if id in here and id not in copied]
        if (todo or copied) and _rounds.is_ready != where.bucket:
            _make_ready(where)
        if copied and time.monotonic() - _rounds.compared > COMPARE_SECONDS:
            _compare(where, wanted)
        for id in sorted(todo, key=lambda id: _rounds.under_way is None or _rounds.under_way.id != id):
            if not _copy(where, id, until):
                break
    finally:
        make_room(settled)


def _remove(row: ImageCopy) -> None:
    try:
        old = _place_of(row)
    except NotFound as error:
        log.warning("the copy of %s stays where it is: %s", row.id, error)
    else:
        old.store.delete(old.bucket, old.key(row.id))
    row.delete()


def _move_house(where: Place, here: set[UUID]) -> None:
    """Copies that lie where the box was told to keep them before go to where they belong now, by way of this host: one that it has not
    got is fetched in each round, so that they do not all come at once."""
    fetched = 0
    for row in ImageCopy.objects.exclude(place=where.name):
        if row.id not in here:
            if fetched:
                continue
            fetched += 1
            with file(row.id):
                log.info("the file of %s came back from %s", row.id, row.place or "the box's own store")
        _remove(row)


def _compare(where: Place, wanted: set[UUID]) -> None:
    """What lies in the bucket against the tables: an object that nothing stands for goes, a copy that is not there is made again."""
    there: dict[UUID, int] = {}
    for entry in where.store.walk(where.bucket, prefix=where.prefix):
        text = entry.key.removeprefix(where.prefix).removesuffix(".qcow2")
        if len(text) == 36 and entry.key == f"{where.prefix}{text}.qcow2":
            there[UUID(text)] = entry.size
    for id in there.keys() - wanted:
        log.warning("the object of %s stands for no image; removing it", id)
        where.store.delete(where.bucket, where.key(id))
    for row in ImageCopy.objects.filter(id__in=wanted, place=where.name):
        if there.get(row.id) != row.size_bytes:
            if row.is_here:
                log.error("the copy of %s is gone from the object store; it is made again", row.id)
                row.delete()
            else:
                log.error("the file of %s is gone from the object store, and this host has none", row.id)
    _rounds.compared = time.monotonic()


def _note_what_is_here(here: set[UUID]) -> None:
    for row in ImageCopy.objects.all():
        if row.is_here != (row.id in here):
            ImageCopy.objects.filter(id=row.id).update(is_here=row.id in here)


def _make_ready(where: Place) -> None:
    """The bucket, and the end of uploads that a crash left: nobody else writes below our prefix."""
    if not settings.IMAGE_STORE:
        where.store.create_bucket(where.bucket)
    for left in where.store.list_uploads(where.bucket, prefix=where.prefix):
        where.store.abort_upload(where.bucket, left.key, left.id)
    _rounds.is_ready = where.bucket


def _copy(where: Place, id: UUID, until: float) -> bool:
    """Go on with the copy of one; False when the time is up."""
    key = where.key(id)
    with _leased(id):
        try:
            stream = host.images().path(id).open("rb")
        except (NotFound, FileNotFoundError):
            return True  # deleted meanwhile
        with stream:
            facts = os.fstat(stream.fileno())
            moving = _rounds.under_way
            if moving is None or moving.id != id or moving.inode != facts.st_ino:
                _give_up(where)
                moving = _rounds.under_way = _Upload(id, where.store.create_upload(where.bucket, key), facts.st_ino)
            part_bytes = max(PART_BYTES, -(-facts.st_size // PARTS_MAX))
            try:
                while moving.offset < facts.st_size or not moving.parts:
                    if time.monotonic() >= until:
                        return False
                    stream.seek(moving.offset)
                    body = stream.read(part_bytes)
                    moving.digest.update(body)
                    moving.parts.append(where.store.put_part(where.bucket, key, moving.upload, len(moving.parts) + 1, body))
                    moving.offset += len(body)
                where.store.complete_upload(where.bucket, key, moving.upload, moving.parts)
            except CloudError:
                _rounds.under_way = None  # its digest may be ahead of its parts
                _rounds.is_ready = ""
                raise
            _rounds.under_way = None
        with _lock:
            # Other bytes may have come under this id meanwhile: then this was a copy of the old ones, and the next round makes another.
            if host.images().path(id).stat().st_ino == facts.st_ino:
                row = {"place": where.name, "size_bytes": moving.offset, "sha256": moving.digest.hexdigest(), "is_here": True}
                ImageCopy.objects.update_or_create(id=id, defaults=row)
                log.info("the file of %s, %s bytes, is in the object store", id, moving.offset)
    return True


def _give_up(where: Place) -> None:
    left, _rounds.under_way = _rounds.under_way, None
    if left is not None:
        where.store.abort_upload(where.bucket, where.key(left.id), left.upload)


def make_room(settled: dict[UUID, bool]) -> list[UUID]:
    """Delete files of this host that lie in the store and that nothing stands on: those of shelved instances, and of images the ones that
    were not used for longest, until the rest is no more than the cache may have. Returns which went."""
    images, gone = host.images(), []
    with _lock:
        in_use = host.volumes().bases() | set(_leases)
        copied = set(ImageCopy.objects.values_list("id", flat=True))
        found = [(path.stat(), id) for id in images.all() if (path := images.path(id))]
        total = sum(facts.st_size for facts, _ in found)
        for facts, id in sorted(found, key=lambda pair: pair[0].st_mtime):
            may_go = id in copied and id in settled and id not in in_use
            if may_go and (total > settings.IMAGE_CACHE_BYTES or not settled[id]):
                images.delete(id)
                ImageCopy.objects.filter(id=id).update(is_here=False)
                total -= facts.st_size
                gone.append(id)
    return gone


@dataclass(frozen=True)
class Census:
    """For administrators: files in the store, on this host, and how many wait for their copy."""

    stored: int
    stored_bytes: int
    cached: int
    cached_bytes: int
    waiting: int
    where: str  # the bucket; empty: the box has no store


def census() -> Census:
    """From the tables only."""
    rows = list(ImageCopy.objects.values_list("size_bytes", "is_here"))
    here = [size for size, is_here in rows if is_here]
    waiting = len(set(_settled()) - set(ImageCopy.objects.values_list("id", flat=True)))
    where = _given_name() or (f"{settings.BOX_NAME}-images" if settings.STORE_URL else "")
    return Census(len(rows), sum(size for size, _ in rows), len(here), sum(here), waiting, where)


def reset() -> None:
    """As if the worker had just started: for tests."""
    global _rounds
    _rounds = _Rounds()
    _own_store.cache_clear()
