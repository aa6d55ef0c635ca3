"""Buckets: made, configured, deleted. Verbs on the tables: synchronous, with a Context, called by the portal and, in a thread, by the
data plane. Each change tells the other workers through `generations` once it is committed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from cloudbox.common import events
from cloudbox.common.errors import Conflict, Invalid
from identity import quotas
from identity.context import Context
from storage import documents, drive_list, usage
from storage.engine import STORAGE_CLASSES
from storage.errors import BucketAlreadyYours, BucketNameInvalid, BucketNameTaken, LockStateInvalid, NoSuchBucket, NoSuchDocument
from storage.generations import Generations
from storage.models import Bucket

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_RESERVED = ("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", ".mrap", "--x-s3")


@cache
def generations() -> Generations:
    """The table that this process shares with the data plane's workers."""
    return Generations(settings.RUN_DIR / "store" / "generations")


def announce(bucket: Bucket) -> None:
    """After the commit: whoever has the bucket in mind has to look again."""

    def bump() -> None:
        table = generations()
        table.bump(bucket.name)
        table.bump(f"{bucket.project.slug}:{bucket.name}")
        table.bump(f"{bucket.project_id.hex}/{bucket.name}")
        table.bump(f"project {bucket.project_id.hex}")

    transaction.on_commit(bump)


def check_name(name: str) -> None:
    """S3's rules ("Bucket naming rules"). Raises BucketNameInvalid."""
    good = (
        _NAME.fullmatch(name)
        and ".." not in name
        and ".-" not in name
        and "-." not in name
        and not _ADDRESS.fullmatch(name)
        and not name.startswith(_RESERVED[0])
        and not name.endswith(_RESERVED[1])
    )
    if not good:
        raise BucketNameInvalid(
            "A bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, begins and ends with a letter or digit, "
            "and does not look like an IP address.",
            field="name",
        )


def list_buckets(ctx: Context) -> QuerySet[Bucket]:
    """The project's buckets by name."""
    ctx.require("buckets.list")
    return Bucket.objects.filter(project=ctx.project).select_related("project", "usage").order_by("name")


def list_all(ctx: Context, *, q: str = "") -> QuerySet[Bucket]:
    """The buckets of all projects by name, for those who look after the box."""
    ctx.require("box.look")
    rows = Bucket.objects.select_related("project", "usage").order_by("name", "id")
    return rows.filter(Q(name__icontains=q) | Q(project__slug__icontains=q)) if q else rows


def get(ctx: Context, name: str) -> Bucket:
    """A bucket of the project. Raises NoSuchBucket."""
    bucket = list_buckets(ctx).filter(name=name).first()
    if bucket is None:
        raise NoSuchBucket(f"There is no bucket called {name} in this project.")
    return bucket


def drive_count() -> int | None:
    """How many drives take new objects, by the store's own list; None where it cannot be read, or the store is somewhere else."""
    if not settings.STORE_PORT:
        return None
    try:
        drives = drive_list.read(settings.HOME / "store" / drive_list.NAME)
    except (OSError, ValueError, Conflict):
        return None
    return None if drives is None else sum(not entry.draining for entry in drives.entries)


def _check_class(name: str) -> None:
    """That there is such a class, and drives enough for its copies or fragments. When one fails later, copies make do for a while."""
    wanted = STORAGE_CLASSES.get(name)
    if wanted is None:
        raise Invalid(f"A storage class is one of {', '.join(STORAGE_CLASSES)}.", field="storage_class")
    drives = drive_count()
    if drives is not None and drives < wanted.replicas:
        raise Invalid(f"{name} needs {wanted.replicas} drives, and the store has {drives}. Choose another class.", field="storage_class")


