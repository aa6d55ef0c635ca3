"""What the drivers write for other programs to read: tenants' text stays text, whatever it is. Pure functions, no machine."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudbox.common.errors import Invalid
from compute.drivers import accelerator, box_namespace, png
from compute.drivers.fabric import dnsmasq, firewall, rules
from compute.drivers.libvirt import xml
from compute.drivers.specs import FabricSpec, MachineSpec, NetworkSpec, NicSpec, PortSpec, RuleSpec

ID = UUID("0123456789abcdef0123456789abcdef")
NET = NetworkSpec(id=ID, cidr=IPv4Network("10.0.0.0/24"), gateway=IPv4Address("10.0.0.1"), dns_domain="a.internal", number=7)
PORT = PortSpec(id=uuid4(), network_id=ID, mac="52:54:00:00:00:01", ip="10.0.0.5", hostname="a", rules=())


def machine(**more: object) -> MachineSpec:
    nic = NicSpec(port_id=uuid4(), network_id=ID, mac="52:54:00:00:00:01")
    spec = MachineSpec(id=ID, name="a", vcpus=2, memory_mib=64, root_disk=Path("/home/root.qcow2"), nics=(nic,))
    return replace(spec, **more)  # type: ignore[arg-type]


@given(name=st.text(max_size=300), project=st.text(max_size=50))
def test_a_name_is_never_markup(name: str, project: str) -> None:
    """Any text as a machine's name: the XML parses, and has the elements that it has for the name `a`."""
    made = ET.fromstring(xml.domain(machine(name=name, project=project), home=Path("/h"), box="cbx-1", accelerator="tcg"))
    plain = ET.fromstring(xml.domain(machine(), home=Path("/h"), box="cbx-1", accelerator="tcg"))
    assert [each.tag for each in made.iter()] == [each.tag for each in plain.iter()]
    assert made.findtext("name") == f"cbx-1-{ID}"
    title = made.findtext("title") or ""
    assert title.strip()
    assert "\n" not in title


def test_the_accelerator_decides_the_kind_of_machine() -> None:
    """KVM passes the host's processor through; emulation takes the largest that QEMU knows, and bounds its cache."""
    for name, kind, mode in (("kvm", "kvm", "host-passthrough"), ("tcg", "qemu", "maximum")):
        made = ET.fromstring(xml.domain(machine(), home=Path("/h"), box="b", accelerator=name))
        assert made.get("type") == kind
        assert made.find("cpu").get("mode") == mode  # type: ignore[union-attr]
        assert (made.find("features/tcg") is not None) == (name == "tcg")


@given(hostname=st.text(max_size=80), domain=st.text(max_size=80))
def test_a_host_name_is_never_a_directive(hostname: str, domain: str) -> None:
    """Any text as a host's or a domain's name: every line of dnsmasq's files keeps its form."""
    reservations, names = dnsmasq.hosts(NET, [replace(PORT, hostname=hostname)])
    assert len(reservations.splitlines()) == 1
    assert reservations.count(",") in (2, 3)
    assert len(names.split("\n")) <= 2
    lines = dnsmasq.config(replace(NET, dns_domain=domain), Path("/f"), ["192.0.2.1"]).splitlines()
    plain = dnsmasq.config(NET, Path("/f"), ["192.0.2.1"]).splitlines()
    assert {line.split("=")[0] for line in lines} <= {line.split("=")[0] for line in plain}


def test_two_hosts_of_one_name() -> None:
    """dnsmasq gives no address to the second of a name; so only the first keeps it, whatever the letters' case."""
    reservations, names = dnsmasq.hosts(NET, [replace(PORT, ip="10.0.0.6", hostname="A"), PORT])
    assert reservations.splitlines() == ["52:54:00:00:00:01,10.0.0.5,a,12h", "52:54:00:00:00:01,10.0.0.6,12h"]
    assert names == "10.0.0.5 a\n"


@pytest.mark.parametrize(
    "more", [{"protocol": "tcp -j ACCEPT"}, {"protocol": "\n"}, {"protocol": "256"}, {"remote": "0.0.0.0/0 -j"}, {"remote_ips": ("x",)}]
)
def test_a_rule_is_never_an_option(more: dict[str, object]) -> None:
    """What is no protocol and no address does not reach nft."""
    rule = replace(RuleSpec(id=uuid4(), direction="ingress"), **more)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        firewall.render("cbx-1", FabricSpec(networks=(NET,), ports=(replace(PORT, rules=(rule,)),)))


