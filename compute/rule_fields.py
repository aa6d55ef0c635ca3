"""The fields of a security-group rule: what people write, checked, and the rule as they say it."""

from __future__ import annotations

import ipaddress
from typing import Any

from cloudbox.common.errors import Invalid
from compute.models import SecurityGroupRule

# Names and numbers of the IANA registry "Protocol Numbers". `icmp` is ICMP in IPv4 and ICMPv6 in IPv6.
PORTED = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}
NUMBERS = PORTED | {
    "icmp": 1, "igmp": 2, "ipip": 4, "egp": 8, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115,
}  # fmt: skip
NAMES = {number: name for name, number in NUMBERS.items()}
_SIX = {"icmpv6", "ipv6-icmp", "58"}
ETHERTYPES = ("", "IPv4", "IPv6")
PORT_MAX = 65535


def clean(
    *, direction: str, ethertype: str, protocol: str, port_min: int | None, port_max: int | None, remote_cidr: str, has_group: bool
) -> dict[str, Any]:
    """The columns of a rule from what somebody wrote; Invalid names the field that cannot be."""
    if direction not in SecurityGroupRule.Direction.values:
        raise Invalid("A rule is for ingress or egress.", field="direction")
    if ethertype not in ETHERTYPES:
        raise Invalid("The ethertype is IPv4, IPv6, or empty for both.", field="ethertype")
    if remote_cidr.strip() and has_group:
        raise Invalid("Name a range or a group, not both.", field="remote_cidr")
    protocol, family = _protocol(protocol)
    if family and ethertype == "IPv4":
        raise Invalid("ICMPv6 is of IPv6.", field="ethertype")
    cidr = _cidr(remote_cidr)
    ethertype = ethertype or family
    if cidr:
        version = f"IPv{ipaddress.ip_network(cidr).version}"
        if ethertype not in ("", version):
            raise Invalid(f"{cidr} is of {version}, the rule of {ethertype}.", field="remote_cidr")
        ethertype = ""  # the range says it
    _ports(protocol, port_min, port_max)
    return {
        "direction": direction,
        "ethertype": ethertype,
        "protocol": protocol,
        "port_min": port_min,
        "port_max": port_max if port_max is not None or protocol == "icmp" else port_min,
        "remote_cidr": cidr,
    }


def _protocol(text: str) -> tuple[str, str]:
    """The one way to write a protocol, and the family that it belongs to alone."""
    text = text.strip().lower()
    if text in _SIX:
        return "icmp", "IPv6"
    if text in ("", "any"):
        return "", ""
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return NAMES.get(int(text), str(int(text))), ""
    if text not in NUMBERS:
        raise Invalid(f"A protocol is one of {', '.join(NUMBERS)}, a number up to 255, or empty for any.", field="protocol")
    return text, ""


def _ports(protocol: str, low: int | None, high: int | None) -> None:
    if protocol == "icmp":
        if any(number is not None and not 0 <= number <= 255 for number in (low, high)) or (low is None and high is not None):
            raise Invalid("An ICMP type and code are 0 to 255, and a code needs a type.", field="port_min")
    elif low is not None or high is not None:
        if protocol not in PORTED:
            raise Invalid(f"Ports need a protocol that has them: {', '.join(PORTED)}.", field="protocol")
        if low is None or not 1 <= low <= (high if high is not None else low) <= PORT_MAX:
            raise Invalid("Ports are 1 to 65535, the lower first.", field="port_min")


def _cidr(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise Invalid(
            f"{text[:40]!r} is not an address or a range. Write it like 203.0.113.0/24 or 2001:db8::/32.", field="remote_cidr"
        ) from error


def driver_protocol(protocol: str) -> str | None:
    """As `RuleSpec` has it: those with ports and ICMP by name, others by number."""
    if not protocol or protocol in PORTED or protocol == "icmp":
        return protocol or None
    return str(NUMBERS.get(protocol, protocol))


def traffic(rule: SecurityGroupRule) -> str:
    """What it allows: "TCP 22-25", "ICMP 8 code 0", "Everything"."""
    if rule.protocol == "icmp":
        what = "ICMPv6" if rule.ethertype == "IPv6" else "ICMP"
        if rule.port_min is not None:
            what += f" {rule.port_min}" + ("" if rule.port_max is None else f" code {rule.port_max}")
        return what
    what = f"protocol {rule.protocol}" if rule.protocol.isdigit() else rule.protocol.upper() or "Everything"
    if rule.port_min is not None:
        what += f" {rule.port_min}" if rule.port_max in (None, rule.port_min) else f" {rule.port_min}-{rule.port_max}"
    return what


def other_side(rule: SecurityGroupRule) -> str:
    """Whom it allows: a range, "group web", "addresses offices", "anywhere"."""
    if rule.remote_cidr:
        return rule.remote_cidr
    if rule.remote_group is not None:
        whom = f"group {rule.remote_group.name}"
    elif rule.remote_address_group is not None:
        whom = f"addresses {rule.remote_address_group.name}"
    else:
        whom = "anywhere"
    return f"{whom} over {rule.ethertype}" if rule.ethertype and not (rule.protocol == "icmp" and rule.ethertype == "IPv6") else whom


def sentence(rule: SecurityGroupRule) -> str:
    """The rule as people say it: "TCP 22 in from 0.0.0.0/0"."""
    return f"{traffic(rule)} {'in from' if rule.direction == 'ingress' else 'out to'} {other_side(rule)}"
