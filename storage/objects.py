"""Objects: what both dialects do with them. Verbs of the data plane: they are async and touch no table.

Who may do it has been decided before (access.py); these decide whether it makes sense.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from cloudbox.common import clock
from cloudbox.common.errors import NotFound
from storage import encryption, expirations, locks, notifications, outbox
from storage.directory import BucketInfo
from storage.encryption import CustomerKey, Wish
from storage.engine import SMALL_MAX_BYTES, Condition, Mode, Version
from storage.errors import EntityTooLarge, MarkerRead, NoSuchBucket, NoSuchObject, NoSuchVersion, NothingThere, RangeUnsatisfiable
from storage.notifications import Cause
from storage.plane import Plane
from storage.properties import Properties, unpack

OBJECT_MAX_BYTES = 5 << 40
PUT_MAX_BYTES = 5 << 30
PIECE_BYTES = 1 << 20
NULL = "null"


class Source(Protocol):
    """Where the bytes of a new object come from: a request's body (storage.server.Body), a decoder over one, or another object."""

    @property
    def length(self) -> int | None: ...
    async def read(self, limit: int = PIECE_BYTES) -> bytes: ...
    async def read_all(self, limit: int) -> bytes: ...


class Digests(Protocol):
    """What is computed over the bytes on their way in; "MD5" is always among them."""

    @property
    def size(self) -> int: ...
    def update(self, data: bytes | memoryview) -> None: ...
    def hex(self, name: str) -> str: ...


# Called when all bytes have come, before anything counts: raises if they are not those that were promised, and may add to the
# properties what is known only now (a checksum).
Finish = Callable[[], None]
THREAD_FROM_BYTES = 128 << 10  # Less is hashed and encrypted in the event loop.


@dataclass(slots=True)
class Write:
    """All about a new object but its bytes."""

    properties: Properties = field(default_factory=Properties)
    wish: Wish = encryption.PLAIN
    finish: Finish | None = None
    condition: Condition | None = None
    size_max: int = PUT_MAX_BYTES
    mode: Mode | None = None  # Instead of the bucket's.
    key_project: str = ""  # Whose named keys count; the bucket's project if empty.
    cause: Cause = notifications.PUT  # What its event tells (notifications.py).


async def put(plane: Plane, bucket: BucketInfo, name: bytes, source: Source, digests: Digests, write: Write) -> Version:
    """Keep an object. On return it is durable and visible."""
    version = await _put(plane, bucket, name, source, digests, write)
    if write.properties.expires_ns and expirations.has_ended(version):
        # It took longer to come than it was meant to stay: its line may have been struck meanwhile.
        await expirations.note(plane, bucket.id, name, write.properties.expires_ns)
    return version


async def _put(plane: Plane, bucket: BucketInfo, name: bytes, source: Source, digests: Digests, write: Write) -> Version:
    length = source.length
    if length is not None and length > write.size_max:
        raise EntityTooLarge("Your proposed upload exceeds the maximum allowed size.")
    await plane.admit(bucket, length or 0)
    if length is None:
        source = await _gathered(source)
        length = source.length
    key, nonce = b"", b""
    if write.wish:
        key, kept = await encryption.new_key(plane.directory, write.key_project or bucket.owner, write.wish)
        nonce = encryption.new_nonce()
        write.properties.encryption = kept | {"n": nonce.hex()}
    mode = write.mode or bucket.mode
    if write.properties.expires_ns:
        await expirations.note(plane, bucket.id, name, write.properties.expires_ns)
    if length is not None and length <= SMALL_MAX_BYTES:
        body = await take_small(plane, source, digests)
        if write.finish is not None:
            write.finish()
        if key:
            body = encryption.stream(key, nonce).update(body)

        def keep() -> Awaitable[Version]:
            return plane.store.put(
                bucket.id,
                name,
                body,
                etag=digests.hex("MD5"),
                meta=write.properties.pack(),
                mode=mode,
                condition=write.condition,
                storage_class=bucket.storage_class,
            )

        with bucket_there():
            return await outbox.made(plane, bucket, write.cause, name, keep)
    writer = await plane.store.begin(
        bucket.id,
        name,
        size=length,
        mode=mode,
        condition=write.condition,
        storage_class=bucket.storage_class,
        hashers=() if key else (digests,),
    )
    async with writer:
        await pour(plane, source, writer, digests, key, nonce, write.size_max)
        if write.finish is not None:
            write.finish()

        def finish() -> Awaitable[Version]:
            return writer.finish(etag=digests.hex("MD5"), meta=write.properties.pack())

        with bucket_there():
            return await outbox.made(plane, bucket, write.cause, name, finish)


