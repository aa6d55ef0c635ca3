"""What load balancers should be, read from the tables; and what their processes tell, written there."""

from __future__ import annotations

from ipaddress import IPv4Address

from django.db import transaction

from cloudbox.common import clock, events, jobs
from compute import balancer_certificates, host
from compute.drivers.balancer_specs import BalancerFacts, BalancerSpec, ListenerSpec, MemberSpec, PoolSpec
from compute.models import Listener, LoadBalancer, Pool, PoolMember

LISTENER_FACTS = ("connections", "connections_total", "bytes_in", "bytes_out", "errors")
MEMBER_FACTS = ("status", "detail", "connections")


def of_all() -> tuple[BalancerSpec, ...]:
    rows = LoadBalancer.objects.select_related("port").prefetch_related("listeners", "pools__members__port").order_by("id")
    return tuple(_balancer(row) for row in rows)


def _balancer(row: LoadBalancer) -> BalancerSpec:
    return BalancerSpec(
        id=row.id,
        network_id=row.port.network_id,
        address=IPv4Address(row.port.ip),
        listeners=tuple(_listener(each) for each in row.listeners.all()),
        pools=tuple(_pool(each) for each in row.pools.all()),
    )


def _listener(row: Listener) -> ListenerSpec:
    pem = row.certificate + balancer_certificates.unseal(row.sealed_key) if row.protocol == Listener.Protocol.HTTPS else ""
    return ListenerSpec(
        id=row.id,
        port=row.number,
        http=row.protocol != Listener.Protocol.TCP,
        pool_id=row.pool_id,
        timeout_seconds=row.timeout_seconds,
        pem=pem,
    )


def _pool(row: Pool) -> PoolSpec:
    return PoolSpec(
        id=row.id,
        http=row.protocol == Pool.Protocol.HTTP,
        algorithm=row.algorithm,
        sticky=row.is_sticky,
        check_path=row.check_path,
        check_seconds=row.check_seconds,
        check_falls=row.check_falls,
        check_rises=row.check_rises,
        timeout_seconds=row.timeout_seconds,
        members=tuple(
            MemberSpec(id=each.id, address=IPv4Address(each.port.ip), port=each.number, weight=each.weight, enabled=each.is_enabled)
            for each in row.members.all()
        ),
    )


def observe() -> None:
    """Ask every process how its members are, and write down what is new. One that does not answer is made again at once."""
    rows = [*LoadBalancer.objects.prefetch_related("listeners", "pools__members")]
    if not rows:
        return
    facts = host.fabric().balancer_facts()
    if any(row.id not in facts and row.listeners.all() for row in rows):
        jobs.wake("networks")
    for row in rows:
        if row.id in facts:
            _write(row, facts[row.id])


def _write(row: LoadBalancer, facts: BalancerFacts) -> None:
    told = {each.id: each for each in facts.members}
    with transaction.atomic():
        moved = False
        for member in (each for pool in row.pools.all() for each in pool.members.all()):
            heard = told.get(member.id)
            if heard is not None and any(getattr(member, name) != getattr(heard, name) for name in MEMBER_FACTS):
                moved |= member.status != heard.status
                PoolMember.objects.filter(id=member.id).update(**{name: getattr(heard, name) for name in MEMBER_FACTS})
        counted = {each.id: each for each in facts.listeners}
        for listener in row.listeners.all():
            found = counted.get(listener.id)
            if found is not None and any(getattr(listener, name) != getattr(found, name) for name in LISTENER_FACTS):
                Listener.objects.filter(id=listener.id).update(**{name: getattr(found, name) for name in LISTENER_FACTS})
        LoadBalancer.objects.filter(id=row.id).update(seen_at=clock.now())
        if moved:
            events.touch("load-balancer", row.id, row.project_id)
