"""Many objects at once: deleted, copied, moved, as a person asks for it on a bucket's page.

A first round is done while they wait, and nearly everything is done with it. What is left becomes a job, which goes on when the page
is left: it works page by page as that person (their role, the policies and the locks hold), writes down how far it is after each
page, stops where it is told to, and gives way to other jobs every few seconds. A page that is done twice, as after a crash, does
nothing twice: what is gone is gone, and what has been copied is counted as there already.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from cloudbox.common import events, jobs
from cloudbox.common.errors import CloudError, Conflict, Invalid, NotFound, PreconditionFailed, Unavailable
from cloudbox.common.events import touch
from cloudbox.common.jobs import Job, Kind, Later, Run, Step
from cloudbox.common.object_client import COPY_BYTES_MAX, DELETE_MAX, Entry, ObjectClient
from identity.context import Context
from storage import clients
from storage.models import Bucket

BULK = "bulk-objects"
DELETING, COPYING, MOVING = "delete", "copy", "move"
ROUND_SECONDS = 2.0  # So long the person waits before a job takes over.
TURN_SECONDS = 10.0  # So long a job works before other jobs have their turn.
COPIES_AT_ONCE = 8
COPY_PAGE = 64
FAILURES_SHOWN = 20
JOBS_MAX = 8  # Of one bucket, under way: each waits for the one before it.
NAME_BYTES_MAX = 1024
_UNDER_WAY = (Job.State.QUEUED, Job.State.RUNNING, Job.State.UNDOING)
_PAST = {DELETING: "deleted", COPYING: "copied", MOVING: "moved"}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done with which objects. A source that ends with a slash is a folder, with all that is below it.

    A deletion with `versions` takes every version, for good. A copy puts what follows `base` in a source's name below `folder` of the
    bucket `target` (its S3 name), or calls a single source `name`; what is there already is skipped, unless `replace`.
    """

    verb: str
    sources: tuple[str, ...]
    versions: bool = False
    target: str = ""
    base: str = ""
    folder: str = ""
    name: str = ""
    replace: bool = False

    def place_of(self, source: str, key: str) -> str:
        """Where a copy of a source's object goes."""
        if not self.name:
            return self.folder + (key.removeprefix(self.base) or key)
        return self.folder + (self.name.rstrip("/") + "/" + key.removeprefix(source) if source.endswith("/") else self.name)

    def check(self, bucket: str) -> None:
        """Raises Invalid at the field that makes no sense. `bucket` is the S3 name of where the sources are."""
        if not self.sources or not all(self.sources):
            raise Invalid("Say which objects.", field="names")
        if self.verb == DELETING:
            return
        if self.name and len(self.sources) > 1:
            raise Invalid("Only one thing at a time can be renamed.", field="name")
        for source in self.sources:
            to = self.place_of(source, source)
            if len(to.encode("utf-8", "surrogateescape")) > NAME_BYTES_MAX:
                raise Invalid(f"A name of an object has at most {NAME_BYTES_MAX} bytes, with its folders.", field="folder")
            if self.target == bucket and (to == source or (source.endswith("/") and to.startswith(source))):
                raise Invalid("A thing cannot be put into itself. Choose another place.", field="folder")

    def packed(self) -> dict[str, Any]:
        kept = {name: packed_name(getattr(self, name)) for name in ("target", "base", "folder", "name")}
        return kept | {
            "verb": self.verb,
            "sources": [packed_name(one) for one in self.sources],
            "versions": self.versions,
            "replace": self.replace,
        }

    @classmethod
    def unpacked(cls, kept: dict[str, Any]) -> Task:
        texts = {name: named(kept[name]) for name in ("target", "base", "folder", "name")}
        sources = tuple(named(one) for one in kept["sources"])
        return cls(verb=kept["verb"], sources=sources, versions=kept["versions"], replace=kept["replace"], **texts)


@dataclass
class Cursor:
    """Where a walk over the sources stands: in the how-manieth source, behind which name (and version)."""

    source: int = 0
    after: str = ""
    version: str = ""

    def next_source(self) -> None:
        self.source, self.after, self.version = self.source + 1, "", ""

    def packed(self) -> list[Any]:
        return [self.source, packed_name(self.after), self.version]

    @classmethod
    def unpacked(cls, kept: list[Any]) -> Cursor:
        return cls(kept[0], named(kept[1]), kept[2])


