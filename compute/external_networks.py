"""External networks: what administrators offer projects to lead outside by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import addresses, host
from compute.models import ExternalNetwork
from identity.context import Context
from identity.names import clean_name, clean_text

MTU_RANGE = (1280, 9000)
PREFIX_RANGE = (16, 29)
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_DEFAULT_LOCK = 0xE47  # any number: two first networks must not make two defaults


def list(ctx: Context) -> QuerySet[ExternalNetwork]:
    ctx.require("external_networks.list")
    return ExternalNetwork.objects.annotate(
        router_count=Count("routers", distinct=True), floating_count=Count("floating_ips", distinct=True)
    ).order_by("-is_default", "name")


def get(ctx: Context, id: UUID, *, field: str = "external_id") -> ExternalNetwork:
    row = list(ctx).filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no external network {id}.", field=field)
    return row


def default() -> ExternalNetwork:
    """The one that projects get who name none. A box without any gets its own range behind the host."""
    row = ExternalNetwork.objects.filter(is_default=True).first()
    if row is None and not ExternalNetwork.objects.exists():
        row = ensure_default()
    if row is None:
        raise Conflict("The box has no default external network. Choose one, or ask its administrator to name one.", field="external_id")
    return row


def ensure_default(cidr: IPv4Network | None = None) -> ExternalNetwork:
    """Make the first one: `public`, in `cidr` or a range that nobody on the host has. There is one already: that."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_DEFAULT_LOCK])
        there = ExternalNetwork.objects.order_by("-is_default", "created_at").first()
        if there is not None:
            return there
        cidr = cidr or addresses.default_range(settings.BOX_NAME, host.fabric().host_ranges())
        return ExternalNetwork.objects.create(
            name="public",
            description="Reached from this machine; what leaves hides behind it",
            cidr=str(cidr),
            gateway_ip=str(cidr[1]),
            pool_first=str(cidr[10]),
            pool_last=str(cidr[-2]),
            is_default=True,
        )


