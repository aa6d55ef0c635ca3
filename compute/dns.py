"""Names of a network: its domain, and what each of its ports is called in it, forwards and backwards.

The network's own DNS server answers `<name>.<domain>` with the port's addresses, and an address with that name. The name is the
port's own, or its instance's host name (with the card's number from the second card on). Of two ports of one name the one with the
lower address has it; the other is told so."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from cloudbox.common import events, jobs
from cloudbox.common.errors import Invalid
from compute import networks
from compute.desired import domain_of, name_of
from compute.models import Network, Port
from identity.context import Context

DOMAIN_MAX = 190
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What other parts of a machine's own resolver take for themselves (RFC 6761, RFC 6762), and the addresses' own tree.
_TAKEN = ("localhost", "local", "arpa", "invalid")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a port is called. `name` is without the domain; empty: nothing. `why_not` says why it has no name."""

    port: Port
    name: str
    full_name: str
    reverse: str
    ip6: str = ""
    why_not: str = ""


def clean_domain(text: str) -> str:
    """A domain in small letters without the last dot; Invalid when it is none. Empty: the one made from the network's name."""
    domain = text.strip().lower().rstrip(".")
    if not domain:
        return ""
    labels = domain.split(".")
    if len(domain) > DOMAIN_MAX or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise Invalid(f"{text.strip()[:60]!r} is not a domain. Write it like lab.example.org.", field="dns_domain")
    if labels[-1] in _TAKEN:
        raise Invalid(f"Names under {labels[-1]} mean something else to every machine. Choose another domain.", field="dns_domain")
    return domain


def set_domain(ctx: Context, network_id: UUID, domain: str) -> Network:
    """Instances are `<name>.<domain>` in the network from now on; DHCP tells them at their next lease."""
    ctx.require("networks.manage")
    domain = clean_domain(domain)
    with transaction.atomic():
        network = networks.get(ctx, network_id)
        if network.dns_domain != domain:
            network.dns_domain = domain
            network.save(update_fields=["dns_domain"])
            events.publish(ctx.actor, "update", "network", network, detail=f"domain {domain_of(network)}")
            jobs.wake("networks")
    return network


def clean_name(text: str) -> str:
    """A port's own name; empty: its instance's."""
    name = text.strip().lower()
    if name and not _LABEL.fullmatch(name):
        raise Invalid("A DNS name has letters, digits and hyphens, and no hyphen at an end.", field="dns_name")
    return name


def records(ctx: Context, network: Network) -> list[Record]:
    """What every port of the network is called, by address."""
    rows = Port.objects.filter(network=networks.get(ctx, network.id), instance__isnull=False).select_related("instance", "network")
    taken: dict[str, Port] = {}
    found = []
    for port in sorted(rows, key=lambda row: ipaddress.ip_address(row.ip)):
        name = name_of(port)
        first = taken.setdefault(name, port)
        why = "" if first is port else f"{first.ip} is called {name} already. Give one of them a name of its own."
        full = f"{name}.{domain_of(network)}"
        reverse = ipaddress.ip_address(port.ip).reverse_pointer
        name, full = ("", "") if why else (name, full)
        found.append(Record(port=port, name=name, full_name=full, reverse=reverse, ip6=port.ip6, why_not=why))
    return found