def packed_name(name: str) -> str:
    """A name as the table of jobs can hold it: PostgreSQL's JSON takes neither a NUL nor half a character, and names may have both."""
    return base64.b64encode(name.encode("utf-8", "surrogateescape")).decode()


def named(packed: str) -> str:
    return base64.b64decode(packed).decode("utf-8", "surrogateescape")


@dataclass
class Tally:
    """What became of the objects. `failed` has the first few that could not be, with the reason."""

    done: int = 0
    skipped: int = 0
    failures: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.done, self.skipped, self.failures = self.done + other.done, self.skipped + other.skipped, self.failures + other.failures
        self.failed = [*self.failed, *other.failed][:FAILURES_SHOWN]

    def fail(self, name: str, reason: str) -> None:
        self.failures += 1
        if len(self.failed) < FAILURES_SHOWN:
            self.failed.append((name, reason))

    def packed(self) -> dict[str, Any]:
        failed = [[packed_name(name), reason] for name, reason in self.failed]
        return {"done": self.done, "skipped": self.skipped, "failures": self.failures, "failed": failed}

    @classmethod
    def unpacked(cls, kept: dict[str, Any]) -> Tally:
        failed = [(named(name), reason) for name, reason in kept["failed"]]
        return cls(kept["done"], kept["skipped"], kept["failures"], failed)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one is. `id` is the job's, None if there was no need of one; `total` is what the page had counted."""

    id: UUID | None
    verb: str
    state: str
    tally: Tally
    total: int
    cancelled: bool
    error: str

    @property
    def under_way(self) -> bool:
        return self.state in _UNDER_WAY

    @property
    def percent(self) -> int:
        if not self.under_way and not self.cancelled and not self.error:
            return 100
        seen = self.tally.done + self.tally.skipped + self.tally.failures
        return min(99, 100 * seen // self.total) if self.total else 0

    @property
    def sentence(self) -> str:
        tally, past = self.tally, _PAST[self.verb]
        seen = tally.done + tally.skipped + tally.failures
        # Who asked before all was counted gets no total, which would always be what is done.
        done = f"{tally.done:,} of {max(self.total, seen):,} objects {past}" if self.total else f"{tally.done:,} objects {past} so far"
        rest = f"; {tally.skipped:,} skipped, since their names are taken" if tally.skipped else ""
        rest += f"; {tally.failures:,} could not be {past}" if tally.failures else ""
        if self.under_way:
            return f"{'Stopping: ' if self.cancelled else ''}{done}{rest}."
        if self.error:
            return f"It broke off: {self.error} {done}{rest}."
        if self.cancelled:
            return f"Stopped: {done}{rest}."
        return f"{tally.done:,} object{'' if tally.done == 1 else 's'} {past}{rest}."


def _progress(job: Job) -> Progress:
    about = job.arguments
    return Progress(
        id=job.id,
        verb=about["verb"],
        state=job.state,
        tally=Tally.unpacked(about["tally"]),
        total=about["total"],
        cancelled=bool(about.get("cancel")),
        error=job.error if job.state == Job.State.FAILED else "",
    )


# --- verbs


def begin(ctx: Context, bucket: Bucket, client: ObjectClient, task: Task, *, total: int = 0) -> Progress:
    """Do it, or as much of it as a person waits for, and let a job do the rest. `client` acts as who asks."""
    ctx.require("buckets.manage")
    task.check(clients.s3_name(bucket))
    cursor, tally = Cursor(), Tally()
    until = time.monotonic() + ROUND_SECONDS
    for found in _steps(client, clients.s3_name(bucket), task, cursor):
        tally.add(found)
        if time.monotonic() > until:
            break
    if cursor.source >= len(task.sources):
        return Progress(None, task.verb, Job.State.DONE, tally, total, cancelled=False, error="")
    about = task.packed() | {"cursor": cursor.packed(), "tally": tally.packed(), "total": total, "role": ctx.role or ""}
    with transaction.atomic():
        if not Bucket.objects.select_for_update().filter(pk=bucket.pk).exists():
            raise NotFound("The bucket was deleted in the meantime.")
        if _jobs(bucket).filter(state__in=_UNDER_WAY).count() >= JOBS_MAX:
            raise Conflict(f"{JOBS_MAX} such things are under way in {bucket.name}. {tally.done:,} objects were done; ask again later.")
        job = jobs.enqueue(BULK, bucket.id, actor=ctx.actor, project_id=bucket.project_id, arguments=about)
        events.publish(ctx.actor, f"bulk-{task.verb}", "bucket", bucket, project_id=bucket.project_id)
    return _progress(job)


def find(ctx: Context, bucket: Bucket, id: UUID) -> Progress:
    """Raises NotFound for one that is not this bucket's."""
    ctx.require("buckets.list")
    job = _jobs(bucket).filter(pk=id).first()
    if job is None:
        raise NotFound("There is no such work on this bucket.")
    return _progress(job)


def under_way(ctx: Context, bucket: Bucket) -> list[Progress]:
    """Those that go on, in the order in which they take their turn."""
    ctx.require("buckets.list")
    return [_progress(job) for job in _jobs(bucket).filter(state__in=_UNDER_WAY).order_by("created_at")[:JOBS_MAX]]


def cancel(ctx: Context, bucket: Bucket, id: UUID) -> Progress:
    """Stop after the page that is on its way; what is done stays done. Raises NotFound; one that has ended stays as it is."""
    ctx.require("buckets.manage")
    with transaction.atomic():
        job = _jobs(bucket).select_for_update().filter(pk=id).first()
        if job is None:
            raise NotFound("There is no such work on this bucket.")
        if job.state in _UNDER_WAY and not job.arguments.get("cancel"):
            job.arguments = {**job.arguments, "cancel": True}
            job.save(update_fields=["arguments"])
            events.publish(ctx.actor, "bulk-stop", "bucket", bucket, project_id=bucket.project_id)
    return _progress(job)


def _jobs(bucket: Bucket) -> Any:
    return Job.objects.filter(kind=BULK, subject_id=bucket.id)


# --- walking and working


def pages(
    client: ObjectClient, bucket: str, sources: tuple[str, ...], cursor: Cursor, *, versions: bool, size: int
) -> Iterator[tuple[str, list[Entry]]]:
    """(source, entries) page by page from the cursor on, which moves along: it names the page after the one given."""
    while cursor.source < len(sources):
        source = sources[cursor.source]
        whole = source.endswith("/")
        if versions:
            page = client.list_versions(bucket, prefix=source, after=cursor.after, after_version=cursor.version, limit=size)
            entries = page.entries if whole else [one for one in page.entries if one.key == source]
            more = bool(page.next) and (whole or page.next == source)
            last, version = page.next, page.next_version
        elif whole:
            page = client.list_objects(bucket, prefix=source, after=cursor.after, limit=size)
            entries, more, version = page.entries, bool(page.next), ""
            last = entries[-1].key if entries else ""
        else:
            entries, more, last, version = _one(client, bucket, source), False, "", ""
        if more:
            cursor.after, cursor.version = last, version
        else:
            cursor.next_source()
        yield source, entries


def _one(client: ObjectClient, bucket: str, key: str) -> list[Entry]:
    try:
        head = client.head(bucket, key)
    except NotFound:
        return []
    return [Entry(key, head.size, head.modified, head.etag, version=head.version)]


def _steps(client: ObjectClient, bucket: str, task: Task, cursor: Cursor) -> Iterator[Tally]:
    """The task, a page at a time. When one is given, it has been done, and the cursor is behind it."""
    if task.verb == DELETING:
        for _, entries in pages(client, bucket, task.sources, cursor, versions=task.versions, size=DELETE_MAX):
            yield _delete(client, bucket, entries, versions=task.versions)
        return
    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        for source, entries in pages(client, bucket, task.sources, cursor, versions=False, size=COPY_PAGE):
            tally = Tally()
            for one in pool.map(lambda entry, source=source: _copy(client, bucket, task, source, entry), entries):  # type: ignore[misc]
                tally.add(one)
            yield tally


def _delete(client: ObjectClient, bucket: str, entries: list[Entry], *, versions: bool) -> Tally:
    if not entries:
        return Tally()
    lost = client.delete_many(bucket, [(one.key, one.version if versions else "") for one in entries])
    if len(lost) == len(entries) and all(one.code in ("InternalError", "SlowDown", "ServiceUnavailable") for one in lost):
        raise Unavailable(lost[0].message or "The object store does not answer.")
    tally = Tally(done=len(entries) - len(lost))
    for one in lost:
        tally.fail(one.key, _why_kept(one.code, one.message))
    return tally


def _why_kept(code: str, message: str) -> str:
    return message if code != "AccessDenied" or "lock" in message.lower() or "ret" in message.lower() else "You may not delete it."


def _copy(client: ObjectClient, bucket: str, task: Task, source: str, entry: Entry) -> Tally:
    tally = Tally()
    try:
        _copy_one(client, bucket, task, entry, task.place_of(source, entry.key))
        tally.done = 1
    except PreconditionFailed:
        tally.skipped = 1
    except NotFound:
        tally.done = 1  # Gone meanwhile; there is nothing left to do.
    except Unavailable:
        raise  # A job tries the page again later.
    except CloudError as error:
        tally.fail(entry.key, error.message)
    return tally


def _copy_one(client: ObjectClient, bucket: str, task: Task, entry: Entry, to: str) -> None:
    """Raises PreconditionFailed when something is there, or the source changed meanwhile. A source goes only as it was copied."""
    if entry.size > COPY_BYTES_MAX:
        if not task.replace and _one(client, task.target, to):
            raise PreconditionFailed("It is there already.")
        head = client.head(bucket, entry.key)
        client.copy_in_parts(task.target, to, source_bucket=bucket, source_key=entry.key, head=head)
    else:
        given = {"x-amz-copy-source-if-match": f'"{entry.etag}"'} | ({} if task.replace else {"if-none-match": "*"})
        client.copy(task.target, to, source_bucket=bucket, source_key=entry.key, headers=given)
    if task.verb == MOVING:
        client.delete(bucket, entry.key, headers={"if-match": f'"{entry.etag}"'})


# --- the job


def _work(run: Run) -> None:
    bucket = Bucket.objects.select_related("project").filter(pk=run.subject_id).first()
    if bucket is None or run.job.actor_id is None:
        return  # Without its bucket there is nothing left to do.
    about = Job.objects.values_list("arguments", flat=True).get(pk=run.job.pk)
    task, cursor = Task.unpacked(about), Cursor.unpacked(about["cursor"])
    client = clients.of_user(run.job.actor_id, bucket.project_id, role=about["role"])
    until = time.monotonic() + TURN_SECONDS
    if about.get("cancel"):
        return
    for tally in _steps(client, clients.s3_name(bucket), task, cursor):
        if _advance(run, bucket, tally, cursor):
            return
        if cursor.source < len(task.sources) and time.monotonic() > until:
            raise Later(1)


def _advance(run: Run, bucket: Bucket, found: Tally, cursor: Cursor) -> bool:
    """Write down how far it is, and return whether it is to stop; under the row's lock, since stopping is written there as well."""
    with transaction.atomic():
        about: dict[str, Any] = Job.objects.select_for_update().values_list("arguments", flat=True).get(pk=run.job.pk)
        tally = Tally.unpacked(about["tally"])
        tally.add(found)
        Job.objects.filter(pk=run.job.pk).update(arguments=about | {"tally": tally.packed(), "cursor": cursor.packed()})
        touch("bucket", bucket.id, bucket.project_id)
    return bool(about.get("cancel"))


def _finish(run: Run) -> None:
    bucket = Bucket.objects.filter(pk=run.subject_id).first()
    if bucket is not None:
        job = Job.objects.get(pk=run.job.pk)
        job.state = Job.State.DONE
        sentence = _progress(job).sentence
        events.publish(run.actor, "bulk-done", "bucket", bucket, project_id=bucket.project_id, detail=sentence)


def _failed(run: Run, sentence: str) -> None:
    """The bucket's page shows the sentence; what is done is done, and it can be begun again."""


KIND = Kind(
    name=BULK,
    noun="bucket",
    steps=(Step("Working on its objects", _work), Step("Closing the books", _finish)),
    on_failed=_failed,
)


def register() -> None:
    jobs.registry.add([KIND])
