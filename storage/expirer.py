"""The expirer: does what lifecycle rules say, every hour, and takes away what has ended by itself (expirations.py), every minute.

One worker of the data plane runs its rounds; a round may be cut off anywhere.

It judges versions as it finds them and deletes under the condition that nothing has happened to them since, so an object that is
written while the round comes by is never touched. What a lock keeps stays, and is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from cloudbox.common import clock
from cloudbox.common.errors import CloudError, PreconditionFailed
from storage import expirations, lifecycle, locks, notifications, objects
from storage.directory import BucketInfo
from storage.engine import Mode, Version, unchanged
from storage.errors import Locked
from storage.lifecycle import Seen, moment_of
from storage.plane import Plane
from storage.properties import unpack

log = logging.getLogger(__name__)
PAGE = 1000
# A name with more versions than this is judged in pieces from its newest on; the rest comes by in the next round.
VERSIONS_MAX = 100_000


@dataclass(slots=True)
class Round:
    """What a round did."""

    buckets: int = 0
    seen: int = 0
    expired: int = 0
    aborted: int = 0
    locked: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A version that a rule ends, for the preview of a rule as well."""

    version: Version
    rule: str


async def run(plane: Plane, buckets: Sequence[BucketInfo]) -> Round:
    """One round over these buckets; those without rules are passed over."""
    done = Round()
    for bucket in buckets:
        if not bucket.lifecycle:
            continue
        done.buckets += 1
        try:
            await _expire(plane, bucket, done)
            await _abort_uploads(plane, bucket, done)
        except CloudError as error:
            # Another bucket's rules have nothing to do with it; the next round tries again.
            done.failed += 1
            log.warning("lifecycle of bucket %s: %s", bucket.name, error)
    return done


async def _expire(plane: Plane, bucket: BucketInfo, done: Round) -> None:
    versions: list[Version] = []
    after, after_version = b"", ""
    while True:
        page = plane.store.list_versions(bucket.id, after=after, after_version=after_version, limit=PAGE)
        done.seen += len(page.versions)
        for version in page.versions:
            if versions and (versions[-1].name != version.name or len(versions) >= VERSIONS_MAX):
                await _judge(plane, bucket, versions, done)
                versions = []
            versions.append(version)
        if page.next is None:
            break
        after, after_version = page.next
        await asyncio.sleep(0)  # Requests go first.
    if versions:
        await _judge(plane, bucket, versions, done)


def due(bucket: BucketInfo, versions: Sequence[Version]) -> list[Due]:
    """What is due now among all versions of one name, newest first."""
    needs_tags = any(rule.filter.tags for rule in bucket.lifecycle)
    seen = [
        Seen(
            version.name,
            moment_of(version.modified_ns),
            version.size,
            unpack(version.meta).tags if needs_tags else {},
            version.delete_marker,
        )
        for version in versions
    ]
    return [Due(versions[position], rule) for position, rule in lifecycle.judge(bucket.lifecycle, seen, clock.now())]


async def _judge(plane: Plane, bucket: BucketInfo, versions: list[Version], done: Round) -> None:
    for one in due(bucket, versions):
        version = one.version
        # The current version of a versioned bucket gets a delete marker; all else goes for good.
        hide = version.latest and not version.delete_marker and bucket.versioning != "off"
        try:
            await objects.delete(
                plane,
                bucket,
                version.name,
                None if hide or bucket.versioning == "off" else version.id,
                condition=unchanged(version),
                cause=notifications.EXPIRED,
            )
            done.expired += 1
        except Locked:
            done.locked += 1
        except PreconditionFailed:
            pass  # It has changed since: the next round sees what it is now.


async def _abort_uploads(plane: Plane, bucket: BucketInfo, done: Round) -> None:
    if not any(rule.abort_days is not None for rule in bucket.lifecycle):
        return
    after, after_upload = b"", None
    while True:
        page = plane.store.list_uploads(bucket.id, after=after, after_upload=after_upload, limit=PAGE)
        for upload in page:
            after, after_upload = upload.name, upload.id
            if lifecycle.abort_due(bucket.lifecycle, upload.name, moment_of(upload.started_ns), clock.now()) is not None:
                done.aborted += await plane.store.abort_upload(upload)
        if len(page) < PAGE:
            return
        await asyncio.sleep(0)


# --- objects that end by themselves


async def reap(plane: Plane, buckets_of: Callable[[Collection[UUID]], dict[UUID, BucketInfo]]) -> int:
    """Delete the objects whose X-Delete-At is over, as their containers' versioning has it; returns how many those were.

    A locked object keeps its line, and is tried again by the next round.
    """
    count, after = 0, b""
    while lines := expirations.due(plane, after=after):
        after = lines[-1].version.name
        infos = await plane.run(buckets_of, {line.bucket for line in lines})
        for line in lines:
            try:
                if line.bucket in infos:
                    count += await _reap_one(plane, infos[line.bucket], line.name)
                await expirations.strike(plane, line)
            except (Locked, PreconditionFailed):
                continue  # Kept, or changed this very moment.
            except CloudError as error:
                log.warning("an object of bucket %s has ended and could not be deleted: %s", line.bucket, error)
        await asyncio.sleep(0)  # Requests go first.
    return count


async def _reap_one(plane: Plane, bucket: BucketInfo, name: bytes) -> bool:
    version = plane.store.get(bucket.id, name)
    if version is None or version.delete_marker or not expirations.has_ended(version):
        return False
    if bucket.versioning == "off":
        locks.check_deletable(unpack(version.meta), now_ns=locks.ns_of(clock.now()), bypass=False)
        await objects.delete(plane, bucket, name, condition=unchanged(version), cause=notifications.EXPIRED)
        return True
    # First the marker, so that no version from before shows in between.
    await objects.hide(
        plane, bucket, name, meta=expirations.HIDDEN, mode=Mode.ADD, condition=unchanged(version), cause=notifications.EXPIRED
    )
    if version.null:
        await objects.delete(plane, bucket, name, version.id, cause=notifications.EXPIRED)
    return True