@contextmanager
def bucket_there() -> Iterator[None]:
    """Around a write: all that the engine can miss for it is the bucket, which somebody deleted while the bytes came."""
    try:
        yield
    except NotFound as error:
        if type(error) is not NotFound:  # A condition says what it missed.
            raise
        raise NoSuchBucket("The specified bucket does not exist") from error


class _Gathered:
    """The beginning of a source of unknown length, and the rest of it."""

    def __init__(self, head: list[bytes], rest: Source | None) -> None:
        self.length = sum(map(len, head)) if rest is None else None
        self._head, self._rest = head, rest

    async def read(self, limit: int = PIECE_BYTES) -> bytes:
        if self._head:
            return self._head.pop(0)
        return b"" if self._rest is None else await self._rest.read(limit)

    async def read_all(self, limit: int) -> bytes:
        return b"".join(self._head)


async def _gathered(source: Source) -> _Gathered:
    """Read until it is known whether the body is small."""
    head: list[bytes] = []
    size = 0
    while piece := await source.read(PIECE_BYTES):
        head.append(piece)
        size += len(piece)
        if size > SMALL_MAX_BYTES:
            return _Gathered(head, source)
    return _Gathered(head, None)


async def take_small(plane: Plane, source: Source, digests: Digests) -> bytes:
    """A whole small body, hashed."""
    body = await source.read_all(SMALL_MAX_BYTES)
    if len(body) < THREAD_FROM_BYTES:
        digests.update(body)
    else:
        await plane.run(digests.update, body)
    return body


async def pour(plane: Plane, source: Source, writer: Any, digests: Digests, key: bytes, nonce: bytes, size_max: int) -> None:
    """All bytes of a source into a writer. Plain ones go without a copy where the source can do that, and the writer hashes them."""
    if key:
        context = encryption.stream(key, nonce)

        def work(piece: bytes) -> bytes:
            digests.update(piece)
            return context.update(piece)

        while piece := await source.read(PIECE_BYTES):
            if digests.size + len(piece) > size_max:
                raise EntityTooLarge("Your proposed upload exceeds the maximum allowed size.")
            await writer.write(await plane.run(work, piece))
        return
    read_into = getattr(source, "read_into", None)
    if read_into is not None:
        while True:
            view = await writer.buffer()
            count = await read_into(view)
            view.release()
            if not count:
                break
            await writer.advance(count)
            if writer.size > size_max:
                raise EntityTooLarge("Your proposed upload exceeds the maximum allowed size.")
    else:
        while piece := await source.read(PIECE_BYTES):
            await writer.write(piece)
            if writer.size > size_max:
                raise EntityTooLarge("Your proposed upload exceeds the maximum allowed size.")
    await writer.digest_ready()


# --- finding


def find(plane: Plane, bucket: BucketInfo, name: bytes, version_id: str | None = None) -> Version:
    """The version asked for, or the latest. Raises NoSuchObject (also once its time is over), NoSuchVersion, MarkerRead."""
    version = plane.store.get(bucket.id, name, version_id)
    if version is None:
        if version_id is not None:
            raise NoSuchVersion("The specified version does not exist.")
        raise NoSuchObject()
    if version.delete_marker:
        if version_id is not None:
            raise MarkerRead(modified_ns=version.modified_ns)
        raise NoSuchObject(marker=version.id)
    # Old versions do not end: the time was that of the object.
    if version_id is None and expirations.has_ended(version):
        raise NoSuchObject()
    return version


