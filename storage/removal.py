"""Buckets emptied and deleted, from the portal and the REST API. Objects are reached by S3 like anybody's, so locks and policies hold.

Emptying is a job: it deletes page by page, every version and every unfinished upload, writes down how far it is after each page, and
stops where it is told to. It gives way to other jobs every few seconds. What a lock keeps stays, and is counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from cloudbox.common import events, jobs
from cloudbox.common.errors import CloudError, Conflict, NotFound, Unavailable
from cloudbox.common.events import touch
from cloudbox.common.jobs import Job, Kind, Later, Run, Step
from cloudbox.common.object_client import DELETE_MAX, ObjectClient
from identity.context import Context
from storage import clients
from storage.bulk import named, packed_name
from storage.errors import BucketNotEmpty, NoSuchBucket
from storage.models import Bucket

EMPTY = "empty-bucket"
# So long it works before other jobs have their turn.
TURN_SECONDS = 10.0
_UNDER_WAY = (Job.State.QUEUED, Job.State.RUNNING, Job.State.UNDOING)


def delete(ctx: Context, bucket: Bucket) -> None:
    """Raises BucketNotEmpty, which says what it holds. The data plane drops it from the store and takes its row away."""
    ctx.require("buckets.manage")
    if (found := emptying(bucket)) is not None and found.under_way:
        raise Conflict(f"{bucket.name} is being emptied. Wait for that, or cancel it.")
    client, name = clients.of(ctx), clients.s3_name(bucket)
    try:
        client.delete(name, "")
    except CloudError as error:
        code = getattr(error, "code", "")
        if code == "BucketNotEmpty":
            raise BucketNotEmpty(_holds(client, bucket, name)) from error
        if isinstance(error, NotFound):
            raise NoSuchBucket(f"There is no bucket called {bucket.name} in this project.") from error
        raise


def _holds(client: ObjectClient, bucket: Bucket, name: str) -> str:
    """The sentence that says how much stands in the way."""
    count = int(client.head(name, "").headers.get("x-rgw-object-count", "0"))
    if count:
        return f"{bucket.name} holds {count:,} object{'' if count == 1 else 's'}. Empty it first."
    return f"{bucket.name} holds no current object, but versions or delete markers. Empty it first."


# --- emptying


@dataclass(frozen=True, slots=True)
class Emptying:
    """How far it is. `total` is what was there when it began, by the last count; more may come while it works."""

    under_way: bool
    state: str
    deleted: int
    kept: int
    total: int
    cancelled: bool
    error: str

    @property
    def percent(self) -> int:
        if self.state == Job.State.DONE and not self.cancelled:
            return 100
        return min(99, 100 * (self.deleted + self.kept) // self.total) if self.total else 0

    @property
    def sentence(self) -> str:
        done = f"{self.deleted:,} of {max(self.total, self.deleted + self.kept):,} versions are gone"
        locked = f"; {self.kept:,} stay, since a lock or a policy keeps them" if self.kept else ""
        if self == NEVER:
            return "It was never emptied."
        if self.under_way:
            return f"{'Stopping' if self.cancelled else 'Emptying'}: {done}{locked}."
        if self.error:
            return f"Emptying broke off: {self.error} {done}{locked}."
        if self.cancelled:
            return f"Emptying was cancelled: {done}{locked}."
        return f"Emptied: {self.deleted:,} version{'' if self.deleted == 1 else 's'} went{locked}."


# As the REST API tells it of a bucket that never was emptied.
NEVER = Emptying(under_way=False, state="", deleted=0, kept=0, total=0, cancelled=False, error="")


def emptying(bucket: Bucket) -> Emptying | None:
    """The latest one of this bucket; None if it never was."""
    job = Job.objects.filter(kind=EMPTY, subject_id=bucket.id).order_by("-created_at").first()
    if job is None:
        return None
    about = job.arguments
    return Emptying(
        under_way=job.state in _UNDER_WAY,
        state=job.state,
        deleted=about.get("deleted", 0),
        kept=about.get("kept", 0),
        total=about.get("total", 0),
        cancelled=bool(about.get("cancel")),
        error=job.error if job.state == Job.State.FAILED else "",
    )


def empty(ctx: Context, bucket: Bucket) -> Emptying:
    """Begin to delete everything in it. Raises Conflict while that is under way."""
    ctx.require("buckets.manage")
    with transaction.atomic():
        if not Bucket.objects.select_for_update().filter(pk=bucket.pk).exists():
            raise NoSuchBucket(f"There is no bucket called {bucket.name} in this project.")
        if (found := emptying(bucket)) is not None and found.under_way:
            raise Conflict(f"{bucket.name} is being emptied already.")
        usage = getattr(bucket, "usage", None)
        total = usage.versions_count if usage else 0
        jobs.enqueue(EMPTY, bucket.id, actor=ctx.actor, project_id=bucket.project_id, arguments={"total": total})
        events.publish(ctx.actor, "empty", "bucket", bucket, project_id=bucket.project_id)
    begun = emptying(bucket)
    assert begun is not None
    return begun


def cancel(ctx: Context, bucket: Bucket) -> Emptying:
    """Stop after the page that is on its way. What is gone stays gone. Raises Conflict when nothing is under way."""
    ctx.require("buckets.manage")
    with transaction.atomic():
        job = Job.objects.select_for_update().filter(kind=EMPTY, subject_id=bucket.id, state__in=_UNDER_WAY).first()
        if job is None:
            raise Conflict(f"{bucket.name} is not being emptied.")
        job.arguments = {**job.arguments, "cancel": True}
        job.save(update_fields=["arguments"])
        events.publish(ctx.actor, "cancel-emptying", "bucket", bucket, project_id=bucket.project_id)
    found = emptying(bucket)
    assert found is not None
    return found


def _work(run: Run) -> None:
    bucket = Bucket.objects.select_related("project").filter(pk=run.subject_id).first()
    if bucket is None:
        return  # It was deleted meanwhile, which is emptier still.
    client, name = clients.of_service(bucket.project_id), clients.s3_name(bucket)
    until = time.monotonic() + TURN_SECONDS
    while True:
        about = Job.objects.values_list("arguments", flat=True).get(pk=run.job.pk)
        if about.get("cancel"):
            return
        after = named(about.get("behind", ""))
        page = client.list_versions(name, after=after, after_version=about.get("after_version", ""), limit=DELETE_MAX)
        failed = client.delete_many(name, [(entry.key, entry.version) for entry in page.entries]) if page.entries else []
        if page.entries and len(failed) == len(page.entries) and all(one.code in ("InternalError", "SlowDown", "") for one in failed):
            raise Unavailable(failed[0].message or "The object store does not answer.")
        place = {"behind": packed_name(page.next), "after_version": page.next_version}
        _advance(run, bucket, deleted=len(page.entries) - len(failed), kept=len(failed), **place)
        if not page.next:
            break
        if time.monotonic() > until:
            raise Later(1)
    for upload in client.list_uploads(name):
        client.abort_upload(name, upload.key, upload.id)


def _advance(run: Run, bucket: Bucket, *, deleted: int, kept: int, **place: str) -> None:
    """Write down how far it is; under the row's lock, since cancelling writes there as well."""
    with transaction.atomic():
        about: dict[str, Any] = Job.objects.select_for_update().values_list("arguments", flat=True).get(pk=run.job.pk)
        about |= {"deleted": about.get("deleted", 0) + deleted, "kept": about.get("kept", 0) + kept, **place}
        Job.objects.filter(pk=run.job.pk).update(arguments=about)
        touch("bucket", bucket.id, bucket.project_id)


def _finish(run: Run) -> None:
    bucket = Bucket.objects.filter(pk=run.subject_id).first()
    found = emptying(bucket) if bucket else None
    if bucket is not None and found is not None and not found.cancelled:
        events.publish(run.actor, "emptied", "bucket", bucket, project_id=bucket.project_id, detail=found.sentence)


def _failed(run: Run, sentence: str) -> None:
    """The page of the bucket shows the sentence; what is gone is gone, and it can be begun again."""


KIND = Kind(
    name=EMPTY,
    noun="bucket",
    steps=(Step("Deleting its objects", _work), Step("Closing the books", _finish)),
    on_failed=_failed,
)


def register() -> None:
    jobs.registry.add([KIND])
