"""`bin/cloudbox bench firewall`: how long a change of networks takes to reach the packets, beside what the kernel itself needs.

The rules: a namespace of the bench's own with 1,000 guarded ports that have ten rules each, none like another's. Rounds alternate: `nft`
alone loads the rendered text; the fabric is given a spec in which one rule of one port is there or gone, and a caller behind another
port tries until it gets through, or does not any more. Callers are network namespaces on the ports' taps.

The floating IP: two instances of the demo project that are never started; the address goes from one to the other by the verb, and the
clock runs from its commit to the ruleset of the router that leads to the other. So it holds the queue, the worker and the fabric.
Beside it the same ruleset loaded by `nft` alone. Figures are medians, and ratios of them."""

from __future__ import annotations

import secrets
import shutil
import socket
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection

from compute import floating_ips, instances, networks
from compute.drivers import box_namespace, netns
from compute.drivers.commands import run as command
from compute.drivers.fabric import LinuxFabric, firewall, names
from compute.drivers.specs import FabricSpec, NetworkSpec, PortSpec, RuleSpec, bridge_name, tap_name
from compute.instances import LaunchSpec
from compute.models import Flavor, Image, Instance
from identity.authn.session import context_of
from identity.models import Membership

PORTS, RULES_EACH = 1000, 10
TRY_SECONDS, LIMIT_SECONDS = 0.02, 60.0
DOOR = 9000
CARD = "eth0"


def run(tell_: Callable[[str], object], *, rounds: int) -> dict[str, Any]:
    """Seconds of each round by name, and the ratios of their medians."""
    figures: dict[str, list[float]] = defaultdict(list)
    tell_(f"{PORTS} ports, {PORTS * RULES_EACH} rules")
    _rules(figures, rounds)
    tell_("a floating IP from one instance to another")
    _floating(figures, rounds)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ratios = {
        "apply": medians["apply"] / medians["nft"],
        "open": medians["open"] / medians["nft"],
        "shut": medians["shut"] / medians["nft"],
        "move": medians["move"] / medians["nft router"],
    }
    return {"seconds": dict(figures), "ratio": ratios}


def tell(found: dict[str, Any], write: Callable[[str], object]) -> None:
    says = {
        "render": "the rules as text",
        "nft": "loaded by nft alone",
        "apply": "the fabric made whole after a change",
        "open": "a new rule lets a connection in",
        "shut": "a rule that is gone lets none in",
        "nft router": "a router's rules, loaded by nft alone",
        "move": "a floating IP goes to another instance, by verb, queue and worker",
    }
    for name, values in found["seconds"].items():
        ratio = f"  {found['ratio'][name]:.2f} times nft alone" if name in found["ratio"] else ""
        write(f"{says[name]:68} {statistics.median(values):6.2f} s  ({min(values):.2f} to {max(values):.2f}){ratio}")


