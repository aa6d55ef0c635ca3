"""What instances and volumes cost of the quota, in one place, so that charge, release and recount cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Count, Sum

from compute.models import Instance, InstanceSnapshot, Keypair, Network, Port, SecurityGroup, Snapshot, Volume
from identity import quotas


def of_instance(*, vcpus: int, memory_mib: int, disk_gib: int, count: int = 1) -> dict[str, int]:
    return {"instances": count, "vcpus": vcpus * count, "memory_mib": memory_mib * count, "disk_gib": disk_gib * count}


def release_instance(instance: Instance) -> None:
    quotas.release(instance.project_id, of_instance(vcpus=instance.vcpus, memory_mib=instance.memory_mib, disk_gib=instance.disk_gib))


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
        .aggregate(n=Count("id"), vcpus=Sum("vcpus"), memory=Sum("memory_mib"), disk=Sum("disk_gib"))
    )
    volumes = (
        Volume.objects.filter(project_id=project_id).exclude(status=Volume.Status.DELETED).aggregate(n=Count("id"), gib=Sum("size_gib"))
    )
    taken = Snapshot.objects.filter(project_id=project_id).exclude(status=Snapshot.Status.DELETED)
    whole = InstanceSnapshot.objects.filter(project_id=project_id).exclude(status=InstanceSnapshot.Status.DELETED)
    snapshots, roots = (rows.aggregate(n=Count("id"), gib=Sum(size)) for rows, size in ((taken, "size_gib"), (whole, "root_gib")))
    return {
        "instances": total["n"],
        "vcpus": total["vcpus"] or 0,
        "memory_mib": total["memory"] or 0,
        "disk_gib": total["disk"] or 0,
        "volumes": volumes["n"],
        "volume_gib": volumes["gib"] or 0,
        "snapshots": snapshots["n"] + roots["n"],
        "snapshot_gib": (snapshots["gib"] or 0) + (roots["gib"] or 0),
        "networks": Network.objects.filter(project_id=project_id).count(),
        "ports": Port.objects.filter(project_id=project_id).count(),
        "security_groups": SecurityGroup.objects.filter(project_id=project_id).count(),
        "keypairs": Keypair.objects.filter(project_id=project_id).count(),
    }
