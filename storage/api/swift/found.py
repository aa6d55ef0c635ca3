"""Objects found: the version that an address means, what is kept with it, and how its bytes are had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from storage import encryption, objects
from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.directory import BucketInfo
from storage.engine import Version
from storage.objects import Content
from storage.properties import Properties, unpack


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it is to be read: by itself, or as what its manifest or link stands for."""

    bucket: BucketInfo
    version: Version
    properties: Properties
    size: int
    etag: str  # As the header shows it.
    content: Callable[[int, int], Awaitable[Content]]
    more: dict[str, str] = field(default_factory=dict)  # Headers besides the object's own.
    parts: Sequence[int] = ()  # Sizes of the segments of a static large object.


def look(call: Call, bucket: BucketInfo, key: bytes, version_id: str | None) -> tuple[Version, Properties]:
    """The version and what is kept with it; raises NoSuchObject for what is not there, deleted or over."""
    version = objects.find(call.plane, bucket, key, version_id)
    return version, unpack(version.meta)


def at_object(call: Call, project: str, container: str, name: str) -> Call:
    """The same call, about another object."""
    other = object.__new__(Call)
    other.__dict__.update(call.__dict__)
    other.project, other.container, other.object, other.key = project, container, name, name.encode()
    other.account_name, other.info = f"AUTH_{project}", None
    return other


async def open_key(call: Call, properties: Properties) -> bytes:
    if not properties.encryption:
        return b""
    if properties.encryption.get("a") == encryption.CUSTOMER:
        raise SwiftError(403, "This object is encrypted with a key of a customer's, which only S3's requests can carry.")
    return await objects.open_key(call.plane, properties, None)