# --- reading


async def open_key(plane: Plane, properties: Properties, customer: CustomerKey | None) -> bytes:
    """The data key of an object; empty if it is not encrypted."""
    if not properties.encryption:
        encryption.check_unneeded({}, customer)
        return b""
    return await encryption.open_key(plane.directory, properties.encryption, customer)


Content = bytes | AsyncIterator[bytes]


async def content(plane: Plane, version: Version, properties: Properties, key: bytes, start: int, length: int) -> Content:
    """Bytes of a version: at once if it is little, else as a stream. What leaves has been looked at in memory: by sendfile it would be
    read once more from a drive that may answer otherwise."""
    if not length:
        return b""
    if not key:
        if version.location is not None or length < THREAD_FROM_BYTES:
            return await plane.store.read(version, start, length)
        return plane.store.stream(version, start, length)
    if version.manifest:
        return _decrypted_parts(plane, version, key, start, length)
    nonce = bytes.fromhex(properties.encryption["n"])
    if length < THREAD_FROM_BYTES:
        return encryption.stream(key, nonce, start).update(await plane.store.read(version, start, length))
    return encryption.through(encryption.stream(key, nonce, start), plane.store.stream(version, start, length), plane.run)


async def _decrypted_parts(plane: Plane, version: Version, key: bytes, start: int, length: int) -> AsyncIterator[bytes]:
    """Each part has a nonce of its own, and its key stream begins anew."""
    at, end = 0, start + length
    for part in await plane.store.parts(version):
        low, high = max(start, at), min(end, at + part.size)
        if low < high:
            context = encryption.stream(key, part_facts(part.facts).nonce, low - at)
            async for piece in encryption.through(context, plane.store.stream(version, low, high - low), plane.run):
                yield piece
        at += part.size
        if at >= end:
            return


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What is kept with a part: the nonce it was encrypted with, its checksum."""

    nonce: bytes = b""
    checksum: bytes = b""

    def pack(self) -> bytes:
        return bytes([len(self.nonce)]) + self.nonce + self.checksum if self.nonce or self.checksum else b""


def part_facts(facts: bytes) -> PartFacts:
    if not facts:
        return PartFacts()
    return PartFacts(facts[1 : 1 + facts[0]], facts[1 + facts[0] :])


class VersionSource:
    """Another object's bytes as the source of a new one."""

    def __init__(
        self, plane: Plane, version: Version, properties: Properties, key: bytes, start: int = 0, length: int | None = None
    ) -> None:
        self.length: int | None = version.size - start if length is None else length
        self._open = (plane, version, properties, key, start)
        self._pieces: AsyncIterator[bytes] | None = None

    async def _begin(self) -> AsyncIterator[bytes]:
        plane, version, properties, key, start = self._open
        assert self.length is not None
        if not key:
            return plane.store.stream(version, start, self.length)
        got = await content(plane, version, properties, key, start, self.length)
        return got if not isinstance(got, bytes) else _once(got)  # type: ignore[return-value]

    async def read(self, limit: int = PIECE_BYTES) -> bytes:
        if self._pieces is None:
            self._pieces = await self._begin()
        return await anext(self._pieces, b"")

    async def read_all(self, limit: int) -> bytes:
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


@dataclass(frozen=True, slots=True)
class Range:
    start: int
    length: int


def ranges(header: str, size: int) -> list[Range] | None:
    """The byte ranges that a Range header asks for; None if the header is to be passed over (RFC 9110, section 14.2).

    Raises RangeUnsatisfiable if none of them lies in the object.
    """
    unit, equals, listed = header.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    found, seen = [], False
    for item in listed.split(","):
        first, dash, last = item.strip().partition("-")
        if (
            not dash
            or not (first or last)
            or not (first + last).isascii()
            or (first and not first.isdigit())
            or (last and not last.isdigit())
        ):
            return None
        if first and last and int(last) < int(first):
            return None
        seen = True
        if not first:
            count = min(int(last), size)
            if count:
                found.append(Range(size - count, count))
        elif int(first) < size:
            end = min(int(last), size - 1) if last else size - 1
            found.append(Range(int(first), end - int(first) + 1))
    if not seen:
        return None
    if not found:
        raise RangeUnsatisfiable(size)
    return found


