"""What instances and volumes cost of the quota, in one place, so that charge, release and recount cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, Sum

from compute.models import (
    FloatingIp,
    Instance,
    InstanceSnapshot,
    Keypair,
    LoadBalancer,
    Network,
    Port,
    Reversal,
    Router,
    SecurityGroup,
    Snapshot,
    Volume,
)
from identity import quotas

_POWERED = Q(shelved_at=None)


def of_instance(*, vcpus: int, memory_mib: int, disk_gib: int, count: int = 1) -> dict[str, int]:
    return {"instances": count, "vcpus": vcpus * count, "memory_mib": memory_mib * count, "disk_gib": disk_gib * count}


def of_power(instance: Instance) -> dict[str, int]:
    """What a shelved instance does not take."""
    return {"vcpus": instance.vcpus, "memory_mib": instance.memory_mib}


def release_power(instance: Instance) -> None:
    quotas.release(instance.project_id, of_power(instance))


def release_instance(instance: Instance) -> None:
    """All of it; what stays charged for changes that could be taken back, too."""
    for kind in Reversal.objects.filter(instance=instance).values_list("kind", flat=True):
        end_reversal(instance.id, kind)
    amounts = of_instance(vcpus=instance.vcpus, memory_mib=instance.memory_mib, disk_gib=instance.disk_gib)
    quotas.release(instance.project_id, amounts if instance.shelved_at is None else {**amounts, "vcpus": 0, "memory_mib": 0})


def of_reversal(row: Reversal) -> dict[str, int]:
    return {"vcpus": row.held_vcpus, "memory_mib": row.held_memory_mib, "disk_gib": row.held_disk_gib}


def end_reversal(instance_id: UUID, kind: str) -> None:
    """It can no longer be taken back: what it held of the quota is free. Not there: nothing."""
    with transaction.atomic():
        row = Reversal.objects.select_for_update(of=("self",)).select_related("instance").filter(instance_id=instance_id, kind=kind).first()
        if row is not None:
            quotas.release(row.instance.project_id, of_reversal(row))
            row.delete()


def of_volume(size_gib: int) -> dict[str, int]:
    return {"volumes": 1, "volume_gib": size_gib}


def release_volume(volume: Volume) -> None:
    quotas.release(volume.project_id, of_volume(volume.size_gib))


def release_volume_gib(project_id: UUID, gib: int) -> None:
    quotas.release(project_id, {"volume_gib": gib})


def of_snapshot(size_gib: int) -> dict[str, int]:
    return {"snapshots": 1, "snapshot_gib": size_gib}


def release_snapshot(project_id: UUID, size_gib: int) -> None:
    quotas.release(project_id, of_snapshot(size_gib))


def release_ports(project_id: UUID, count: int) -> None:
    quotas.release(project_id, {"ports": count})


def count(project_id: UUID) -> Mapping[str, int]:
    """What the tables say the project uses."""
    total = (
        Instance.objects.filter(project_id=project_id)
        .exclude(status=Instance.Status.DELETED)
        .aggregate(n=Count("id"), vcpus=Sum("vcpus", filter=_POWERED), memory=Sum("memory_mib", filter=_POWERED), disk=Sum("disk_gib"))
    )
    held = (
        Reversal.objects.filter(instance__project_id=project_id)
        .exclude(instance__status=Instance.Status.DELETED)
        .aggregate(vcpus=Sum("held_vcpus"), memory=Sum("held_memory_mib"), disk=Sum("held_disk_gib"))
    )
    volumes = (
        Volume.objects.filter(project_id=project_id).exclude(status=Volume.Status.DELETED).aggregate(n=Count("id"), gib=Sum("size_gib"))
    )
    taken = Snapshot.objects.filter(project_id=project_id).exclude(status=Snapshot.Status.DELETED)
    whole = InstanceSnapshot.objects.filter(project_id=project_id).exclude(status=InstanceSnapshot.Status.DELETED)
    snapshots, roots = (rows.aggregate(n=Count("id"), gib=Sum(size)) for rows, size in ((taken, "size_gib"), (whole, "root_gib")))
    return {
        "instances": total["n"],
        "vcpus": (total["vcpus"] or 0) + (held["vcpus"] or 0),
        "memory_mib": (total["memory"] or 0) + (held["memory"] or 0),
        "disk_gib": (total["disk"] or 0) + (held["disk"] or 0),
        "volumes": volumes["n"],
        "volume_gib": volumes["gib"] or 0,
        "snapshots": snapshots["n"] + roots["n"],
        "snapshot_gib": (snapshots["gib"] or 0) + (roots["gib"] or 0),
        "networks": Network.objects.filter(project_id=project_id).count(),
        "routers": Router.objects.filter(project_id=project_id).count(),
        "floating_ips": FloatingIp.objects.filter(project_id=project_id).count(),
        "load_balancers": LoadBalancer.objects.filter(project_id=project_id).count(),
        "ports": Port.objects.filter(project_id=project_id).count(),
        "security_groups": SecurityGroup.objects.filter(project_id=project_id).count(),
        "keypairs": Keypair.objects.filter(project_id=project_id).count(),
    }
