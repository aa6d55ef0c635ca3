"""Many objects at once, from a bucket's page: counted, deleted, copied, moved (storage.bulk). Counting goes round by round, as the
page asks; what takes longer than a moment to do becomes a job, which the page follows, also when it has been left and is opened again.
"""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import path

from cloudbox.common.errors import Invalid, NotFound
from dashboard.object_names import shown, unwire, wire
from dashboard.portal.object_store import Body, Place, answers_json, place
from storage import buckets, bulk
from storage.bulk import Cursor, Progress, Task

SOURCES_MAX = 1000
ROUND_SECONDS = 2.0
COUNT_PAGES = 10
TOTAL_MAX = 2**53


def _cursor(text: str, sources: int) -> Cursor:
    if not text:
        return Cursor()
    try:
        index, after, version = json.loads(text)
        after = unwire(after)
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid("The page lost its place. Load it again.") from error
    if not isinstance(index, int) or not 0 <= index <= sources or not isinstance(version, str):
        raise Invalid("The page lost its place. Load it again.")
    return Cursor(index, after, version)


def _sources(body: Body) -> tuple[str, ...]:
    """Objects, and folders with their slash. Names of both kinds are told apart by it: a folder's own mark goes with the folder."""
    found = body.keys("names", SOURCES_MAX)
    if not found or not all(found):
        raise Invalid("Say which objects.", field="names")
    return tuple(found)


@answers_json
def count(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """How many objects (or versions) and bytes lie below: asked before anything is lost."""
    sources = _sources(body)
    cursor = _cursor(body.text("cursor"), len(sources))
    objects = bytes_ = seen = 0
    until = time.monotonic() + ROUND_SECONDS
    for _, entries in bulk.pages(where.client, where.name, sources, cursor, versions=body.flag("versions"), size=1000):
        objects, bytes_, seen = objects + len(entries), bytes_ + sum(one.size for one in entries), seen + 1
        if seen >= COUNT_PAGES or time.monotonic() > until:
            break
    at = json.dumps([cursor.source, wire(cursor.after), cursor.version])
    return {"objects": objects, "bytes": bytes_, "cursor": at if cursor.source < len(sources) else None}


@answers_json
def delete(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """Delete what lies below; with `versions` every version of it and every mark of a deletion, for good."""
    task = Task(verb=bulk.DELETING, sources=_sources(body), versions=body.flag("versions"))
    return _begin(where, task, body)


@answers_json
def copy(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """Copy what lies below into another folder or bucket, or move it there.

    `base` is the folder that the sources are seen in: what follows it is kept below `folder`; `name` renames a single source. What is
    there already is skipped, unless `replace`.
    """
    target = place(where.ctx, body.text("bucket")) if body.text("bucket") else where
    folder = unwire(body.text("folder"))
    task = Task(
        verb=bulk.MOVING if body.flag("move") else bulk.COPYING,
        sources=_sources(body),
        target=target.name,
        base=unwire(body.text("base")),
        folder=folder + "/" if folder and not folder.endswith("/") else folder,
        name=unwire(body.text("name")),
        replace=body.flag("replace"),
    )
    return _begin(where, task, body)


def _begin(where: Place, task: Task, body: Body) -> dict[str, Any]:
    return _shown(bulk.begin(where.ctx, where.row, where.client, task, total=body.number("total", TOTAL_MAX, default=0)))


@answers_json
def work(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """What is under way; and how far those are that the page knows of (`jobs`), even if they have ended meanwhile."""
    found = {one.id: one for one in bulk.under_way(where.ctx, where.row)}
    for id in body.texts("jobs", bulk.JOBS_MAX * 2):
        if (job := _id(id)) not in found:
            found[job] = bulk.find(where.ctx, where.row, job)
    return {"jobs": [_shown(one) for one in found.values()]}


@answers_json
def stop(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    return _shown(bulk.cancel(where.ctx, where.row, _id(body.text("job"))))


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("There is no such work on this bucket.") from error


def _shown(found: Progress) -> dict[str, Any]:
    tally = found.tally
    return {
        "job": str(found.id) if found.id else None,
        "verb": found.verb,
        "going": found.under_way,
        "done": tally.done,
        "skipped": tally.skipped,
        "failures": tally.failures,
        "failed": [{"name": shown(name), "reason": reason} for name, reason in tally.failed],
        "percent": found.percent,
        "stopped": found.cancelled,
        "error": found.error,
        "sentence": found.sentence,
    }


def targets(where: Place) -> list[tuple[str, bool]]:
    """(name, is it this one) of the buckets that something may be copied to."""
    rows = buckets.list_buckets(where.ctx).values_list("name", flat=True)[:500]
    return [(name, name == where.row.name) for name in rows]


_BASE = "/buckets/<str:name>/o"
urlpatterns = [
    path(f"{_BASE}/count", count, name="objects-count"),
    path(f"{_BASE}/delete", delete, name="objects-delete"),
    path(f"{_BASE}/copy", copy, name="objects-copy"),
    path(f"{_BASE}/rounds", work, name="objects-work"),
    path(f"{_BASE}/rounds/stop", stop, name="objects-work-stop"),
]
