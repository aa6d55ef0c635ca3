"""The tracer's answers: each thing that can stop a connection, named, with what to do; and nothing of another project."""

from __future__ import annotations

import pytest

from cloudbox.common.errors import Invalid, NotFound
from compute import instances, networks, ports, security_groups, trace
from compute.models import Instance
from tests.world import World, work


def two(world: World, **more: object) -> tuple[Instance, Instance]:
    return world.running(name="web"), world.running(name="db", **more)


def ask(world: World, who: str = "member", **question: object) -> trace.Answer:
    return trace.ask(world.ctx(who), **({"port": 443} | question))  # type: ignore[arg-type]


def test_members_of_a_group_reach_each_other(world: World) -> None:
    web, db = two(world)
    answer = ask(world, from_instance_id=web.id, to_instance_id=db.id)
    assert (answer.verdict, [step.title for step in answer.steps]) == (
        "reaches",
        ["Security groups, out of web", "Network private", "Security groups, into db"],
    )
    assert answer.steps[-1].sentence == "The group default allows it: Everything in from group default."
    assert ask(world, from_address=web.ports.get().ip, to_address=db.ports.get().ip, protocol="icmp", port=None).verdict == "reaches"


def test_what_stops_it(world: World) -> None:
    """The receiver's rules, the sender's, the missing router, an address that nobody has, a machine that is off."""
    ctx = world.ctx("member")
    shut = security_groups.create(ctx, name="shut")
    web, db = two(world, security_group_ids=(shut.id,))
    address = web.ports.get().ip
    answer = ask(world, from_instance_id=web.id, to_instance_id=db.id)
    assert answer.sentence == f"Blocked: No rule allows TCP 443 in from {address}."
    assert answer.fix is not None
    assert answer.fix.fields == {
        "direction": "ingress", "protocol": "tcp", "port_min": "443", "remote": "cidr", "remote_cidr": f"{address}/32",
    }  # fmt: skip
    for rule in security_groups.default(ctx).rules.filter(direction="egress"):
        security_groups.remove_rule(ctx, rule.group_id, rule.id)
    answer = ask(world, from_instance_id=web.id, to_instance_id=db.id, protocol="icmp", port=None)
    assert answer.sentence == f"Blocked: No rule allows ICMP echo out to {db.ports.get().ip}."
    assert ask(world, from_instance_id=db.id, to_address="10.20.0.200").sentence == "Blocked: No running port has the address 10.20.0.200."
    lonely = networks.create(ctx, name="lonely", nat=False)
    free = security_groups.create(ctx, name="free")
    alone = world.running(name="alone", network_ids=(lonely.id,), security_group_ids=(free.id,))
    answer = ask(world, from_instance_id=alone.id, to_instance_id=db.id)
    assert answer.fix is not None
    assert answer.fix.sentence == "Join the network to a router."
    instances.stop(ctx, db.id, force=True)
    work()
    answer = ask(world, from_instance_id=db.id, to_instance_id=alone.id)
    assert (answer.verdict, answer.steps[-1].sentence) == ("blocked", "db is stopped.")


def test_from_outside(world: World) -> None:
    """Without an address outside nobody outside reaches it; what belongs to no one here is not told."""
    web = world.running()
    answer = ask(world, to_instance_id=web.id)
    assert (answer.verdict, answer.steps[0].title) == ("blocked", "From outside")
    answer = ask(world, from_instance_id=web.id, to_address="203.0.113.7")
    assert answer.verdict == "leaves"


def test_nothing_of_another_project_is_told(world: World) -> None:
    web = world.running()
    for question in ({"from_instance_id": web.id, "to_address": "10.20.0.11"}, {"to_instance_id": web.id}):
        with pytest.raises(NotFound):
            trace.ask(world.ctx("stranger", world.other), port=443, **question)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "question",
    [{}, {"to_address": "x"}, {"to_address": "fd00::1", "from_address": "10.0.0.1"}, {"to_address": "10.0.0.1", "port": None},
     {"to_address": "10.0.0.1", "port": 70000}, {"to_address": "10.0.0.1", "protocol": "gre"}],
)  # fmt: skip
def test_refused_questions(world: World, question: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        ask(world, **question)


def test_open_ports(world: World) -> None:
    web, db = two(world, security_group_ids=(security_groups.create(world.ctx("member"), name="shut").id,))
    ports.update(world.ctx("owner"), db.ports.get().id, port_security=False)
    answer = ask(world, from_instance_id=web.id, to_instance_id=db.id)
    assert (answer.verdict, answer.steps[-1].sentence) == ("reaches", "Port security is off here: everything passes.")