def create(
    ctx: Context,
    *,
    name: str,
    cidr: str,
    kind: str = ExternalNetwork.Kind.NAT,
    bridge: str = "",
    gateway_ip: str = "",
    pool_first: str = "",
    pool_last: str = "",
    mtu: int = 1500,
    description: str = "",
) -> ExternalNetwork:
    """Of kind `nat` the box owns the range; of kind `bridge` it is that of the named bridge of the host, and `gateway_ip` the way on from
    there. The pool is what is given out: all but the first ten addresses, if not said."""
    ctx.require("external_networks.manage")
    name, description = clean_name(name), clean_text(description, field="description")
    if kind not in ExternalNetwork.Kind.values:
        raise Invalid("The kind is nat or bridge.", field="kind")
    found = _range(cidr)
    bridge = _bridge(bridge) if kind == ExternalNetwork.Kind.BRIDGE else ""
    if kind == ExternalNetwork.Kind.BRIDGE and not gateway_ip:
        raise Invalid("Say which address leads on from that bridge.", field="gateway_ip")
    gateway = addresses.parse_address(gateway_ip, field="gateway_ip") if gateway_ip else found[1]
    if gateway not in found or gateway in (found[0], found[-1]):
        raise Invalid(f"{gateway} is no address of {found}.", field="gateway_ip")
    first, last = addresses.parse_pool(found, pool_first, pool_last)
    try:
        with transaction.atomic():
            row = ExternalNetwork.objects.create(
                name=name,
                description=description,
                kind=kind,
                bridge=bridge,
                cidr=str(found),
                gateway_ip=str(gateway),
                pool_first=first or str(found[min(addresses.KEPT, found.num_addresses // 4)]),
                pool_last=last or str(found[-2]),
                mtu=_mtu(mtu),
                is_default=not ExternalNetwork.objects.exists(),
            )
            events.publish(ctx.actor, "create", "external-network", row, detail=f"{found} {bridge}".strip())
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is an external network {name}.", field="name") from error
    return row


def _range(cidr: str) -> IPv4Network:
    found = addresses.parse_range(cidr, field="cidr", example="203.0.113.0/24")
    low, high = PREFIX_RANGE
    if not low <= found.prefixlen <= high:
        raise Invalid(f"An external network is between /{low} and /{high}.", field="cidr")
    if any(found.overlaps(each) for each in (*addresses.OURS, *addresses.NEVER)):
        raise Invalid(f"{found} is not to be used as a network, or the box uses it itself.", field="cidr")
    for other in ExternalNetwork.objects.only("name", "cidr"):
        if found.overlaps(IPv4Network(other.cidr)):
            raise Invalid(f"{found} overlaps with the external network {other.name} ({other.cidr}).", field="cidr")
    return found


def _bridge(name: str) -> str:
    if not _BRIDGE.fullmatch(name):
        raise Invalid("Name a bridge of the host: up to 15 letters, digits, dots, hyphens and underscores.", field="bridge")
    there = host.fabric().host_bridges()
    if name not in there:
        has = f"It has {', '.join(sorted(there))}." if there else "It has none."
        raise Invalid(f"The host has no bridge {name}. {has} Make it first, with a card of the host in it.", field="bridge")
    return name


def why_dead(row: ExternalNetwork) -> str:
    """What keeps it from carrying anything; empty when nothing is seen to."""
    if row.kind == ExternalNetwork.Kind.BRIDGE and row.bridge not in host.fabric().host_bridges():
        return f"The host has no bridge {row.bridge} now, so nothing passes. Make it, and it is joined within a minute."
    return ""


def bridges(ctx: Context) -> list[str]:  # type: ignore[valid-type]
    """The host's bridges, to choose from."""
    ctx.require("external_networks.manage")
    return sorted(host.fabric().host_bridges())


def _mtu(mtu: int) -> int:
    low, high = MTU_RANGE
    if not low <= mtu <= high:
        raise Invalid(f"The MTU is {low} to {high}.", field="mtu")
    return mtu


def update(ctx: Context, id: UUID, changes: Mapping[str, Any]) -> ExternalNetwork:
    """Its name, its description, and whether it is the default; the default stays so until another is."""
    ctx.require("external_networks.manage")
    row = get(ctx, id)
    if "name" in changes:
        row.name = clean_name(changes["name"])
    if "description" in changes:
        row.description = clean_text(changes["description"], field="description")
    if changes.get("is_default") is False and row.is_default:
        raise Invalid("Make another one the default instead.", field="is_default")
    try:
        with transaction.atomic():
            if changes.get("is_default") and not row.is_default:
                ExternalNetwork.objects.filter(is_default=True).update(is_default=False)
                row.is_default = True
            row.save(update_fields=["name", "description", "is_default"])
            events.publish(ctx.actor, "update", "external-network", row)
    except IntegrityError as error:
        raise AlreadyExists(f"There is an external network {row.name}.", field="name") from error
    return row


def why_not_delete(row: ExternalNetwork) -> str:
    """Needs the counts of `list`."""
    routers, floating = row.router_count, row.floating_count  # type: ignore[attr-defined]
    if routers or floating:
        parts = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in ((routers, "router"), (floating, "floating IP")) if count]
        return f"{row.name} is in use by {' and '.join(parts)}."
    return ""


def delete(ctx: Context, id: UUID) -> None:
    """Only when no router leads there and no address of it is held."""
    ctx.require("external_networks.manage")
    with transaction.atomic():
        ExternalNetwork.objects.select_for_update().filter(id=id).first()
        row = get(ctx, id)
        if why := why_not_delete(row):
            raise Conflict(why)
        events.publish(ctx.actor, "delete", "external-network", row)
        ExternalNetwork.objects.filter(id=id).delete()
        jobs.wake("networks")
