"""What OpenStack calls the disks of a server."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from compute.models import Volume

DEVICE = "/dev/vda"
_LETTERS = "abcdefghijklmnop"


def devices(rows: Sequence[Volume]) -> dict[UUID, str]:
    """What the guest most likely calls each, by the order of attachment. What is attached nowhere, or is booted from, is the first."""
    found = {row.id: DEVICE for row in rows}
    instances = {row.instance_id for row in rows if row.instance_id and not row.is_boot}
    if not instances:
        return found
    others = Volume.objects.filter(instance__in=instances, is_boot=False).order_by("attached_at", "created_at", "id")
    places: dict[UUID | None, int] = {}
    for id, instance in others.values_list("id", "instance_id"):
        places[instance] = places.get(instance, 0) + 1
        if id in found:
            found[id] = f"/dev/vd{_LETTERS[min(places[instance], len(_LETTERS) - 1)]}"
    return found