def test_rules_as_text() -> None:
    """Protocols, ports, ICMP types, remotes, each family as it is spoken of, and a counter for each rule."""

    def lines(**more: object) -> list[str]:
        rule = replace(RuleSpec(id=uuid4(), direction="ingress"), **more)  # type: ignore[arg-type]
        text = firewall.render("cbx-1", FabricSpec(networks=(NET,), ports=(replace(PORT, rules=(rule,)),)))
        chain = text.partition("  chain in-")[2].partition("  }")[0]
        counter = f'counter name "{rules.counter_name(rule.id)}" '
        assert text.count(counter) == chain.count(counter)
        return [line.strip().replace(counter, "COUNTED ") for line in chain.splitlines()[1:]]

    assert lines() == ["COUNTED goto pass", "goto refuse"]
    assert lines(protocol="tcp", port_min=80) == ["tcp dport 80 COUNTED goto pass", "goto refuse"]
    assert lines(protocol="udp", port_min=1, port_max=9, remote="10.1.2.3/8") == [
        "ip saddr 10.0.0.0/8 udp dport 1-9 COUNTED goto pass",
        "goto refuse",
    ]
    assert lines(ethertype="IPv4", protocol="icmp", port_min=8, port_max=0) == [
        "meta nfproto ipv4 icmp type 8 icmp code 0 COUNTED goto pass",
        "goto refuse",
    ]
    assert lines(ethertype="IPv6", protocol="icmp", port_min=128) == ["meta nfproto ipv6 icmpv6 type 128 COUNTED goto pass", "goto refuse"]
    assert lines(protocol="tcp", remote_ips=("10.0.0.9",)) == ["ip saddr { 10.0.0.9 } meta l4proto tcp COUNTED goto pass", "goto refuse"]
    assert lines(protocol="47") == ["meta l4proto 47 COUNTED goto pass", "goto refuse"]
    assert lines(ethertype="IPv6") == ["meta nfproto ipv6 COUNTED goto pass", "goto refuse"]
    assert lines(ethertype="IPv4", remote="2001:db8::/32") == ["goto refuse"]
    assert lines(remote_ips=()) == ["goto refuse"]


def test_ports_of_the_same_rules_share_their_chains() -> None:
    """A thousand ports of one rule set make two chains."""
    rules = (RuleSpec(id=uuid4(), direction="egress"), RuleSpec(id=uuid4(), direction="ingress", protocol="tcp", port_min=22))
    ports = tuple(replace(PORT, id=uuid4(), rules=rules) for _ in range(1000))
    text = firewall.render("cbx-1", FabricSpec(networks=(NET,), ports=ports))
    assert sum(line.startswith(("  chain in-", "  chain out-")) for line in text.splitlines()) == 2


def test_a_slice_that_the_host_uses_is_passed_over() -> None:
    """The box's way out never overlaps what the host knows; when all is taken, it says so."""
    first = box_namespace._free_slice("cbx-1", [])
    second = box_namespace._free_slice("cbx-1", [first])
    assert not first.overlaps(second)
    assert box_namespace._free_slice("cbx-2", []) != first
    with pytest.raises(Exception, match="already uses"):
        box_namespace._free_slice("cbx-1", [IPv4Network("100.64.0.0/10")])


def test_png() -> None:
    """A PPM with comments becomes a PNG of the same pixels; what is no PPM is refused."""
    pixels = bytes(range(18))
    made = png.from_ppm(b"P6\n# by hand\n3 2\n255\n" + pixels)
    assert struct.unpack(">II", made[16:24]) == (3, 2)
    at = made.index(b"IDAT")
    length = struct.unpack(">I", made[at - 4 : at])[0]
    assert zlib.decompress(made[at + 4 : at + 4 + length]) == b"\0" + pixels[:9] + b"\0" + pixels[9:]
    for bad in (b"", b"P6", b"P5\n1 1\n255\n\0\0\0", b"P6\n9 9\n255\n\0", b"P6\n1 1\n65535\n" + bytes(6), b"P6\nx y\n255\n"):
        with pytest.raises(ValueError):
            png.from_ppm(bad)


@pytest.mark.machines
def test_the_probe() -> None:
    """The test guest ends by itself under emulation, is given up at its deadline, and the answer is a sentence."""
    assert accelerator.run_guest("tcg", deadline_seconds=20) is None
    assert "did not finish" in (accelerator.run_guest("tcg", deadline_seconds=0.001) or "")
    assert "nonsense" in (accelerator.run_guest("nonsense", deadline_seconds=20) or "")
    found = accelerator.probe(5.0)
    assert found.name in ("kvm", "tcg")
    assert found.reason.endswith(".")
