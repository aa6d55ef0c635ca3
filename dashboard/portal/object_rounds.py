"""Many objects at once, from a bucket's page: counted, deleted, copied, moved. The page asks round by round and shows how far it is;
each round is bounded, says where the next one begins, and may be repeated: what is gone or there already is not done twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.http import HttpRequest
from django.urls import path

from cloudbox.common.errors import CloudError, Invalid, NotFound, PreconditionFailed
from cloudbox.common.object_client import COPY_BYTES_MAX, DELETE_MAX, Entry
from dashboard.object_names import leaf, shown, unwire, wire
from dashboard.portal.object_store import Body, Place, answers_json, place
from storage import buckets

SOURCES_MAX = 1000
ROUND_SECONDS = 2.0
COUNT_PAGES = 10
COPIES_AT_ONCE = 8
COPY_PAGE = 64
FAILURES_SHOWN = 20


class Cursor:
    """Where a walk over the sources stands: in the how-manieth source, behind which name (and version)."""

    def __init__(self, text: str, sources: int) -> None:
        self.index, self.after, self.version = 0, "", ""
        if not text:
            return
        try:
            index, after, version = json.loads(text)
            self.after = unwire(after)
        except (ValueError, TypeError, AttributeError) as error:
            raise Invalid("The page lost its place. Load it again.") from error
        if not isinstance(index, int) or not 0 <= index <= sources or not isinstance(version, str):
            raise Invalid("The page lost its place. Load it again.")
        self.index, self.version = index, version

    def next_source(self) -> None:
        self.index, self.after, self.version = self.index + 1, "", ""

    def __str__(self) -> str:
        return json.dumps([self.index, wire(self.after), self.version])


def _sources(body: Body) -> list[str]:
    """Objects, and folders with their slash. Names of both kinds are told apart by it: a folder's own mark goes with the folder."""
    found = body.keys("names", SOURCES_MAX)
    if not found or not all(found):
        raise Invalid("Say which objects.", field="names")
    return found


def _pages(where: Place, sources: list[str], cursor: Cursor, *, versions: bool, size: int) -> Iterator[tuple[str, list[Entry]]]:
    """(source, entries) page by page from the cursor on, which moves along: it names the page after the one given."""
    client, bucket = where.client, where.name
    while cursor.index < len(sources):
        source = sources[cursor.index]
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
            entries, more, last, version = _one(where, source), False, "", ""
        if more:
            cursor.after, cursor.version = last, version
        else:
            cursor.next_source()
        if entries:
            yield source, entries


def _one(where: Place, key: str) -> list[Entry]:
    try:
        head = where.client.head(where.name, key)
    except NotFound:
        return []
    return [Entry(key, head.size, head.modified, head.etag, version=head.version)]


def _answer(cursor: Cursor, sources: list[str], **found: Any) -> dict[str, Any]:
    return found | {"cursor": None if cursor.index == len(sources) else str(cursor)}


