"""Everything that an index knows, page by page, so that a server beside it is not held up by one long look."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from storage.engine import Version, listing
from storage.engine.index import BUCKET, DROPPED, VERSIONS, Blob, Index

PAGE = 1000


def buckets(index: Index) -> list[UUID]:
    """Those that have not ended, in the order of their ids."""
    with index.env.begin() as txn:
        rows = [(key, BUCKET.unpack(row)) for key, row in txn.cursor(db=index.buckets)]
    return [UUID(bytes=key) for key, counts in rows if not counts[DROPPED] or counts[VERSIONS]]


def versions(index: Index, bucket: UUID, *, prefix: bytes = b"") -> Iterator[Version]:
    """All versions and delete markers: by name, newest first."""
    after, after_version = b"", ""
    while True:
        page = listing.versions(index, bucket, prefix=prefix, delimiter=b"", after=after, after_version=after_version, limit=PAGE)
        yield from page.versions
        if page.next is None:
            return
        after, after_version = page.next


def blobs(index: Index) -> Iterator[tuple[bytes, Blob]]:
    """All of them, in the order of their ids."""
    after: bytes | None = None
    while True:
        found: list[tuple[bytes, Blob]] = []
        with index.env.begin() as txn:
            cursor = txn.cursor(db=index.blobs)
            ok = cursor.set_range(b"\0" if after is None else after + b"\0")
            while ok and len(found) < PAGE:
                key, row = cursor.item()
                found.append((key, Blob.unpack(row)))
                ok = cursor.next()
        if not found:
            return
        yield from found
        after = found[-1][0]
