"""Multipart uploads: begun, filled with parts, completed without copying a byte, or aborted. Verbs of the data plane."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from cloudbox.common.errors import NotFound
from storage import encryption, outbox
from storage.directory import BucketInfo
from storage.encryption import CustomerKey, Wish
from storage.engine import SMALL_MAX_BYTES, Condition, Part, Upload, Version
from storage.errors import EntityTooLarge, NoSuchUpload, PartInvalid, PartOrderInvalid, PartTooSmall
from storage.notifications import Cause
from storage.objects import PUT_MAX_BYTES, Digests, Finish, PartFacts, Source, part_facts, pour, take_small
from storage.plane import Plane
from storage.properties import Properties, unpack

PARTS_MAX = 10_000
COMPLETED = Cause("ObjectCreated:CompleteMultipartUpload")
PART_MIN_BYTES = 5 << 20


async def create(
    plane: Plane, bucket: BucketInfo, name: bytes, properties: Properties, wish: Wish = encryption.PLAIN, *, key_project: str = ""
) -> Upload:
    """Begin one. All properties of the object to be are said now."""
    await plane.admit(bucket, 0)
    if wish:
        _, properties.encryption = await encryption.new_key(plane.directory, key_project or bucket.owner, wish)
    return await plane.store.create_upload(bucket.id, name, meta=properties.pack(), storage_class=bucket.storage_class)


def find(plane: Plane, bucket: BucketInfo, name: bytes, upload_id: str) -> Upload:
    """Raises NoSuchUpload."""
    try:
        id = UUID(hex=upload_id) if len(upload_id) == 32 else None
    except ValueError:
        id = None
    upload = plane.store.get_upload(bucket.id, name, id) if id is not None else None
    if upload is None:
        raise NoSuchUpload(
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
        )
    return upload


async def open_key(plane: Plane, properties: Properties, customer: CustomerKey | None) -> bytes:
    """The data key that all parts are encrypted with; empty if they are not."""
    if not properties.encryption:
        encryption.check_unneeded({}, customer)
        return b""
    return await encryption.open_key(plane.directory, properties.encryption, customer)


async def put_part(
    plane: Plane,
    bucket: BucketInfo,
    upload: Upload,
    number: int,
    source: Source,
    digests: Digests,
    *,
    key: bytes = b"",
    finish: Finish | None = None,
    checksum: Callable[[], bytes] | None = None,
) -> Part:
    """Keep a part; it takes the place of an earlier one of that number. `checksum` is asked after `finish`."""
    length = source.length
    if length is not None and length > PUT_MAX_BYTES:
        raise EntityTooLarge("Your proposed upload exceeds the maximum allowed size.")
    await plane.admit(bucket, length or 0)
    nonce = encryption.new_nonce() if key else b""

    def done() -> bytes:
        if finish is not None:
            finish()
        return PartFacts(nonce, checksum() if checksum is not None else b"").pack()

    if length is not None and length <= SMALL_MAX_BYTES:
        body = await take_small(plane, source, digests)
        facts = done()
        if key:
            body = encryption.stream(key, nonce).update(body)
        with _upload_there():
            return await plane.store.put_part(upload, number, body, etag=digests.hex("MD5"), facts=facts)
    writer = await plane.store.begin_part(upload, number, size=length, hashers=() if key else (digests,))
    async with writer:
        await pour(plane, source, writer, digests, key, nonce, PUT_MAX_BYTES)
        with _upload_there():
            part: Part = await writer.finish(facts=done(), etag=digests.hex("MD5"))
    return part


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part as the client lists it for completion."""

    number: int
    etag: str
    checksum: str = ""  # In base64, if the client repeats it.


async def complete(
    plane: Plane,
    bucket: BucketInfo,
    upload: Upload,
    wanted: Sequence[Wanted],
    *,
    condition: Condition | None = None,
    seal: Callable[[Sequence[Part], Properties], None] | None = None,
    edit: Callable[[Properties], None] | None = None,
    cause: Cause = COMPLETED,
) -> Version:
    """Make the object. `seal` sees the parts and may add a checksum to the properties; it raises if the client promised another."""
    if not wanted:
        raise PartInvalid("You must specify at least one part")
    there = {part.number: part for part in plane.store.list_parts(upload, limit=PARTS_MAX)}
    parts: list[Part] = []
    before = 0
    for want in wanted:
        if want.number <= before:
            raise PartOrderInvalid("The list of parts was not in ascending order. Parts must be ordered by part number.")
        before = want.number
        part = there.get(want.number)
        if part is None or part.etag != want.etag.strip('"'):
            raise PartInvalid(
                "One or more of the specified parts could not be found. The part may not have been uploaded, "
                "or the specified entity tag may not match the part's entity tag."
            )
        parts.append(part)
    if any(part.size < PART_MIN_BYTES for part in parts[:-1]):
        raise PartTooSmall("Your proposed upload is smaller than the minimum allowed size")
    properties = unpack(upload.meta)
    properties.parts = len(parts)
    if seal is not None:
        seal(parts, properties)
    if edit is not None:
        edit(properties)

    def keep() -> Awaitable[Version]:
        return plane.store.complete(upload, parts, etag=etag_of(parts), meta=properties.pack(), mode=bucket.mode, condition=condition)

    with _upload_there():
        return await outbox.made(plane, bucket, cause, upload.name, keep)


@contextmanager
def _upload_there() -> Iterator[None]:
    """Around a write: all that the engine can miss for it is the upload, which was completed or aborted while the bytes came."""
    try:
        yield
    except NotFound as error:
        if type(error) is not NotFound:  # A condition says what it missed.
            raise
        raise NoSuchUpload("The specified upload does not exist. It may have been completed or aborted.") from error


def etag_of(parts: Sequence[Part]) -> str:
    """The MD5 over the parts' MD5s, and how many they are."""
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"


async def abort(plane: Plane, upload: Upload) -> None:
    """End it and free its parts. Raises NoSuchUpload if somebody else did."""
    if not await plane.store.abort_upload(upload):
        raise NoSuchUpload("The upload has been completed or aborted meanwhile.")


def checksums_of(parts: Sequence[Part]) -> list[tuple[bytes, int]]:
    """(checksum, size) of each part."""
    return [(part_facts(part.facts).checksum, part.size) for part in parts]
