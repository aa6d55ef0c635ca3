"""How much buckets hold, brought from the index into the tables where people and bills read it. The index itself is always exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from uuid import UUID

from django.db import transaction

from cloudbox.common import clock
from identity.models import Quota
from storage.directory import BucketInfo, info_of
from storage.engine import Usage
from storage.loading import row_of, visiting
from storage.models import Bucket, BucketUsage

GIB = 1 << 30


@visiting
def record(usage_of: Callable[[UUID], Usage]) -> int:
    """Write what has changed since the last call; returns how many buckets that were."""
    now = clock.now()
    bytes_of: Counter[UUID] = Counter()
    objects_of: Counter[UUID] = Counter()
    rows = []
    for id, project in Bucket.objects.values_list("id", "project_id"):
        usage = usage_of(id)
        bytes_of[project] += usage.bytes + usage.upload_bytes
        objects_of[project] += usage.objects
        rows.append(
            BucketUsage(
                bucket_id=id,
                objects_count=usage.objects,
                versions_count=usage.versions,
                bytes=usage.bytes,
                uploads_count=usage.uploads,
                upload_bytes=usage.upload_bytes,
                counted_at=now,
            )
        )
    fields = ["objects_count", "versions_count", "bytes", "uploads_count", "upload_bytes"]
    known = {row["bucket_id"]: row for row in BucketUsage.objects.values("bucket_id", *fields)}
    changed = [row for row in rows if {f: getattr(row, f) for f in ("bucket_id", *fields)} != known.get(row.bucket_id)]
    with transaction.atomic():
        # A bucket may have been deleted since it was counted, and none may be while this is written.
        ids = [row.bucket_id for row in changed]
        there = set(Bucket.objects.select_for_update(no_key=True).filter(id__in=ids).order_by("id").values_list("id", flat=True))
        changed = [row for row in changed if row.bucket_id in there]
        BucketUsage.objects.bulk_create(
            changed, update_conflicts=True, unique_fields=["bucket"], update_fields=[*fields, "counted_at"], batch_size=500
        )
        _charge("objects", objects_of)
        _charge("object_gib", Counter({project: -(-size // GIB) for project, size in bytes_of.items()}))
    return len(changed)


def _charge(resource: str, used: Counter[UUID]) -> None:
    """Quota rows say what is used; the data plane refuses by the index, so these are for people to read."""
    for row in Quota.objects.filter(resource=resource):
        if row.used != used[row.project_id]:
            Quota.objects.filter(pk=row.pk).update(used=used[row.project_id])


@visiting
def with_lifecycle() -> list[BucketInfo]:
    """The buckets that have lifecycle rules."""
    return [info_of(row_of(row)) for row in Bucket.objects.select_related("project").filter(documents__has_key="lifecycle")]


@visiting
def infos(ids: Collection[UUID]) -> dict[UUID, BucketInfo]:
    """Those of the buckets that there are."""
    return {row.id: info_of(row_of(row)) for row in Bucket.objects.select_related("project").filter(id__in=ids)}