def _until(condition: Callable[[], object]) -> float:
    """How long it takes to become true."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > LIMIT_SECONDS:
            raise TimeoutError(f"not within {LIMIT_SECONDS:g} s")
        time.sleep(0.005)
    return time.monotonic() - began


# --- rules


def _spec() -> tuple[FabricSpec, PortSpec, PortSpec]:
    """All ports, and two of them: who calls and who is called."""
    cidr = IPv4Network("10.0.0.0/16")
    network = NetworkSpec(id=uuid4(), cidr=cidr, gateway=cidr[1], dns_domain="bench.internal", number=1)
    ports = []
    for number in range(PORTS):
        rules = [RuleSpec(id=uuid4(), direction="egress")]
        for n in range(RULES_EACH - 1):
            remote = f"172.16.{number % 256}.{n}/32"
            rules.append(RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=1 + number, remote=remote))
        mac = "52:54:" + ":".join(f"{byte:02x}" for byte in number.to_bytes(4))
        ports.append(
            PortSpec(id=uuid4(), network_id=network.id, mac=mac, ip=str(cidr[10 + number]), hostname=f"p{number}", rules=tuple(rules))
        )
    return FabricSpec(networks=(network,), ports=tuple(ports)), ports[0], ports[1]


def _rules(figures: dict[str, list[float]], rounds: int) -> None:
    spec, caller, called = _spec()
    opened = RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=DOOR)
    wide = replace(called, rules=(*(called.rules or ()), opened))
    with_rule = replace(spec, ports=(caller, wide, *spec.ports[2:]))
    home, box = Path(tempfile.mkdtemp(prefix="cloudbox-bench-")), f"cbx-b{secrets.token_hex(2)}"
    try:
        box_namespace.prepare(home, box)
        fabric = LinuxFabric(home, box)
        fabric.apply(spec)
        with _guest(box, spec.networks[0], caller) as one, _guest(box, spec.networks[0], called) as two, netns.call(two, _listening):
            for _ in range(rounds):
                began = time.monotonic()
                text = firewall.render(box, spec)
                figures["render"].append(time.monotonic() - began)
                began = time.monotonic()
                command([*netns.enter(box), "nft", "-f", "-"], input=text)
                figures["nft"].append(time.monotonic() - began)
                for name, wanted, passes in (("open", with_rule, True), ("shut", spec, False)):
                    began = time.monotonic()
                    fabric.apply(wanted)
                    figures["apply"].append(time.monotonic() - began)
                    _until(lambda passes=passes: _reaches(one, called.ip) is passes)  # type: ignore[misc]
                    figures[name].append(time.monotonic() - began)
        fabric.apply(FabricSpec())
    finally:
        box_namespace.teardown(home, box)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _guest(box: str, network: NetworkSpec, port: PortSpec) -> Iterator[str]:
    """A network namespace on the port's tap."""
    # Not begun with the box's name: the fabric would take it for a leftover of its own.
    name, tap = f"guest-{box}-{port.id.hex[:6]}", tap_name(port.id)
    netns.create(name)
    try:
        command(["ip", "-n", box, "link", "add", "name", tap, "type", "veth", "peer", "name", CARD, "netns", name])
        command(["ip", "-n", box, "link", "set", "dev", tap, "master", bridge_name(network.id), "up"])
        lines = f"link set dev {CARD} address {port.mac} up\naddr add {port.ip}/{network.cidr.prefixlen} dev {CARD}\n"
        command(["ip", "-n", name, "-batch", "-"], input=lines)
        yield name
    finally:
        netns.delete(name)


def _listening() -> socket.socket:
    return socket.create_server(("", DOOR))


def _reaches(namespace: str, ip: str) -> bool:
    def call() -> bool:
        try:
            socket.create_connection((ip, DOOR), timeout=TRY_SECONDS).close()
        except OSError:
            return False
        return True

    return netns.call(namespace, call)


# --- a floating IP


def _floating(figures: dict[str, list[float]], rounds: int) -> None:
    member = Membership.objects.select_related("user", "project").filter(project__slug="demo").first()
    assert member is not None, "the demo project has no member; run bin/cloudbox up first"
    ctx = context_of(member.user, "demo", api="cli")
    network = networks.create(ctx, name=f"bench-{secrets.token_hex(3)}")
    assert network.router is not None
    image = Image.objects.filter(project=None, status=Image.Status.READY).latest("created_at")
    spec = LaunchSpec(
        name=f"bench-{secrets.token_hex(3)}",
        image_id=image.id,
        flavor_id=Flavor.objects.get(name="m1.nano").id,
        network_ids=(network.id,),
        count=2,
        start=False,
    )
    made = [*instances.launch(ctx, spec)]
    address = floating_ips.allocate(ctx)
    router = names.router_namespace(settings.BOX_NAME, network.router.id.hex)
    try:
        _until(lambda: _statuses(made) == {Instance.Status.STOPPED})
        ports = [each.ports.get() for each in made]
        floating_ips.associate(ctx, address.id, port_id=ports[0].id)
        _until(lambda: _leads(router, address.address, ports[0].ip))
        for number in range(rounds):
            port = ports[(number + 1) % 2]
            floating_ips.associate(ctx, address.id, port_id=port.id)
            figures["move"].append(_until(lambda port=port: _leads(router, address.address, port.ip)))  # type: ignore[misc]
            rules = "flush ruleset\n" + command([*netns.enter(router), "nft", "list", "ruleset"])
            began = time.monotonic()
            command([*netns.enter(router), "nft", "-f", "-"], input=rules)
            figures["nft router"].append(time.monotonic() - began)
    finally:
        floating_ips.release(ctx, address.id)
        for each in made:
            instances.delete(ctx, each.id)
        _until(lambda: _statuses(made) == {Instance.Status.DELETED})
        networks.delete(ctx, network.id)


def _statuses(made: list[Instance]) -> set[str]:
    found = {*Instance.objects.filter(id__in=[each.id for each in made]).values_list("status", flat=True)}
    connection.close()
    return found


def _leads(router: str, outer: str, inner: str) -> bool:
    if not netns.exists(router):
        return False
    return f"{outer} : {inner}" in command([*netns.enter(router), "nft", "list", "ruleset"])
