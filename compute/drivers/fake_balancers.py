"""What processes of load balancers would tell."""

from __future__ import annotations

from collections.abc import Container
from uuid import UUID

from compute.drivers.balancer_specs import BalancerFacts, BalancerSpec, ListenerFacts, MemberFacts


def facts(balancer: BalancerSpec, down: Container[UUID]) -> BalancerFacts:
    """Members are up, but for those `down`, and those that are switched off."""
    members = [member for pool in balancer.pools for member in pool.members]
    return BalancerFacts(
        listeners=tuple(ListenerFacts(id=each.id) for each in balancer.listeners),
        members=tuple(
            MemberFacts(
                id=each.id,
                status="off" if not each.enabled else "down" if each.id in down else "up",
                detail="takes no connection" if each.enabled and each.id in down else "",
            )
            for each in members
        ),
    )
