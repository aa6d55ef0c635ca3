"""Load balancers: make them, say what they listen for, and which instances answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Prefetch, QuerySet

from cloudbox.common import events, jobs
from cloudbox.common.errors import AlreadyExists, Conflict, Invalid, NotFound
from compute import balancer_certificates, floating_ips, ports
from compute.models import Listener, LoadBalancer, Pool, PoolMember, Port
from identity import quotas
from identity.context import Context
from identity.names import clean_name, clean_text

LISTENERS_MAX, POOLS_MAX, MEMBERS_MAX = 20, 20, 50
# What the gateway itself answers on its addresses.
KEPT_NUMBERS = (53,)
CHECK_SECONDS, CHECKS, TIMEOUT_SECONDS, WEIGHTS = (1, 300), (1, 10), (1, 86400), (1, 256)
# A path and a query of RFC 3986, without what HAProxy's settings read as their own.
_PATH = re.compile(r"/[A-Za-z0-9._~!$&()*+,;=:@/?%-]{0,254}")


def list(ctx: Context) -> QuerySet[LoadBalancer]:
    """With all that hangs on each."""
    ctx.require("load_balancers.list")
    rows = LoadBalancer.objects.filter(project=ctx.project).select_related("port__network", "port__floating_ip")
    members = PoolMember.objects.select_related("port__instance", "port__network")
    return rows.prefetch_related(
        Prefetch("listeners", Listener.objects.select_related("pool").defer("certificate", "sealed_key")),
        Prefetch("pools", Pool.objects.prefetch_related(Prefetch("members", members), "listeners")),
    ).order_by("name")


def get(ctx: Context, id: UUID) -> LoadBalancer:
    row = list(ctx).filter(id=id).first()
    if row is None:
        raise NotFound(f"There is no load balancer {id}.")
    return row


def create(ctx: Context, *, name: str, network_id: UUID, ip: str = "", description: str = "") -> LoadBalancer:
    """An address on a network, the next free one unless it is named, that listens for nothing yet."""
    ctx.require("load_balancers.manage")
    name, description = clean_name(name), clean_text(description, field="description")
    try:
        with transaction.atomic():
            quotas.charge(ctx.project_id, {"load_balancers": 1})
            port = ports.reserve(ctx, network_id=network_id, ip=ip, name=f"lb-{name}"[:64])
            row = LoadBalancer.objects.create(project=ctx.needed_project, name=name, description=description, port=port)
            events.publish(ctx.actor, "create", "load-balancer", row, detail=port.ip)
            jobs.wake("networks")
    except IntegrityError as error:
        raise AlreadyExists(f"There is a load balancer {name} in this project.", field="name") from error
    return get(ctx, row.id)


def update(ctx: Context, id: UUID, changes: Mapping[str, Any]) -> LoadBalancer:
    """Name and description."""
    ctx.require("load_balancers.manage")
    row = get(ctx, id)
    row.name = clean_name(changes["name"]) if "name" in changes else row.name
    row.description = clean_text(changes["description"], field="description") if "description" in changes else row.description
    try:
        with transaction.atomic():
            row.save(update_fields=["name", "description"])
            events.publish(ctx.actor, "update", "load-balancer", row)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a load balancer {row.name} in this project.", field="name") from error
    return row


def delete(ctx: Context, id: UUID) -> None:
    """With all that hangs on it; its address is free, and a floating IP on it is on nothing."""
    ctx.require("load_balancers.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        events.publish(ctx.actor, "delete", "load-balancer", row)
        Listener.objects.filter(balancer=row).delete()
        port = row.port
        row.delete()
        port.delete()
        quotas.release(ctx.project_id, {"load_balancers": 1, "ports": 1})
        jobs.wake("networks")


def _locked(ctx: Context, id: UUID) -> LoadBalancer:
    get(ctx, id)
    return LoadBalancer.objects.select_for_update(of=("self",)).select_related("port").get(id=id)


def _changed(ctx: Context, row: LoadBalancer, verb: str, detail: str) -> None:
    events.publish(ctx.actor, verb, "load-balancer", row, detail=detail)
    jobs.wake("networks")


# --- pools


def create_pool(ctx: Context, id: UUID, *, name: str, protocol: str = "http", **fields: Any) -> Pool:
    """`fields`: algorithm, is_sticky, check_path, check_seconds, check_falls, check_rises, timeout_seconds."""
    ctx.require("load_balancers.manage")
    if protocol not in Pool.Protocol.values:
        raise Invalid("The protocol of a pool is tcp or http.", field="protocol")
    try:
        with transaction.atomic():
            row = _locked(ctx, id)
            if row.pools.count() >= POOLS_MAX:
                raise Conflict(f"{row.name} has {POOLS_MAX} pools, which is the most.")
            pool = Pool(balancer=row, name=clean_name(name), protocol=protocol)
            _set(pool, fields)
            pool.save()
            _changed(ctx, row, "create-pool", pool.name)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a pool {name.strip()} already.", field="name") from error
    return pool


def update_pool(ctx: Context, id: UUID, pool_id: UUID, changes: Mapping[str, Any]) -> Pool:
    """Name and the fields of `create_pool`."""
    ctx.require("load_balancers.manage")
    try:
        with transaction.atomic():
            row = _locked(ctx, id)
            pool = _pool(row, pool_id)
            pool.name = clean_name(changes["name"]) if "name" in changes else pool.name
            _set(pool, {key: value for key, value in changes.items() if key != "name"})
            pool.save()
            _changed(ctx, row, "update-pool", pool.name)
    except IntegrityError as error:
        raise AlreadyExists(f"There is a pool {pool.name} already.", field="name") from error
    return pool


def delete_pool(ctx: Context, id: UUID, pool_id: UUID) -> None:
    """Only one that no listener leads to."""
    ctx.require("load_balancers.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        pool = _pool(row, pool_id)
        if why := why_not_delete_pool(pool):
            raise Conflict(why)
        _changed(ctx, row, "delete-pool", pool.name)
        pool.delete()


def why_not_delete_pool(pool: Pool) -> str:
    used = [str(each) for each in pool.listeners.all()]
    return f"{used[0]} leads to {pool.name}. Remove that listener, or lead it to another pool first." if used else ""


def _pool(row: LoadBalancer, pool_id: UUID | None, *, field: str = "pool_id") -> Pool:
    pool = Pool.objects.filter(balancer=row, id=pool_id).first() if pool_id else None
    if pool is None:
        raise NotFound(f"There is no pool {pool_id}." if pool_id else "Choose the pool that answers.", field=field)
    return pool


def _set(pool: Pool, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        setattr(pool, name, _POOL_FIELDS[name](value))
    if pool.protocol == Pool.Protocol.TCP and (pool.is_sticky or pool.check_path):
        field = "is_sticky" if pool.is_sticky else "check_path"
        raise Invalid("Cookies and paths are HTTP’s. A pool of TCP has neither.", field=field)


def _within(value: int, limits: tuple[int, int], field: str) -> int:
    if not limits[0] <= value <= limits[1]:
        raise Invalid(f"Write a number from {limits[0]} to {limits[1]}.", field=field)
    return value


def _path(text: str) -> str:
    text = text.strip()
    if text and not _PATH.fullmatch(text):
        raise Invalid("Write the path like /health: at most 255 characters of an address, no blanks.", field="check_path")
    return text


def _algorithm(text: str) -> str:
    if text not in Pool.Algorithm.values:
        raise Invalid(f"Choose one of {', '.join(Pool.Algorithm.values)}.", field="algorithm")
    return text


_POOL_FIELDS: dict[str, Any] = {
    "algorithm": _algorithm,
    "is_sticky": bool,
    "check_path": _path,
    "check_seconds": lambda value: _within(value, CHECK_SECONDS, "check_seconds"),
    "check_falls": lambda value: _within(value, CHECKS, "check_falls"),
    "check_rises": lambda value: _within(value, CHECKS, "check_rises"),
    "timeout_seconds": lambda value: _within(value, TIMEOUT_SECONDS, "timeout_seconds"),
}


# --- members


def candidates(ctx: Context, row: LoadBalancer) -> Sequence[Port]:
    """Cards of instances that it can reach: on its network, or on another of the same router."""
    network = row.port.network
    return [
        port
        for port in floating_ips.ports(ctx)
        if port.instance_id is not None
        and (port.network_id == network.id or (network.router_id is not None and port.network.router_id == network.router_id))
    ]


def add_member(
    ctx: Context, id: UUID, pool_id: UUID, *, port_id: UUID, number: int, weight: int = 1, is_enabled: bool = True
) -> PoolMember:
    """An instance by one of its cards, and the port there that answers."""
    ctx.require("load_balancers.manage")
    _number(number)
    _within(weight, WEIGHTS, "weight")
    try:
        with transaction.atomic():
            row = _locked(ctx, id)
            pool = _pool(row, pool_id)
            port = next((each for each in candidates(ctx, get(ctx, id)) if each.id == port_id), None)
            if port is None:
                raise NotFound("Choose a network card of an instance on its network, or on one of the same router.", field="port_id")
            if pool.members.count() >= MEMBERS_MAX:
                raise Conflict(f"{pool.name} has {MEMBERS_MAX} members, which is the most.")
            member = PoolMember.objects.create(pool=pool, port=port, number=number, weight=weight, is_enabled=is_enabled)
            _changed(ctx, row, "add-member", f"{port.instance.name if port.instance else port.ip}:{number}")
    except IntegrityError as error:
        raise AlreadyExists("It is in the pool already, with this port.", field="port_id") from error
    return member


def update_member(ctx: Context, id: UUID, pool_id: UUID, member_id: UUID, changes: Mapping[str, Any]) -> PoolMember:
    """weight, and is_enabled: False lets it finish what it has, and gives it nothing new."""
    ctx.require("load_balancers.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        member = _member(_pool(row, pool_id), member_id)
        member.weight = _within(changes.get("weight", member.weight), WEIGHTS, "weight")
        member.is_enabled = bool(changes.get("is_enabled", member.is_enabled))
        member.save(update_fields=["weight", "is_enabled"])
        _changed(ctx, row, "update-member", str(member))
    return member


def remove_member(ctx: Context, id: UUID, pool_id: UUID, member_id: UUID) -> None:
    ctx.require("load_balancers.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        member = _member(_pool(row, pool_id), member_id)
        _changed(ctx, row, "remove-member", str(member))
        member.delete()


def _member(pool: Pool, member_id: UUID) -> PoolMember:
    member = PoolMember.objects.filter(pool=pool, id=member_id).select_related("port__instance").first()
    if member is None:
        raise NotFound(f"There is no member {member_id}.")
    return member


# --- listeners


def add_listener(
    ctx: Context,
    id: UUID,
    *,
    protocol: str,
    number: int,
    pool_id: UUID | None,
    timeout_seconds: int = 60,
    certificate: str = "",
    private_key: str = "",
) -> Listener:
    """Listen on a port of its address. `https`: with a certificate (PEM, with its chain) and its private key, which is kept sealed."""
    ctx.require("load_balancers.manage")
    if protocol not in Listener.Protocol.values:
        raise Invalid("The protocol of a listener is tcp, http or https.", field="protocol")
    _number(number)
    try:
        with transaction.atomic():
            row = _locked(ctx, id)
            if row.listeners.count() >= LISTENERS_MAX:
                raise Conflict(f"{row.name} has {LISTENERS_MAX} listeners, which is the most.")
            listener = Listener(balancer=row, protocol=protocol, number=number, pool=_fitting(row, protocol, pool_id))
            listener.timeout_seconds = _within(timeout_seconds, TIMEOUT_SECONDS, "timeout_seconds")
            _secure(listener, certificate, private_key)
            listener.save()
            _changed(ctx, row, "add-listener", str(listener))
    except IntegrityError as error:
        raise AlreadyExists(f"It listens on port {number} already.", field="number") from error
    return listener


def update_listener(ctx: Context, id: UUID, listener_id: UUID, changes: Mapping[str, Any]) -> Listener:
    """pool_id, timeout_seconds, and certificate with private_key."""
    ctx.require("load_balancers.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        listener = _listener(row, listener_id)
        if "pool_id" in changes:
            listener.pool = _fitting(row, listener.protocol, changes["pool_id"])
        listener.timeout_seconds = _within(changes.get("timeout_seconds", listener.timeout_seconds), TIMEOUT_SECONDS, "timeout_seconds")
        if changes.get("certificate") or changes.get("private_key"):
            _secure(listener, changes.get("certificate", ""), changes.get("private_key", ""))
        listener.save()
        _changed(ctx, row, "update-listener", str(listener))
    return listener


def remove_listener(ctx: Context, id: UUID, listener_id: UUID) -> None:
    ctx.require("load_balancers.manage")
    with transaction.atomic():
        row = _locked(ctx, id)
        listener = _listener(row, listener_id)
        _changed(ctx, row, "remove-listener", str(listener))
        listener.delete()


def _listener(row: LoadBalancer, listener_id: UUID) -> Listener:
    listener = Listener.objects.filter(balancer=row, id=listener_id).first()
    if listener is None:
        raise NotFound(f"There is no listener {listener_id}.")
    return listener


def _number(number: int) -> None:
    if not 1 <= number <= 65535:
        raise Invalid("A port is 1 to 65535.", field="number")
    if number in KEPT_NUMBERS:
        raise Invalid(f"Port {number} is kept for the network’s own DNS. Choose another.", field="number")


def _fitting(row: LoadBalancer, protocol: str, pool_id: UUID | None) -> Pool:
    pool = _pool(row, pool_id)
    if (protocol == Listener.Protocol.TCP) != (pool.protocol == Pool.Protocol.TCP):
        raise Conflict(
            f"{pool.name} is a pool of {pool.get_protocol_display()}; a listener of {protocol.upper()} needs another.", field="pool_id"
        )
    return pool


def _secure(listener: Listener, certificate: str, private_key: str) -> None:
    if listener.protocol != Listener.Protocol.HTTPS:
        if certificate.strip() or private_key.strip():
            raise Invalid("Only HTTPS takes a certificate.", field="certificate")
        return
    read = balancer_certificates.read(certificate, private_key)
    listener.certificate, listener.certificate_names, listener.certificate_until = read.chain, [*read.names], read.until
    listener.sealed_key = balancer_certificates.seal(read.key)


def launch(
    ctx: Context, *, name: str, network_id: UUID, protocol: str, number: int, member_number: int, port_ids: Sequence[UUID], **more: Any
) -> LoadBalancer:
    """The whole of a usual one at once, or nothing: an address, a pool with members, a listener. `more`: algorithm, is_sticky,
    check_path of the pool; certificate, private_key of the listener; description."""
    ctx.require("load_balancers.manage")
    with transaction.atomic():
        row = create(ctx, name=name, network_id=network_id, description=more.pop("description", ""))
        secrets = {key: more.pop(key, "") for key in ("certificate", "private_key")}
        kind = "tcp" if protocol == "tcp" else "http"
        pool = create_pool(ctx, row.id, name="members", protocol=kind, **more)
        for port_id in dict.fromkeys(port_ids):
            add_member(ctx, row.id, pool.id, port_id=port_id, number=member_number)
        add_listener(ctx, row.id, protocol=protocol, number=number, pool_id=pool.id, **secrets)
    return get(ctx, row.id)
