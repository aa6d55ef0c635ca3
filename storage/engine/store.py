"""The store: what the dialects call. See the package's docstring for how it works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from storage.engine.types import (
    NULL,
    STORAGE_CLASSES,
    Condition,
    DriveSpec,
    FileView,
    Listing,
    Mode,
    Part,
    StorageClass,
    Upload,
    Usage,
    Version,
)

DEFAULT_CLASS = STORAGE_CLASSES["replicated-3"]


class Writer:
    """A large body on its way in. Feed it in order, then `finish` it once, or `abort` it; it is also a context that aborts.

    Either `write(chunk)`, or without a copy: `view = await buffer()`, receive into it, `await advance(n)`.
    `hashers` given to the store's method see every byte, in a thread of their own, beside the writing.
    """

    size: int  # Bytes so far.

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        raise NotImplementedError

    async def buffer(self) -> memoryview:
        """Free room in a page-aligned buffer, at least one byte, at most 4 MiB; valid until `advance`."""
        raise NotImplementedError

    async def advance(self, count: int) -> None:
        raise NotImplementedError

    async def finish(self, *, etag: str, meta: bytes = b"", facts: bytes = b"", modified_ns: int | None = None) -> Any:
        """Make it durable and visible. Returns the Version (or the Part, of `Store.begin_part`). After `hashers` have seen all."""
        raise NotImplementedError

    async def digest_ready(self) -> None:
        """Wait until `hashers` have seen every byte that was written; call it before reading their digests."""
        raise NotImplementedError

    async def abort(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Writer:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.abort()  # Without effect after `finish`.


class Store:
    """One process's door to the drives and to the index it shares with the other workers."""

    # --- life

    @classmethod
    async def open(cls, drives: Sequence[DriveSpec], *, index: Path, worker: int = 0) -> Store:
        """Recover what a crash left of this worker's log, and be ready.

        Raises Unavailable if too few drives are there to know the newest state of every object, Conflict if `worker` is taken.
        """
        raise NotImplementedError

    async def drain(self) -> None:
        """Refuse new writes (Unavailable) and wait for those under way."""
        raise NotImplementedError

    async def close(self) -> None:
        """Drain, sync the index, leave a mark that all is well."""
        raise NotImplementedError

    # --- reading

    def get(self, bucket: UUID, name: bytes, version: str | None = None) -> Version | None:
        """The latest version (which may be a delete marker), or the one of that id (`NULL` for the null version)."""
        raise NotImplementedError

    async def read(self, version: Version, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of a body, verified, at most 64 MiB at once. Small ones in the page cache come without waiting.

        Raises Unavailable if no good copy could be read, NotFound if the version was deleted meanwhile.
        """
        raise NotImplementedError

    def stream(self, version: Version, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The same in pieces of up to 1 MiB, reading one ahead."""
        raise NotImplementedError

    def view(self, version: Version, start: int = 0, length: int | None = None) -> list[FileView] | None:
        """For sendfile: where the bytes lie, if they were verified not long ago, else None (use `stream`)."""
        raise NotImplementedError

    async def parts(self, version: Version) -> list[Part]:
        """The parts that a version was completed from; empty if it was not."""
        raise NotImplementedError

    def list(self, bucket: UUID, *, prefix: bytes = b"", delimiter: bytes = b"", after: bytes = b"", limit: int = 1000) -> Listing:
        """Objects (latest versions that are no delete markers) whose name is greater than `after`.

        With a delimiter, names that contain it after the prefix are rolled up into common prefixes. If `after` is itself such a
        common prefix, the names under it are passed over.
        """
        raise NotImplementedError

    def list_versions(
        self, bucket: UUID, *, prefix: bytes = b"", delimiter: bytes = b"", after: bytes = b"", after_version: str = "", limit: int = 1000
    ) -> Listing:
        """All versions and delete markers; after the version `after_version` of the name `after`, or after all of that name."""
        raise NotImplementedError

    def usage(self, bucket: UUID) -> Usage:
        raise NotImplementedError

    # --- writing

    async def put(
        self,
        bucket: UUID,
        name: bytes,
        body: bytes | bytearray | memoryview,
        *,
        etag: str,
        meta: bytes = b"",
        mode: Mode = Mode.REPLACE,
        condition: Condition | None = None,
        modified_ns: int | None = None,
        storage_class: StorageClass = DEFAULT_CLASS,
    ) -> Version:
        """Keep a body of at most SMALL_MAX_BYTES. On return a quorum of drives has it on stable storage and all workers see it.

        Raises InsufficientCapacity if the drives are full, Unavailable if there was no quorum (the write may still turn out to have
        happened), TooLarge, Invalid (name), NotFound (the bucket was dropped), and what `condition` raises.
        """
        raise NotImplementedError

    async def begin(
        self,
        bucket: UUID,
        name: bytes,
        *,
        size: int | None = None,
        mode: Mode = Mode.REPLACE,
        condition: Condition | None = None,
        storage_class: StorageClass = DEFAULT_CLASS,
        hashers: Iterable[Any] = (),
    ) -> Writer:
        """Begin a body of any size; `size`, if known, reserves room. The condition is evaluated at `finish`."""
        raise NotImplementedError

    async def update_meta(self, version: Version, meta: bytes, *, etag: str | None = None, condition: Condition | None = None) -> Version:
        """Replace the meta of an existing version (tags, ACL, retention); its id and `modified_ns` stay."""
        raise NotImplementedError

    async def delete(self, bucket: UUID, name: bytes, version: str = NULL, *, condition: Condition | None = None) -> Version | None:
        """Remove one version for good; returns it, or None if there was none. The version before it becomes the latest."""
        raise NotImplementedError

    async def add_delete_marker(
        self,
        bucket: UUID,
        name: bytes,
        *,
        meta: bytes = b"",
        mode: Mode = Mode.ADD,
        condition: Condition | None = None,
        modified_ns: int | None = None,
    ) -> Version:
        """Hide the object. With Mode.REPLACE (suspended) the marker takes the place of the null version."""
        raise NotImplementedError

    async def drop_bucket(self, bucket: UUID) -> None:
        """End a bucket. Raises Conflict if it holds any version (open uploads end with it). Its id is never valid again."""
        raise NotImplementedError

    # --- multipart uploads

    async def create_upload(
        self, bucket: UUID, name: bytes, *, meta: bytes = b"", started_ns: int | None = None, storage_class: StorageClass = DEFAULT_CLASS
    ) -> Upload:
        raise NotImplementedError

    def get_upload(self, bucket: UUID, name: bytes, upload: UUID) -> Upload | None:
        raise NotImplementedError

    def list_uploads(
        self, bucket: UUID, *, prefix: bytes = b"", after: bytes = b"", after_upload: UUID | None = None, limit: int = 1000
    ) -> list[Upload]:
        """By name, then by start; after the upload `after_upload` of the name `after`, or after all of that name."""
        raise NotImplementedError

    async def put_part(
        self,
        upload: Upload,
        number: int,
        body: bytes | bytearray | memoryview,
        *,
        etag: str,
        facts: bytes = b"",
        modified_ns: int | None = None,
    ) -> Part:
        """A part (1-10,000) of at most SMALL_MAX_BYTES; replaces the part of that number. NotFound if the upload is gone."""
        raise NotImplementedError

    async def begin_part(self, upload: Upload, number: int, *, size: int | None = None, hashers: Iterable[Any] = ()) -> Writer:
        raise NotImplementedError

    def list_parts(self, upload: Upload, *, after: int = 0, limit: int = 1000) -> list[Part]:
        raise NotImplementedError

    async def complete(
        self,
        upload: Upload,
        parts: Sequence[Part],
        *,
        etag: str,
        meta: bytes = b"",
        mode: Mode = Mode.REPLACE,
        condition: Condition | None = None,
        modified_ns: int | None = None,
    ) -> Version:
        """Make an object of these parts (as `list_parts` gave them), in this order, without copying a byte; ends the upload.

        Raises Conflict if one of the parts has been replaced since, NotFound if the upload is gone.
        """
        raise NotImplementedError

    async def abort_upload(self, upload: Upload) -> bool:
        """End an upload and give its room back; False if there was none."""
        raise NotImplementedError
