"""Events on their way out: a queue in the store itself, so that an acknowledged change never lacks its event.

A line is an empty object of a bucket that has no row in any table: `<sequencer>/<id of the event>`, with the event as its properties.
It is as durable as the change, and is there before the change is answered. Buckets without rules about events pay nothing for it.

What makes something (an object, a marker, tags) is followed by its line: killed in between, nobody was told that it happened, and who
tries again causes the event. What takes something away is preceded by its line, since trying again finds nothing left to take away;
such a line says which version has to be gone, and counts only once it is. So a kill may double an event, and never swallows one of
an acknowledged change. One worker carries the lines over into the tables (rounds.py), from where they are sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from cloudbox.common.errors import CloudError, Unavailable
from storage import notifications
from storage.directory import BucketInfo
from storage.engine import Version
from storage.notifications import Cause
from storage.plane import Plane
from storage.properties import Properties, unpack

log = logging.getLogger(__name__)
QUEUE = UUID("00000000-0000-4000-8000-00000e7d0002")
# So long a removal may be under way; a line whose version is still there after that belongs to one that did not happen.
REMOVAL_SECONDS = 60.0
PAGE = 1000
_EMPTY = hashlib.md5(usedforsecurity=False).hexdigest()
_under_way: set[asyncio.Task[Any]] = set()  # The loop itself holds tasks only weakly.


@dataclass(frozen=True, slots=True)
class Line:
    """An event, and the line that it stands in. `event` is told in notifications.record."""

    version: Version
    id: UUID
    event: dict[str, Any]


# --- writing


async def made(plane: Plane, bucket: BucketInfo, cause: Cause, name: bytes, change: Callable[[], Awaitable[Version]]) -> Version:
    """Make a version, or change what is kept with one, and put its event into the queue before returning."""
    targets = notifications.targets(bucket.notifications, cause.event, name) if bucket.notifications else []
    if not targets:
        return await change()

    async def both() -> Version:
        version = await change()
        await _write(plane, bucket, cause, version, version.changed, targets)
        return version

    return await _whole(both())


async def removed(
    plane: Plane, bucket: BucketInfo, cause: Cause, name: bytes, version_id: str, change: Callable[[], Awaitable[Version | None]]
) -> Version | None:
    """Remove a version for good, with its event in the queue beforehand. `cause.event` is the part before the colon."""
    cause = replace(cause, event=f"{cause.event}:Delete")
    targets = notifications.targets(bucket.notifications, cause.event, name) if bucket.notifications else []
    seen = plane.store.get(bucket.id, name, version_id) if targets else None
    if seen is None:
        return await change()

    async def both() -> Version | None:
        line = await _write(plane, bucket, cause, seen, plane.store.committer.clock.stamp(), targets, gone=seen.stamp)
        try:
            gone = await change()
        except Unavailable:
            raise  # It may have happened nevertheless: whoever carries the line over will see.
        except CloudError:
            await plane.store.delete(QUEUE, line)
            raise
        if gone is None:  # Somebody else was quicker, with a line of their own.
            await plane.store.delete(QUEUE, line)
        return gone

    return await _whole(both())


async def _whole(work: Any) -> Any:
    """A change and its line belong together, even if the client goes away in between."""
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # Its caller may be gone; then nobody else asks for it.


async def _write(
    plane: Plane, bucket: BucketInfo, cause: Cause, version: Version, sequencer: int, targets: list[tuple[str, str]], *, gone: int = 0
) -> bytes:
    event: dict[str, Any] = {
        "event": cause.event,
        "bucket": bucket.name,
        "bucket_id": bucket.id.hex,
        "owner": bucket.owner,
        "region": bucket.region or plane.region,
        "name": version.name.hex(),
        "version": "" if bucket.versioning == "off" else version.id,
        "size": version.size,
        "etag": version.etag,
        "sequencer": f"{sequencer:016X}",
        "at": _iso(time.time_ns()),
        "principal": cause.principal,
        "address": cause.address,
        "request_id": cause.request_id,
        "to": targets,
    }
    if gone:
        event["gone"] = [version.id, gone]
    line = f"{sequencer:016x}/{uuid.uuid4().hex}".encode()
    await plane.store.put(QUEUE, line, b"", etag=_EMPTY, meta=Properties(extra={"event": event}).pack())
    return line


def _iso(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03d}Z"


# --- carrying over


def waiting(plane: Plane, *, after: bytes = b"", limit: int = PAGE) -> tuple[list[Line], list[Line], bytes | None]:
    """Lines in the order of their changes: those that count, those to be struck unsent, and where to go on (None: that was all)."""
    ready, void = [], []
    page = plane.store.list(QUEUE, after=after, limit=limit).versions
    for version in page:
        event = unpack(version.meta).extra["event"]
        line = Line(version, UUID(version.name.partition(b"/")[2].decode()), event)
        if "gone" not in event or not _still_there(plane, event):
            ready.append(line)
        elif time.time_ns() - version.modified_ns > REMOVAL_SECONDS * 1e9:
            void.append(line)
    return ready, void, page[-1].name if len(page) == limit else None


def _still_there(plane: Plane, event: dict[str, Any]) -> bool:
    id, stamp = event["gone"]
    now = plane.store.get(UUID(event["bucket_id"]), bytes.fromhex(event["name"]), id)
    return now is not None and now.stamp == stamp


async def strike(plane: Plane, lines: Sequence[Line]) -> None:
    """They are done with. Together: their tombstones go to the drives as one."""
    await asyncio.gather(*(plane.store.delete(QUEUE, line.version.name) for line in lines))