def create(
    ctx: Context,
    *,
    name: str,
    region: str = "",
    storage_class: str = "replicated-3",
    ownership: str = Bucket.Ownership.WRITER,
    object_lock: bool = False,
    given: dict[str, Any] | None = None,
    shared_name: bool = True,
) -> Bucket:
    """A new bucket, with the documents `given` (an ACL, say). Raises BucketNameTaken, BucketAlreadyYours, QuotaExceeded.

    Without a `shared_name` it is found within its project only (a container), and may be called almost anything.
    """
    ctx.require("buckets.manage")
    if shared_name:
        check_name(name)
    _check_class(storage_class)
    for kind, value in (given or {}).items():
        documents.check(kind, value, bucket=name)
    try:
        with transaction.atomic():
            bucket = Bucket.objects.create(
                project=ctx.needed_project,
                name=name,
                shared_name=shared_name,
                region=region,
                storage_class=storage_class,
                ownership=ownership,
                object_lock=object_lock,
                versioning=Bucket.Versioning.ENABLED if object_lock else Bucket.Versioning.OFF,
                documents=given or {},
            )
            quotas.charge(ctx.project_id, {"buckets": 1})
            events.publish(ctx.actor, "create", "bucket", bucket, project_id=ctx.project_id, detail=name)
            announce(bucket)
    except IntegrityError as error:
        if Bucket.objects.filter(name=name, project=ctx.project).exists():
            raise BucketAlreadyYours("Your previous request to create the named bucket succeeded and you already own it.") from error
        raise BucketNameTaken("The requested bucket name is not available. Select a different name and try again.") from error
    return bucket


def forget(ctx: Context, bucket: Bucket) -> None:
    """Remove the row of a bucket whose objects are gone: the data plane has dropped it from the store, which is the point of no return."""
    ctx.require("buckets.manage")
    with transaction.atomic():
        # What is being counted right now hangs on the row: first wait for that, then look what is there to be deleted with it.
        Bucket.objects.select_for_update().filter(pk=bucket.pk).first()
        usage.close(bucket)
        if Bucket.objects.filter(pk=bucket.pk).delete()[0]:
            quotas.release(bucket.project_id, {"buckets": 1})
            events.publish(ctx.actor, "delete", "bucket", bucket, project_id=bucket.project_id, detail=bucket.name)
            announce(bucket)


# --- configuration


def change(ctx: Context, bucket: Bucket, edit: Callable[[Bucket], str]) -> Bucket:
    """Edit a bucket's row under its lock; `edit` answers with what the audit log says."""
    ctx.require("buckets.manage")
    return apply(ctx, bucket, edit)


def apply(ctx: Context, bucket: Bucket, edit: Callable[[Bucket], str]) -> Bucket:
    """The same for who has been let in by the bucket's own policy or ACL, whatever their role."""
    with transaction.atomic():
        row = Bucket.objects.select_for_update(of=("self",)).select_related("project").filter(pk=bucket.pk).first()
        if row is None:
            raise NoSuchBucket(f"There is no bucket called {bucket.name}.")
        detail = edit(row)
        row.save()
        events.publish(ctx.actor, "configure", "bucket", row, project_id=row.project_id, detail=detail)
        announce(row)
    return row


def putting(kind: str, value: Any) -> Callable[[Bucket], str]:
    """An edit that stores a document."""

    def edit(bucket: Bucket) -> str:
        documents.check(kind, value, bucket=bucket.name)
        bucket.documents = {**bucket.documents, kind: value}
        return f"set {kind}"

    return edit


def removing(kind: str) -> Callable[[Bucket], str]:
    """An edit that removes one."""

    def edit(bucket: Bucket) -> str:
        bucket.documents = {known: value for known, value in bucket.documents.items() if known != kind}
        return f"removed {kind}"

    return edit


def versioning(enabled: bool) -> Callable[[Bucket], str]:
    """An edit that switches versioning on, or suspends it."""

    def edit(bucket: Bucket) -> str:
        if bucket.object_lock and not enabled:
            raise LockStateInvalid("An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.")
        bucket.versioning = Bucket.Versioning.ENABLED if enabled else Bucket.Versioning.SUSPENDED
        return f"versioning {bucket.versioning}"

    return edit


def document(bucket_documents: dict[str, Any], kind: str) -> Any:
    """A stored document. Raises NoSuchDocument."""
    value = bucket_documents.get(kind)
    if value is None:
        raise NoSuchDocument(kind, f"The bucket has no {kind} configuration.")
    return value


def count_of(project_id: Any) -> dict[str, int]:
    """What quotas count (see identity.quotas.counters)."""
    return {"buckets": Bucket.objects.filter(project_id=project_id).count()}
