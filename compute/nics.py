"""Network cards of an instance, put in and taken out while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from cloudbox.common import events, jobs
from cloudbox.common.errors import Conflict, Invalid, NotFound
from compute import actions, instances, networks, ports, security_groups
from compute.models import Instance, Port
from identity import quotas
from identity.context import Context


def _locked(ctx: Context, id: UUID) -> Instance:
    ctx.require(actions.ACTIONS["nics"].policy)
    instances.get(ctx, id)
    instance = Instance.objects.select_for_update(of=("self",)).get(id=id)
    actions.check(instance, "nics")
    return instance


def attach(
    ctx: Context,
    id: UUID,
    *,
    network_id: UUID | None = None,
    port_id: UUID | None = None,
    ip: str = "",
    security_group_ids: Sequence[UUID] = (),
) -> Port:
    """A new card on a network (with the next free address, or `ip`), or one for a reserved port. The guest sees it at once."""
    if (network_id is None) == (port_id is None):
        raise Invalid("Say the network, or the reserved port.", field="network_id")
    with transaction.atomic():
        instance = _locked(ctx, id)
        taken = [*instance.ports.values_list("index", flat=True)]
        if len(taken) >= instances.NICS_MAX:
            raise Conflict(f"{instance.name} has {len(taken)} network cards; it can have no more.", field="network_id")
        index = next(number for number in range(instances.NICS_MAX) if number not in taken)
        if port_id is not None:
            port = ports.place(ports.get(ctx, port_id).id, instance, index=index)
        else:
            assert network_id is not None
            network = networks.get(ctx, network_id)
            groups = [security_groups.get(ctx, each) for each in dict.fromkeys(security_group_ids)] or [security_groups.default(ctx)]
            quotas.charge(instance.project_id, {"ports": 1})
            port = ports.create(network, instance, index=index, groups=groups, ip=ip)
        events.publish(ctx.actor, "attach-nic", "instance", instance, detail=f"{port.ip} on {port.network.name}")
        _enqueue(ctx, "attach-nic-instance", instance, port)
    return port


def detach(ctx: Context, id: UUID, port_id: UUID) -> Port:
    """Out of the machine; then its address is free, unless it is reserved."""
    with transaction.atomic():
        instance = _locked(ctx, id)
        port = Port.objects.select_related("network", "instance").filter(id=port_id, instance=instance).first()
        if port is None:
            raise NotFound(f"{instance.name} has no card {port_id}.", field="port_id")
        events.publish(ctx.actor, "detach-nic", "instance", instance, detail=f"{port.ip} on {port.network.name}")
        _enqueue(ctx, "detach-nic-instance", instance, port)
    return port


def _enqueue(ctx: Context, kind: str, instance: Instance, port: Port) -> None:
    jobs.enqueue(kind, instance.id, actor=ctx.actor, project_id=instance.project_id, arguments={"port_id": str(port.id)})
