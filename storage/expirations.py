"""When objects end by themselves (Swift's X-Delete-At): a queue in the store itself, so that nobody has to look through all objects.

A line is an empty object of a bucket that has no row in any table, and so is nobody's: `<moment>/<bucket>/<digest of the name>`, with the
name as its properties. Lines are written before the object that they are about, and say no more than "look there, then": what is
to happen is decided by the object as it is at that moment. The expirer takes them from the beginning.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from storage.engine import Version
from storage.plane import Plane
from storage.properties import Properties, unpack

# Of a delete marker that Swift's lists of versions leave out: there, what is over is no longer the object, and no deletion either.
HIDDEN = Properties(extra={"hidden": True}).pack()
QUEUE = UUID("00000000-0000-4000-8000-00000e7d0001")
SECOND = 1_000_000_000
_EMPTY = hashlib.md5(usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Line:
    """An object to look at."""

    version: Version  # Of the line itself.
    bucket: UUID
    name: bytes


async def note(plane: Plane, bucket: UUID, name: bytes, expires_ns: int) -> None:
    """Have the object looked at when it ends. Called before the object is kept: a line too many does no harm, a missing one does."""
    digest = hashlib.sha256(name).hexdigest()[:32]
    line = f"{-(-expires_ns // SECOND):010d}/{bucket.hex}/{digest}".encode()
    await plane.store.put(QUEUE, line, b"", etag=_EMPTY, meta=Properties(extra={"name": name.hex()}).pack())


def due(plane: Plane, *, after: bytes = b"", limit: int = 1000) -> Sequence[Line]:
    """Lines whose moment has come, the oldest first."""
    now = f"{time.time_ns() // SECOND:010d}0".encode()  # "0" sorts after "/": the second that has begun is over for its lines.
    found = []
    for version in plane.store.list(QUEUE, after=after, limit=limit).versions:
        if version.name > now:
            break
        bucket = version.name.split(b"/")[1].decode()
        found.append(Line(version, UUID(bucket), bytes.fromhex(unpack(version.meta).extra["name"])))
    return found


async def strike(plane: Plane, line: Line) -> None:
    """The line is done with."""
    await plane.store.delete(QUEUE, line.version.name)


def is_over(properties: Properties) -> bool:
    """Has the object ended, whether or not it has been taken away yet?"""
    return bool(properties.expires_ns) and properties.expires_ns <= time.time_ns()


def has_ended(version: Version) -> bool:
    """The same of a version, at the cost of a glance for the many that never end."""
    return b'"x":' in version.meta and is_over(unpack(version.meta))
