"""The inventory of a bucket: a list of all its objects as a CSV file, written into a bucket of choice by a job.

The columns are those that S3's inventory reports have ("Amazon S3 Inventory list", optional fields as far as they exist here). It is
written part by part as it is listed, so it holds no more than a part in memory; the object is there when it is whole, or not at all.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from cloudbox.common import clock, events, jobs
from cloudbox.common.errors import Conflict, NotFound
from cloudbox.common.jobs import Job, Kind, Run, Step
from cloudbox.common.object_client import Entry, ObjectClient, Part
from identity.context import Context
from storage import buckets, clients
from storage.models import Bucket

KIND_NAME = "bucket-inventory"
PART_BYTES = 8 << 20
COLUMNS = ("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag", "StorageClass")
_UNDER_WAY = (Job.State.QUEUED, Job.State.RUNNING, Job.State.UNDOING)


@dataclass(frozen=True, slots=True)
class Inventory:
    """One that was asked for. `target` and `key`: where it is, or will be."""

    state: str
    target: str
    key: str
    rows: int
    error: str

    @property
    def under_way(self) -> bool:
        return self.state in _UNDER_WAY

    @property
    def sentence(self) -> str:
        if not self.key:
            return "No inventory was asked for yet."
        if self.under_way:
            return f"The inventory is being written: {self.rows:,} lines so far."
        if self.error:
            return f"The inventory could not be written: {self.error}"
        return f"{self.key} in {self.target} lists {self.rows:,} object{'' if self.rows == 1 else 's'}."


# As the REST API tells it of a bucket that never had one.
NEVER = Inventory(state="", target="", key="", rows=0, error="")


def latest(bucket: Bucket) -> Inventory | None:
    job = Job.objects.filter(kind=KIND_NAME, subject_id=bucket.id).order_by("-created_at").first()
    if job is None:
        return None
    about = job.arguments
    return Inventory(
        state=job.state,
        target=about["target"],
        key=about["key"],
        rows=about.get("rows", 0),
        error=job.error if job.state == Job.State.FAILED else "",
    )


def start(ctx: Context, bucket: Bucket, *, target: str = "", prefix: str = "", versions: bool = False) -> Inventory:
    """List the objects of `bucket` (below a prefix; or all `versions` of them) into a bucket of the project, by default itself.

    Raises Conflict while one is being written, NoSuchBucket for the target.
    """
    ctx.require("buckets.manage")
    into = buckets.get(ctx, target) if target and target != bucket.name else bucket
    with transaction.atomic():
        Bucket.objects.select_for_update(no_key=True).filter(pk=bucket.pk).first()
        if (found := latest(bucket)) is not None and found.under_way:
            raise Conflict(f"The inventory of {bucket.name} is being written. Wait for that.")
        key = f"inventory/{bucket.name}/{clock.now():%Y-%m-%dT%H-%M-%SZ}.csv"
        arguments = {"target": into.name, "target_id": str(into.id), "key": key, "prefix": prefix, "versions": versions}
        jobs.enqueue(KIND_NAME, bucket.id, actor=ctx.actor, project_id=bucket.project_id, arguments=arguments)
        events.publish(ctx.actor, "inventory", "bucket", bucket, project_id=bucket.project_id, detail=f"into {into.name}")
    begun = latest(bucket)
    assert begun is not None
    return begun


# --- the job


def _work(run: Run) -> None:
    """From the beginning; a run that was cut off left an unfinished upload, which is ended first."""
    about = run.arguments
    bucket = Bucket.objects.select_related("project").filter(pk=run.subject_id).first()
    into = Bucket.objects.select_related("project").filter(pk=about["target_id"]).first()
    if bucket is None or into is None:
        raise NotFound("The bucket was deleted meanwhile.")
    client = clients.of_service(bucket.project_id)
    target, key = clients.s3_name(into), about["key"]
    for upload in client.list_uploads(target, prefix=key):
        client.abort_upload(target, upload.key, upload.id)
    id = client.create_upload(target, key, headers={"content-type": "text/csv; charset=utf-8"})
    try:
        parts = _write(run, client, bucket, target, key, id)
        client.complete_upload(target, key, id, parts)
    except BaseException:
        client.abort_upload(target, key, id)
        raise


def _write(run: Run, client: ObjectClient, bucket: Bucket, target: str, key: str, upload: str) -> list[Part]:
    name, about = clients.s3_name(bucket), run.arguments
    parts: list[Part] = []
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    rows, after, after_version = 0, "", ""
    while True:
        page = client.list_versions(name, prefix=about["prefix"], after=after, after_version=after_version)
        for entry in page.entries:
            if about["versions"] or (entry.latest and not entry.marker):
                lines.writerow(_row(bucket, entry))
                rows += 1
        after, after_version = page.next, page.next_version
        if text.tell() >= PART_BYTES or not after:
            body = text.getvalue().encode("utf-8", "surrogateescape")
            parts.append(client.put_part(target, key, upload, len(parts) + 1, body))
            text.seek(0)
            text.truncate()
        _advance(run, bucket, rows)
        if not after:
            return parts


def _row(bucket: Bucket, entry: Entry) -> list[Any]:
    modified = entry.modified.isoformat() if entry.modified else ""
    about = [entry.version, str(entry.latest).lower(), str(entry.marker).lower()]
    return [bucket.name, entry.key, *about, entry.size, modified, entry.etag, "" if entry.marker else entry.storage_class or "STANDARD"]


def _advance(run: Run, bucket: Bucket, rows: int) -> None:
    run.job.arguments = {**run.job.arguments, "rows": rows}
    with transaction.atomic():
        Job.objects.filter(pk=run.job.pk).update(arguments=run.job.arguments)
        events.touch("bucket", bucket.id, bucket.project_id)


def _failed(run: Run, sentence: str) -> None:
    """The page of the bucket shows the sentence; it can be asked for again."""


KIND = Kind(name=KIND_NAME, noun="bucket", steps=(Step("Listing its objects", _work),), on_failed=_failed)


def register() -> None:
    jobs.registry.add([KIND])
