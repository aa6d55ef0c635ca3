"""Forwarded ports: one port of an address that several instances share leads to a port of one of them."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import floating_ips, routers
from compute.models import FloatingIp, Port, PortForward, Router, VpnGateway
from identity.context import Context
from identity.names import clean_text

PER_ROUTER_MAX = 100


def list(ctx: Context, *, router_id: UUID | None = None) -> QuerySet[PortForward]:
    ctx.require("networks.list")
    rows = PortForward.objects.filter(project=ctx.project).select_related("router", "floating_ip", "port__instance")
    rows = rows.filter(router_id=router_id) if router_id else rows
    return rows.order_by("router__name", "external_port", "protocol", "id")


def get(ctx: Context, id: UUID) -> PortForward:
    row = list(ctx).filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no forwarded port {id}.")
    return row


def create(
    ctx: Context,
    *,
    router_id: UUID,
    protocol: str,
    external_port: int,
    port_id: UUID,
    internal_port: int | None = None,
    floating_ip_id: UUID | None = None,
    description: str = "",
) -> PortForward:
    """Lead `external_port` of the router's own address, or of a floating IP that is on no instance, to a network card; to the same port
    there unless `internal_port` says another."""
    ctx.require("networks.manage")
    description = clean_text(description, field="description")
    if protocol not in PortForward.Protocol.values:
        raise Invalid("The protocol is tcp or udp.", field="protocol")
    internal_port = external_port if internal_port is None else internal_port
    for number, field in ((external_port, "external_port"), (internal_port, "internal_port")):
        if not 1 <= number <= 65535:
            raise Invalid("A port is 1 to 65535.", field=field)
    try:
        with transaction.atomic():
            routers.get(ctx, router_id)
            router = Router.objects.select_for_update().get(id=router_id)
            if floating_ip_id is None and protocol == "udp" and VpnGateway.objects.filter(router=router, port=external_port).exists():
                raise Conflict(f"Port {external_port} is the router's WireGuard entrance. Choose another.", field="external_port")
            row = PortForward.objects.create(
                project=ctx.needed_project,
                router=router,
                floating_ip=_shared(ctx, router, floating_ip_id) if floating_ip_id else None,
                protocol=protocol,
                external_port=external_port,
                port=_port(ctx, router, port_id),
                internal_port=internal_port,
                description=description,
            )
            events.publish(ctx.actor, "create", "port-forward", row, detail=f"{row.port.ip}:{internal_port}")
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"Port {external_port} of that address is forwarded already.", field="external_port") from error
    return get(ctx, row.id)


def _port(ctx: Context, router: Router, port_id: UUID) -> Port:
    port = floating_ips.ports(ctx).filter(id=port_id).first()
    if port is None:
        raise NotFound(f"There is no network card {port_id}.", field="port_id")
    if router.external_id is None:
        raise Conflict(f"{router.name} leads nowhere outside, so it has no address to share. Give it an external network first.")
    if port.network.router_id != router.id:
        raise Conflict(f"{port.network.name} is not on {router.name}.", field="port_id")
    if PortForward.objects.filter(router=router).count() >= PER_ROUTER_MAX:
        raise Conflict(f"{router.name} forwards {PER_ROUTER_MAX} ports, which is the most.")
    return port


def _shared(ctx: Context, router: Router, id: UUID) -> FloatingIp:
    floating_ips.get(ctx, id)
    row = FloatingIp.objects.select_for_update().get(id=id)
    if row.port_id is not None:
        raise Conflict(f"{row.address} is an instance's own. Take it off, or share another.", field="floating_ip_id")
    if row.external_id != router.external_id:
        raise Conflict(f"{row.address} does not lie where {router.name} leads.", field="floating_ip_id")
    if row.forwards.exclude(router=router).exists():
        raise Conflict(f"Another router shares {row.address} already.", field="floating_ip_id")
    return row


def delete(ctx: Context, id: UUID) -> None:
    ctx.require("networks.manage")
    row = get(ctx, id)
    with transaction.atomic():
        events.publish(ctx.actor, "delete", "port-forward", row)
        PortForward.objects.filter(id=id).delete()
        jobs.wake("networks")