# --- deleting


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion did."""

    version_id: str = ""  # Of what was removed, or of the marker that was made.
    marker: bool = False  # A marker was made, or removed.


async def delete(
    plane: Plane,
    bucket: BucketInfo,
    name: bytes,
    version_id: str | None = None,
    *,
    bypass: bool = False,
    condition: Condition | None = None,
    cause: Cause = notifications.REMOVED,
) -> Deleted:
    """Delete an object, or one version of it for good. What is not there counts as deleted. Raises Locked."""
    try:
        return await _delete(plane, bucket, name, version_id, bypass, condition, cause)
    except NothingThere:
        return Deleted()


async def _delete(
    plane: Plane, bucket: BucketInfo, name: bytes, version_id: str | None, bypass: bool, condition: Condition | None, cause: Cause
) -> Deleted:
    store = plane.store
    if version_id is not None:
        check = _unlocked(bypass) if bucket.object_lock else None
        gone = await outbox.removed(
            plane, bucket, cause, name, version_id, lambda: store.delete(bucket.id, name, version_id, condition=_both(check, condition))
        )
        return Deleted(version_id, gone is not None and gone.delete_marker)
    if bucket.versioning == "off":
        await outbox.removed(plane, bucket, cause, name, NULL, lambda: store.delete(bucket.id, name, NULL, condition=condition))
        return Deleted()
    marker = await hide(plane, bucket, name, condition=condition, cause=cause)
    return Deleted(marker.id, True)


async def hide(
    plane: Plane,
    bucket: BucketInfo,
    name: bytes,
    *,
    meta: bytes = b"",
    condition: Condition | None = None,
    mode: Mode | None = None,
    cause: Cause = notifications.REMOVED,
) -> Version:
    """Make a delete marker."""
    cause = replace(cause, event=f"{cause.event}:DeleteMarkerCreated")

    def mark() -> Awaitable[Version]:
        return plane.store.add_delete_marker(bucket.id, name, meta=meta, mode=mode or bucket.mode, condition=condition)

    return await outbox.made(plane, bucket, cause, name, mark)


def _unlocked(bypass: bool) -> Condition:
    def check(seen: Version | None) -> None:
        if seen is not None and not seen.delete_marker:
            locks.check_deletable(unpack(seen.meta), now_ns=locks.ns_of(clock.now()), bypass=bypass)

    return check


def _both(first: Condition | None, second: Condition | None) -> Condition | None:
    if first is None or second is None:
        return first or second

    def check(seen: Version | None) -> None:
        first(seen)
        second(seen)

    return check


# --- changing what is kept beside the bytes


async def change(
    plane: Plane, version: Version, edit: Callable[[Properties], None], *, told: tuple[BucketInfo, Cause] | None = None
) -> Version:
    """Edit the properties of a version as they are at the moment of the change; `edit` may be called again if another was quicker.

    `told`: the bucket, and what the event says; by default a change causes none.
    """
    while True:
        properties = unpack(version.meta)
        before = properties.expires_ns
        edit(properties)
        if properties.expires_ns and properties.expires_ns != before:
            await expirations.note(plane, version.bucket, version.name, properties.expires_ns)
        seen = version

        def same(current: Version | None, seen: Version = seen) -> None:
            if current is None or current.changed != seen.changed:
                raise _Changed

        def keep(version: Version = version, meta: bytes = properties.pack(), same: Condition = same) -> Awaitable[Version]:
            return plane.store.update_meta(version, meta, condition=same)

        try:
            return await (outbox.made(plane, told[0], told[1], version.name, keep) if told else keep())
        except _Changed:
            fresh = plane.store.get(version.bucket, version.name, version.id)
            if fresh is None:
                raise NoSuchVersion("The version has been deleted meanwhile.") from None
            version = fresh


class _Changed(Exception):
    """Somebody else was quicker."""
