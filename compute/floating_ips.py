"""Floating IPs: addresses of an external network that a project holds, and gives to one instance or another."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import Conflict, NotFound
from compute import addresses, external_networks
from compute.models import FloatingIp, Port
from identity import quotas
from identity.context import Context
from identity.names import clean_text


def list(ctx: Context) -> QuerySet[FloatingIp]:
    ctx.require("networks.list")
    rows = FloatingIp.objects.filter(project=ctx.project).select_related("external", "port__instance", "port__network")
    return rows.annotate(forward_count=Count("forwards")).order_by("created_at", "id")


def get(ctx: Context, id: UUID, *, field: str = "floating_ip_id") -> FloatingIp:
    row = list(ctx).filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no floating IP {id}.", field=field)
    return row


def allocate(ctx: Context, *, external_id: UUID | None = None, address: str = "", description: str = "") -> FloatingIp:
    """The next free address, or just the named one, of an external network; the default one if none is named."""
    ctx.require("networks.manage")
    description = clean_text(description, field="description")
    external = external_networks.get(ctx, external_id) if external_id else external_networks.default()
    with transaction.atomic():
        quotas.charge(ctx.project_id, {"floating_ips": 1})
        row = FloatingIp.objects.create(
            project=ctx.needed_project, external=external, address=addresses.take_outer(external, address), description=description
        )
        events.publish(ctx.actor, "allocate", "floating-ip", row, detail=external.name)
    return get(ctx, row.id)


def ports(ctx: Context, *, reserved: bool = False) -> QuerySet[Port]:
    """Those that could have one, with what `why_not_to` looks at; `reserved`: those, too, that wait for an instance."""
    ctx.require("networks.list")
    rows = Port.objects.filter(project=ctx.project)
    if not reserved:
        rows = rows.exclude(instance=None, load_balancer=None)
    return rows.select_related("instance", "network__router__external", "floating_ip").order_by("instance__name", "index")


def why_not_to(row: FloatingIp, port: Port) -> str:
    """Empty when the port can have the address, else why not and what to do."""
    network = port.network
    if network.router is None:
        return f"{network.name} is on no router. Put it on one that leads to {row.external.name}."
    if network.router.external_id != row.external_id:
        where = f"to {network.router.external.name}" if network.router.external else "nowhere outside"
        return f"{network.router.name}, the router of {network.name}, leads {where}; {row.address} lies on {row.external.name}."
    other = getattr(port, "floating_ip", None)
    if other is not None and other.id != row.id:
        return f"It has {other.address} already. Take that off first."
    return ""


def why_not_associate(row: FloatingIp) -> str:
    """Needs the count of `list`."""
    count: int = row.forward_count  # type: ignore[attr-defined]
    return f"{row.address} is shared: it forwards {count} port{'' if count == 1 else 's'}. Remove these first." if count else ""


def associate(ctx: Context, id: UUID, *, port_id: UUID) -> FloatingIp:
    """Give it to a port; from whichever port has it now it goes at once, with its connections."""
    ctx.require("networks.manage")
    with transaction.atomic():
        get(ctx, id)
        FloatingIp.objects.select_for_update().get(id=id)
        port = ports(ctx, reserved=True).select_for_update(of=("self",)).filter(id=port_id).first()
        if port is None:
            raise NotFound(f"There is no network card {port_id}.", field="port_id")
        row = get(ctx, id)
        if row.port_id == port.id:
            return row
        if why := why_not_associate(row) or why_not_to(row, port):
            raise Conflict(why, field="port_id")
        row.port = port
        row.save(update_fields=["port"])
        events.publish(ctx.actor, "associate", "floating-ip", row, detail=port.instance.name if port.instance else port.ip)
        jobs.wake("networks")
    return row


def disassociate(ctx: Context, id: UUID) -> FloatingIp:
    """Take it off; the project keeps it. It is on nothing: nothing."""
    ctx.require("networks.manage")
    with transaction.atomic():
        get(ctx, id)
        FloatingIp.objects.select_for_update().get(id=id)
        row = get(ctx, id)
        if row.port is None:
            return row
        was = row.port.instance.name if row.port.instance else row.port.ip
        row.port = None
        row.save(update_fields=["port"])
        events.publish(ctx.actor, "disassociate", "floating-ip", row, detail=was)
        jobs.wake("networks")
    return row


def describe(ctx: Context, id: UUID, description: str) -> FloatingIp:
    ctx.require("networks.manage")
    row = get(ctx, id)
    row.description = clean_text(description, field="description")
    with transaction.atomic():
        row.save(update_fields=["description"])
        events.publish(ctx.actor, "update", "floating-ip", row)
    return row


def release(ctx: Context, id: UUID) -> None:
    """Give it back, off whatever it is on; somebody else may get it next."""
    ctx.require("networks.manage")
    with transaction.atomic():
        get(ctx, id)
        FloatingIp.objects.select_for_update().get(id=id)
        row = get(ctx, id)
        if why := why_not_associate(row):
            raise Conflict(why)
        events.publish(ctx.actor, "release", "floating-ip", row)
        FloatingIp.objects.filter(id=id).delete()
        quotas.release(ctx.project_id, {"floating_ips": 1})
        jobs.wake("networks")