@answers_json
def count(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """How many objects (or versions) and bytes lie below: asked before anything is lost."""
    sources = _sources(body)
    cursor = Cursor(body.text("cursor"), len(sources))
    objects = bytes_ = pages = 0
    until = time.monotonic() + ROUND_SECONDS
    for _, entries in _pages(where, sources, cursor, versions=body.flag("versions"), size=1000):
        objects, bytes_, pages = objects + len(entries), bytes_ + sum(one.size for one in entries), pages + 1
        if pages >= COUNT_PAGES or time.monotonic() > until:
            break
    return _answer(cursor, sources, objects=objects, bytes=bytes_)


@answers_json
def delete(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """Delete what lies below; with `versions` every version of it and every mark of a deletion, for good."""
    sources = _sources(body)
    cursor = Cursor(body.text("cursor"), len(sources))
    versions = body.flag("versions")
    done, failed = 0, []
    until = time.monotonic() + ROUND_SECONDS
    for _, entries in _pages(where, sources, cursor, versions=versions, size=DELETE_MAX):
        wanted = [(one.key, one.version if versions else "") for one in entries]
        lost = where.client.delete_many(where.name, wanted)
        done += len(wanted) - len(lost)
        failed += [{"name": shown(one.key), "reason": _why_kept(one.code, one.message)} for one in lost]
        if time.monotonic() > until:
            break
    return _answer(cursor, sources, done=done, failed=failed[:FAILURES_SHOWN], failures=len(failed))


def _why_kept(code: str, message: str) -> str:
    return message if code != "AccessDenied" or "lock" in message.lower() or "ret" in message.lower() else "You may not delete it."


@answers_json
def copy(where: Place, body: Body, request: HttpRequest) -> dict[str, Any]:
    """Copy what lies below into another folder or bucket, or move it there.

    `base` is the folder that the sources are seen in: what follows it is kept below `folder`; `name` renames a single source. What is
    there already is skipped, unless `replace`. A moved source is deleted only as it was when it was copied.
    """
    sources = _sources(body)
    cursor = Cursor(body.text("cursor"), len(sources))
    target = place(where.ctx, body.text("bucket")) if body.text("bucket") else where
    base, folder, name = unwire(body.text("base")), unwire(body.text("folder")), unwire(body.text("name"))
    move, replace = body.flag("move"), body.flag("replace")
    if folder and not folder.endswith("/"):
        folder += "/"
    if name and len(sources) > 1:
        raise Invalid("Only one thing at a time can be renamed.", field="name")

    def target_of(source: str, key: str) -> str:
        if not name:
            return folder + leaf(key, base)
        return folder + (name.rstrip("/") + "/" + key.removeprefix(source) if source.endswith("/") else name)

    for source in sources:
        to = target_of(source, source)
        if target.row.pk == where.row.pk and (to == source or (source.endswith("/") and to.startswith(source))):
            raise Invalid(f"{shown(source)} cannot be put into itself. Choose another place.", field="folder")
        unwire(wire(to))  # Its length.

    done = skipped = bytes_ = 0
    failed = []

    def one(source: str, entry: Entry) -> tuple[str, int, str, str]:
        try:
            _copy_one(where, target, entry, target_of(source, entry.key), move=move, replace=replace)
        except PreconditionFailed:
            return "skipped", 0, "", ""
        except NotFound:
            return "done", 0, "", ""  # Gone meanwhile; there is nothing left to do.
        except CloudError as error:
            return "failed", 0, entry.key, error.message
        return "done", entry.size, "", ""

    until = time.monotonic() + ROUND_SECONDS
    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        for source, entries in _pages(where, sources, cursor, versions=False, size=COPY_PAGE):
            for outcome, size, key, message in pool.map(lambda entry, source=source: one(source, entry), entries):  # type: ignore[misc]
                done, skipped, bytes_ = done + (outcome == "done"), skipped + (outcome == "skipped"), bytes_ + size
                failed += [{"name": shown(key), "reason": message}] if outcome == "failed" else []
            if time.monotonic() > until:
                break
    counted = {"done": done, "skipped": skipped, "bytes": bytes_, "failed": failed[:FAILURES_SHOWN], "failures": len(failed)}
    return _answer(cursor, sources, **counted)


def _copy_one(where: Place, target: Place, entry: Entry, to: str, *, move: bool, replace: bool) -> None:
    """Raises PreconditionFailed when something is there, or the source changed meanwhile."""
    client, bucket = where.client, where.name
    if entry.size > COPY_BYTES_MAX:
        if not replace and _one(target, to):
            raise PreconditionFailed("It is there already.")
        head = client.head(bucket, entry.key)
        client.copy_in_parts(target.name, to, source_bucket=bucket, source_key=entry.key, head=head)
    else:
        given = {"x-amz-copy-source-if-match": f'"{entry.etag}"'} | ({} if replace else {"if-none-match": "*"})
        client.copy(target.name, to, source_bucket=bucket, source_key=entry.key, headers=given)
    if move:
        client.delete(bucket, entry.key, headers={"if-match": f'"{entry.etag}"'})


def targets(where: Place) -> list[tuple[str, bool]]:
    """(name, is it this one) of the buckets that something may be copied to."""
    rows = buckets.list_buckets(where.ctx).values_list("name", flat=True)[:500]
    return [(name, name == where.row.name) for name in rows]


_BASE = "/buckets/<str:name>/o"
urlpatterns = [
    path(f"{_BASE}/count", count, name="objects-count"),
    path(f"{_BASE}/delete", delete, name="objects-delete"),
    path(f"{_BASE}/copy", copy, name="objects-copy"),
]
