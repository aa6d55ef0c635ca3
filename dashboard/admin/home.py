"""The home of the console: the verdict, what needs a person, the numbers, what moves, what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from compute import health, instances
from compute.health import Component, HostLine
from dashboard.admin import tools
from dashboard.shell import admin_page, page
from identity import activity, projects, quotas, users
from identity.context import Context
from storage import health as store

SHOWN_MAX = 5
EVENTS = 10
TIGHT_PERCENT = 90
RECONCILER = "Reconciler "  # what the names of their components begin with
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Todo:
    """A sentence that needs a person, and the one button that settles it."""

    state: str
    word: str
    subject: str
    sentence: str
    button: str
    url: str


@dataclass(frozen=True)
class Number:
    label: str
    value: str
    of: str
    percent: int | None
    url: str


def verdict(parts: Sequence[Component], watch: int) -> str:
    """One sentence: healthy or not, and how many things there are to watch."""
    down = [part.name for part in parts if part.state == "bad"]
    if down:
        named = down[0] if len(down) == 1 else f"{', '.join(down[:-1])} and {down[-1]}"
        return f"Not healthy: {named} need{'s' if len(down) == 1 else ''} a person"
    if not watch:
        return "Healthy"
    said = _WORDS[watch] if watch < len(_WORDS) else str(watch)
    return f"Healthy, with {said} thing{'' if watch == 1 else 's'} to watch"


def tiles(parts: Sequence[Component]) -> list[Component]:
    """The parts for the home page, where reconcilers that are in step need only one tile."""
    calm = [part for part in parts if part.name.startswith(RECONCILER) and part.state == "ok"]
    rest = [part for part in parts if part not in calm]
    if calm:
        rest.append(Component("Reconcilers", "ok", f"{len(calm)} in step."))
    return rest


def todos(ctx: Context, parts: Sequence[Component]) -> list[Todo]:
    """From the parts of the box, instances in error, failed jobs that no instance tells of, and quotas that are nearly used up."""
    found = [
        Todo(part.state, "Failed" if part.state == "bad" else "Watch", part.name, part.sentence, "See the evidence", "/admin/health")
        for part in parts
        if part.state != "ok"
    ]
    failing = [*instances.list(ctx, status="error", all_projects=True)[: SHOWN_MAX + 1]]
    for instance in failing[:SHOWN_MAX]:
        url = f"/p/{instance.project.slug}/instances/{instance.id}"
        sentence = f"in {instance.project.name}: {instance.error or 'it is in error.'}"
        found.append(Todo("error", "Error", instance.name, sentence, f"Open {instance.name}", url))
    if len(failing) > SHOWN_MAX:
        found.append(Todo("error", "Error", "More instances", "are in error.", "Show them all", "/admin/instances?status=error"))
    told = {instance.id for instance in failing}
    lost = [job for job in health.jobs(ctx, failed=True, limit=20) if job.subject_id not in told and not job.project_slug]
    if lost:
        found.append(Todo("warn", "Jobs", f"{len(lost)} failed", f"The latest: {lost[0].sentence}", "See the jobs", "/admin/health#failed"))
    return found + _tight(ctx)


def _tight(ctx: Context) -> list[Todo]:
    rows = [*projects.list(ctx, all=True)[:200]]
    lines = quotas.of_all([project.id for project in rows])
    found = []
    for project in rows:
        tight = [line for line in lines[project.id] if line.limit and line.percent >= TIGHT_PERCENT]
        if tight:
            said = ", ".join(f"{line.used} of {line.limit} {line.unit + ' of ' if line.unit else ''}{_noun(line.label)}" for line in tight)
            found.append(
                Todo("warn", "Nearly full", project.name, f"uses {said}.", "Set the quota", f"/admin/projects/{project.slug}/quota")
            )
    return found[:SHOWN_MAX]


def _noun(label: str) -> str:
    return label if label == "vCPUs" else label.lower()


def numbers(host: HostLine, project_count: int, user_count: int) -> list[Number]:
    memory = _share(host.memory_used_mib, host.memory_mib)
    return [
        Number("Instances running", str(host.running), f"of {host.instances}", None, "/admin/instances"),
        Number("Memory promised", _gib(host.memory_used_mib), f"of {_gib(host.memory_mib)}", memory, "/admin/hosts"),
        Number("vCPUs promised", str(host.vcpus_used), f"on {host.vcpus} cores", None, "/admin/hosts"),
        Number("Disk free", f"{host.disk_free_gib} GiB", f"of {host.disk_gib}", None, "/admin/hosts"),
        Number("Projects", str(project_count), "", None, "/admin/projects"),
        Number("Users", str(user_count), "", None, "/admin/users"),
    ]


def _gib(mib: int) -> str:
    return f"{mib} MiB" if mib < 1024 else f"{mib / 1024:.3g} GiB"


def _share(part: int, whole: int) -> int:
    return min(100, round(100 * part / whole)) if whole else 0


def parts_of(ctx: Context) -> list[Component]:
    """Every part that must work: those of the compute manager, and those of the object store."""
    stored = [Component(part.name, part.state, part.sentence, part.facts) for part in store.components(ctx)]
    return [*health.components(ctx), *stored]


@admin_page
def home(request: HttpRequest, ctx: Context) -> HttpResponse:
    events, since = activity.latest(ctx, EVENTS, all_projects=True)  # first: what happens meanwhile comes by the live channel
    parts, (host, *_) = parts_of(ctx), health.hosts(ctx)
    todo = todos(ctx, parts)
    project_count, user_count = projects.list(ctx, all=True).count(), users.list(ctx).count()
    shown: dict[str, Any] = {
        "verdict": verdict(parts, len(todo)),
        "host": host,
        "todo": todo,
        "parts": tiles(parts),
        "numbers": numbers(host, project_count, user_count),
        "project_count": project_count,
        "moving": health.jobs(ctx, limit=10),
        "events": events,
        "live": tools.live("page", since),
    }
    return page(request, "admin/home.html", shown)


urlpatterns = [path("", home, name="admin-home")]
