"""How much a project may use. Charged and released in the transaction that changes the resource; `recount` proves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest

from cloudbox.common import events
from cloudbox.common.errors import Invalid, QuotaExceeded
from identity.context import Context
from identity.models import Project, Quota


@dataclass(frozen=True)
class Resource:
    label: str
    unit: str
    default: int

    @property
    def noun(self) -> str:
        """The label inside a sentence."""
        return self.label if self.label == "vCPUs" else self.label[0].lower() + self.label[1:]


RESOURCES: dict[str, Resource] = {
    "instances": Resource("Instances", "", 10),
    "vcpus": Resource("vCPUs", "", 20),
    "memory_mib": Resource("Memory", "MiB", 16 * 1024),
    "disk_gib": Resource("Disk", "GiB", 200),
    "volumes": Resource("Volumes", "", 20),
    "volume_gib": Resource("Volume storage", "GiB", 500),
    "snapshots": Resource("Snapshots", "", 100),
    "snapshot_gib": Resource("Snapshot storage", "GiB", 1000),
    "networks": Resource("Networks", "", 5),
    "ports": Resource("Ports", "", 40),
    "routers": Resource("Routers", "", 5),
    "floating_ips": Resource("Floating IPs", "", 5),
    "load_balancers": Resource("Load balancers", "", 5),
    "security_groups": Resource("Security groups", "", 20),
    "keypairs": Resource("Key pairs", "", 50),
    "buckets": Resource("Buckets", "", 100),
    "objects": Resource("Objects", "", 10_000_000),
    "object_gib": Resource("Object storage", "GiB", 100),
}
LIMIT_MAX = 2**40

# Who can count what is really used: an app registers its function for the resources it charges.
counters: list[Callable[[UUID], Mapping[str, int]]] = []


@dataclass(frozen=True)
class QuotaLine:
    resource: str
    label: str
    used: int
    limit: int | None
    unit: str

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.used / self.limit)) if self.limit else (0 if self.limit is None else 100)

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)


def open_for(project: Project) -> None:
    """The rows of a new project, with default limits."""
    Quota.objects.bulk_create(
        [Quota(project=project, resource=name, limit=resource.default) for name, resource in RESOURCES.items()], ignore_conflicts=True
    )


def charge(project_id: UUID, amounts: Mapping[str, int]) -> None:
    """Take the amounts, or raise QuotaExceeded; in the caller's transaction, in one order, so that none waits in a ring."""
    for resource in sorted(amounts):
        amount = amounts[resource]
        fits = Q(limit=None) | Q(limit__gte=F("used") + amount)
        if not Quota.objects.filter(fits, project_id=project_id, resource=resource).update(used=F("used") + amount):
            row = Quota.objects.get(project_id=project_id, resource=resource)
            about = RESOURCES[resource]
            left = max(0, (row.limit or 0) - row.used)
            unit = f" {about.unit}" if about.unit else ""
            raise QuotaExceeded(
                f"Your quota has {left}{unit} of {about.noun} left; this needs {amount}{unit}. Ask for more, or choose less.",
                resource=resource,
            )


def release(project_id: UUID, amounts: Mapping[str, int]) -> None:
    """Give the amounts back."""
    for resource in sorted(amounts):
        Quota.objects.filter(project_id=project_id, resource=resource).update(used=Greatest(F("used") - amounts[resource], Value(0)))


def of(project: Project) -> list[QuotaLine]:
    return of_all([project.id])[project.id]


def of_all(project_ids: Sequence[UUID]) -> dict[UUID, list[QuotaLine]]:
    """The lines of several projects in one query."""
    rows = {(row.project_id, row.resource): row for row in Quota.objects.filter(project_id__in=project_ids)}
    return {
        id: [
            QuotaLine(resource=name, label=about.label, used=rows[id, name].used, limit=rows[id, name].limit, unit=about.unit)
            for name, about in RESOURCES.items()
            if (id, name) in rows
        ]
        for id in project_ids
    }


def lines(ctx: Context) -> list[QuotaLine]:
    """The quota of the project, in the order that people read it."""
    ctx.require("quotas.list")
    assert ctx.project is not None
    return of(ctx.project)


def set_limits(ctx: Context, project: Project, limits: Mapping[str, int | None]) -> None:
    """New limits; None means no limit. A limit below what is used stops growth and takes nothing away."""
    ctx.require("quotas.set")
    for name, limit in limits.items():
        if name not in RESOURCES:
            raise Invalid(f"There is no quota called {name}.", field=name)
        if limit is not None and not 0 <= limit <= LIMIT_MAX:
            raise Invalid("A limit is a number from 0 up, or empty for none.", field=name)
    with transaction.atomic():
        for name, limit in limits.items():
            Quota.objects.filter(project=project, resource=name).update(limit=limit)
        events.publish(ctx.actor, "set", "quota", project, project_id=project.id, detail=", ".join(f"{k}={v}" for k, v in limits.items()))


def recount() -> list[str]:
    """Make `used` what the tables say; returns a sentence for each difference. Anything it finds is a bug worth a look."""
    found = []
    for project in Project.objects.exclude(status=Project.Status.DELETED):
        with transaction.atomic():
            rows = {row.resource: row for row in Quota.objects.select_for_update().filter(project=project).order_by("resource")}
            truth: dict[str, int] = {}
            for count in counters:
                truth |= count(project.id)
            for name, used in truth.items():
                if name in rows and rows[name].used != used:
                    found.append(f"{project.slug}: {name} was {rows[name].used}, is {used}")
                    Quota.objects.filter(pk=rows[name].pk).update(used=used)
    return found
