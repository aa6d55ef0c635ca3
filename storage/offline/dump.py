"""What there is, as lines of JSON: a line per bucket, then a line per version of its objects."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from storage.engine import Version
from storage.engine.index import BUCKET
from storage.offline.names import OWN, Names
from storage.offline.opening import Opened
from storage.offline.walking import buckets, versions
from storage.properties import unpack


def dump(store: Opened, names: Names, *, bucket: str = "", prefix: bytes = b"") -> Iterator[str]:
    """Of all buckets, or of those called `bucket`; objects whose names begin with `prefix`."""
    for id in chosen(store, names, bucket):
        yield json.dumps({"type": "bucket", **bucket_facts(store, names, id)}, ensure_ascii=False)
        for version in versions(store.index, id, prefix=prefix):
            yield json.dumps({"type": "version", **version_facts(names, version)}, ensure_ascii=False)


def chosen(store: Opened, names: Names, bucket: str) -> list[UUID]:
    """Raises LookupError if a bucket was named and there is none of that name."""
    there = buckets(store.index)
    if not bucket:
        return [id for id in there if id not in OWN]
    wanted = names.called(bucket)
    found = [id for id in there if id in wanted]
    if not found:
        raise LookupError(f"There is no bucket {bucket} on these drives. Without names.json buckets are called by their ids: see `dump`.")
    return found


def bucket_facts(store: Opened, names: Names, id: UUID) -> dict[str, Any]:
    with store.index.env.begin() as txn:
        row = txn.get(id.bytes, db=store.index.buckets)
    objects, count, size, uploads, upload_bytes, *_ = BUCKET.unpack(row) if row is not None else (0,) * 7
    known = names.buckets.get(id, {})
    return {
        "id": str(id),
        "bucket": names.of(id),
        "project": known.get("project_name") or known.get("project") or "",
        "objects": objects,
        "versions": count,
        "bytes": size,
        "uploads": uploads,
        "upload_bytes": upload_bytes,
    }


def text_of(name: bytes) -> dict[str, str]:
    """A name; in hex as well if it is no text."""
    try:
        return {"name": name.decode()}
    except UnicodeDecodeError:
        return {"name": name.decode(errors="replace"), "name_hex": name.hex()}


def version_facts(names: Names, version: Version) -> dict[str, Any]:
    """All that is known of a version but its bytes."""
    facts: dict[str, Any] = {"bucket": names.of(version.bucket), **text_of(version.name), "version": version.id}
    facts |= {"latest": version.latest, "modified": _moment(version.modified_ns)}
    if version.delete_marker:
        return facts | {"delete_marker": True}
    properties = unpack(version.meta)
    facts |= {"bytes": version.size, "etag": version.etag, "class": version.storage_class.name}
    known = {
        "content_type": properties.content_type,
        "headers": properties.headers,
        "metadata": properties.user,
        "tags": properties.tags,
        "checksums": properties.checksums,
        "encryption": properties.encryption.get("a", ""),
    }
    return facts | {name: value for name, value in known.items() if value}


def _moment(ns: int) -> str:
    return dt.datetime.fromtimestamp(ns / 1e9, dt.UTC).isoformat()
