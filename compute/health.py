"""How the box is: its host, its processes, its queue and its reconcilers."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Q, Sum

from cloudbox.common.models import Job
from compute import image_copies
from compute.models import Instance
from identity.context import Context

HEARTBEAT = "worker-heartbeat"
HEARTBEAT_SECONDS_MAX = 20


@dataclass(frozen=True)
class HostLine:
    """A host and how much of it is given away."""

    name: str
    accelerator: str
    hypervisor: str
    vcpus: int
    vcpus_used: int
    memory_mib: int
    memory_used_mib: int
    disk_gib: int
    disk_free_gib: int
    disk_used_gib: int
    instances: int
    running: int
    load: float


@dataclass(frozen=True)
class Component:
    """One process or store: ok, warn or bad, and a sentence that says why."""

    name: str
    state: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobLine:
    """A job as people read it: what it is doing (or why it failed), to what, and where that is."""

    id: UUID
    what: str
    state: str
    sentence: str
    percent: int
    attempts: int
    subject_id: UUID
    subject: str
    project: str
    project_slug: str
    began: dt.datetime
    changed: dt.datetime

    @property
    def is_retrying(self) -> bool:
        return bool(self.attempts) and self.state != Job.State.FAILED


def hosts(ctx: Context) -> list[HostLine]:
    """The host under the box, from what the worker last told and what the tables say is promised."""
    ctx.require("box.look")
    beat = cache.get(HEARTBEAT) or {}
    disk = shutil.disk_usage(settings.HOME)
    rows = Instance.objects.exclude(status=Instance.Status.DELETED)
    used = rows.aggregate(
        n=Count("id"),
        running=Count("id", filter=Q(status=Instance.Status.RUNNING)),
        vcpus=Sum("vcpus"),
        memory=Sum("memory_mib"),
        disk=Sum("disk_gib"),
    )
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return [
        HostLine(
            name=beat.get("hostname") or os.uname().nodename,
            accelerator=settings.ACCELERATOR,
            hypervisor=beat.get("hypervisor", ""),
            vcpus=os.cpu_count() or 1,
            vcpus_used=used["vcpus"] or 0,
            memory_mib=pages * size // 2**20,
            memory_used_mib=used["memory"] or 0,
            disk_gib=disk.total // 2**30,
            disk_free_gib=disk.free // 2**30,
            disk_used_gib=used["disk"] or 0,
            instances=used["n"],
            running=used["running"],
            load=os.getloadavg()[0],
        )
    ]


def components(ctx: Context) -> list[Component]:
    """Every part that must work, with the evidence."""
    ctx.require("box.look")
    return [_database(), _redis(), *_worker(), _queue(), _disk(), _images()]


def jobs(ctx: Context, *, failed: bool = False, limit: int = 50) -> list[JobLine]:
    """What moves, oldest first; or what failed, newest first."""
    ctx.require("box.look")
    if failed:
        rows = [*Job.objects.filter(state=Job.State.FAILED).order_by("-updated_at")[:limit]]
    else:
        rows = [*Job.objects.exclude(state__in=(Job.State.DONE, Job.State.FAILED)).order_by("created_at")[:limit]]
    about = (
        Instance.objects.filter(id__in={row.subject_id for row in rows})
        .select_related("project")
        .only("name", "project__name", "project__slug")
    )
    found = {instance.id: instance for instance in about}
    return [_line(row, found.get(row.subject_id)) for row in rows]


def _line(row: Job, instance: Instance | None) -> JobLine:
    return JobLine(
        id=row.id,
        what=row.kind.replace("-", " ").capitalize(),
        state=row.state,
        sentence=row.error if row.error else row.doing,
        percent=round(100 * row.step / row.steps) if row.steps else 0,
        attempts=row.attempts,
        subject_id=row.subject_id,
        subject=instance.name if instance else str(row.subject_id)[:8],
        project=instance.project.name if instance else "",
        project_slug=instance.project.slug if instance else "",
        began=row.created_at,
        changed=row.updated_at,
    )


def _database() -> Component:
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database()), current_setting('server_version')")
        size, version = cursor.fetchone()
    spent = (time.perf_counter() - started) * 1000
    return Component("PostgreSQL", "ok", f"Version {version}, {size // 2**20} MiB, answered in {spent:.1f} ms.")


def _redis() -> Component:
    started = time.perf_counter()
    try:
        cache.set("health", 1, 10)
    except Exception as error:  # whatever the client raises, the answer is the same
        return Component("Redis", "bad", f"Does not answer: {error}. Live updates and sign-in limits wait for it.")
    return Component("Redis", "ok", f"Answered in {(time.perf_counter() - started) * 1000:.1f} ms.")


def _worker() -> list[Component]:
    beat = cache.get(HEARTBEAT)
    if not beat or time.time() - beat["at"] > HEARTBEAT_SECONDS_MAX:
        return [Component("Worker", "bad", "No sign of life. Nothing is built or deleted until it is back: bin/cloudbox status.")]
    parts = [Component("Worker", "ok", f"Alive {time.time() - beat['at']:.0f} s ago, up {_span(beat['up'])}.")]
    state = "ok" if beat["libvirt"] else "bad"
    sentence = (
        f"{beat['hypervisor']}, guests run by {settings.ACCELERATOR.upper()}." if beat["libvirt"] else "Does not answer; guests run on."
    )
    parts.append(Component("Hypervisor", state, sentence))
    for name, last in sorted(beat["rounds"].items()):
        ok = not last["error"]
        said = f"Last round {time.time() - last['at']:.0f} s ago, took {last['seconds']:.2f} s." if ok else f"Failed: {last['error']}"
        parts.append(Component(f"Reconciler {name}", "ok" if ok else "warn", said))
    return parts


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _queue() -> Component:
    counts = dict(Job.objects.exclude(state=Job.State.DONE).values_list("state").annotate(n=Count("id")).order_by())
    waiting, failed = counts.get(Job.State.QUEUED, 0), counts.get(Job.State.FAILED, 0)
    running = counts.get(Job.State.RUNNING, 0) + counts.get(Job.State.UNDOING, 0)
    state = "warn" if waiting > 50 else "ok"
    return Component("Jobs", state, f"{running} running, {waiting} waiting, {failed} failed in 30 days.")


def _images() -> Component:
    found = image_copies.census()
    here = f"{found.cached} on this host ({_size(found.cached_bytes)})"
    if not found.where:
        return Component("Images", "ok", "They lie on this host alone: the box runs no object store.")
    if found.waiting:
        waiting = "1 file waits" if found.waiting == 1 else f"{found.waiting} files wait"
        return Component("Images", "warn", f"{waiting} for a copy in the object store; until then this host has the only one.")
    files = "1 file" if found.stored == 1 else f"{found.stored} files"
    return Component("Images", "ok", f"{files} ({_size(found.stored_bytes)}) in the bucket {found.where}, {here}.")


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _disk() -> Component:
    disk = shutil.disk_usage(settings.HOME)
    percent = 100 * disk.used // disk.total
    state = "bad" if percent >= 97 else "warn" if percent >= 90 else "ok"
    return Component("Disk", state, f"{disk.free // 2**30} GiB free of {disk.total // 2**30} GiB ({percent} % used).")
