"""What networks and their things look like in Neutron's JSON."""

from __future__ import annotations

import hashlib
import uuid
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from uuid import UUID

from compute.api.openstack.times import zulu
from compute.models import ExternalNetwork, FloatingIp, Network, Port, Router, SecurityGroup, SecurityGroupRule
from compute.rule_fields import NUMBERS
from identity.context import Context

Shape = dict[str, Any]
_NAMESPACE = UUID("0b8f2f2e-4d0e-4c55-8a3e-6b5a0c1f7d21")
ZONE = "nova"
INTERFACE, GATEWAY = "network:router_interface", "network:router_gateway"


def made_id(id: UUID, word: str) -> UUID:
    """The id of what no table has, which never changes."""
    return uuid.uuid5(_NAMESPACE, f"{id}/{word}")


def external_subnet_id(row: ExternalNetwork) -> UUID:
    return made_id(row.id, "subnet")


def interface_id(network: Network) -> UUID:
    return made_id(network.id, "router-interface")


def subnet6_id(row: Network) -> UUID:
    """Another range is another subnet."""
    return made_id(row.id, f"subnet6/{row.ipv6_cidr}")


def subnet_ids(row: Network) -> list[str]:
    return [str(id) for id in ((row.subnet_id,) if row.subnet_id else ()) + ((subnet6_id(row),) if row.ipv6_cidr else ())]


def fixed_ips(network: Network, ip: str, ip6: str) -> list[dict[str, str]]:
    """The addresses that are told: of a range that nobody has said there are none."""
    found = [{"subnet_id": str(network.subnet_id), "ip_address": ip}] if network.subnet_id else []
    return found + ([{"subnet_id": str(subnet6_id(network)), "ip_address": ip6}] if ip6 else [])


def _owned(project: UUID | None) -> Shape:
    text = project.hex if project else ""
    return {"tenant_id": text, "project_id": text}


def _known(row: Any) -> Shape:
    moment = zulu(row.created_at)
    return {"created_at": moment, "updated_at": moment, "revision_number": 1, "tags": []}


def network(row: Network) -> Shape:
    return {
        "id": str(row.id),
        "name": row.name,
        **_owned(row.project_id),
        "admin_state_up": row.is_up,
        "status": "ACTIVE",
        "subnets": subnet_ids(row),
        "shared": False,
        "router:external": False,
        "mtu": row.mtu,
        "port_security_enabled": True,
        "availability_zones": [ZONE],
        "availability_zone_hints": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "description": "",
        **_known(row),
    }


def external_network(row: ExternalNetwork) -> Shape:
    return {
        "id": str(row.id),
        "name": row.name,
        **_owned(None),
        "admin_state_up": True,
        "status": "ACTIVE",
        "subnets": [str(external_subnet_id(row))],
        "shared": False,
        "router:external": True,
        "is_default": row.is_default,
        "mtu": row.mtu,
        "port_security_enabled": True,
        "availability_zones": [ZONE],
        "availability_zone_hints": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "description": row.description,
        **_known(row),
    }


def _subnet(id: UUID, network_id: UUID, project: UUID | None, cidr: str, gateway: str | None, pool: tuple[str, str]) -> Shape:
    return {
        "id": str(id),
        "network_id": str(network_id),
        **_owned(project),
        "ip_version": 4,
        "cidr": cidr,
        "gateway_ip": gateway,
        "allocation_pools": [{"start": pool[0], "end": pool[1]}],
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "subnetpool_id": None,
        "segment_id": None,
        "service_types": [],
        "description": "",
    }


def subnet(row: Network) -> Shape:
    assert row.subnet_id is not None
    inside = IPv4Network(row.cidr)
    pool = (row.pool_first or str(inside[min(10, inside.num_addresses // 4)]), row.pool_last or str(inside[-2]))
    gateway = str(row.gateway_ip) if row.has_gateway else None
    return _subnet(row.subnet_id, row.id, row.project_id, row.cidr, gateway, pool) | {
        "name": row.subnet_name,
        "enable_dhcp": row.dhcp,
        "dns_nameservers": row.dns_servers,
        "host_routes": [{"destination": each["destination"], "nexthop": each["next_hop"]} for each in row.host_routes],
        **_known(row),
    }


_MODES = {"slaac": "slaac", "dhcp-stateless": "dhcpv6-stateless", "dhcp-stateful": "dhcpv6-stateful"}
MODES = {theirs: ours for ours, theirs in _MODES.items()}


def subnet6(row: Network) -> Shape:
    inside, mode = IPv6Network(row.ipv6_cidr), _MODES[row.ipv6_mode]
    pool = (str(inside[2]), str(inside[-1]))
    return _subnet(subnet6_id(row), row.id, row.project_id, row.ipv6_cidr, row.ipv6_gateway_ip, pool) | {
        "name": row.subnet6_name,
        "ip_version": 6,
        "ipv6_ra_mode": mode,
        "ipv6_address_mode": mode,
        "enable_dhcp": True,
        "dns_nameservers": [],
        "host_routes": [],
        **_known(row),
    }


def external_subnet(row: ExternalNetwork) -> Shape:
    pool = (str(row.pool_first), str(row.pool_last))
    return _subnet(external_subnet_id(row), row.id, None, row.cidr, str(row.gateway_ip), pool) | {
        "name": row.name,
        "enable_dhcp": False,
        "dns_nameservers": [],
        "host_routes": [],
        **_known(row),
    }


def port(ctx: Context, row: Port) -> Shape:
    balancer = getattr(row, "load_balancer", None)
    device = str(row.instance_id) if row.instance_id else str(balancer.id) if balancer else ""
    shape = _port(ctx, row.id, row.network, row.project_id, row.mac, fixed_ips(row.network, str(row.ip), row.ip6)) | {
        "name": row.name,
        "admin_state_up": row.is_up,
        "status": "ACTIVE" if device and row.is_up else "DOWN",
        "device_id": device,
        "device_owner": "compute:nova" if row.instance_id else "network:loadbalancer" if balancer else "",
        "security_groups": [str(group.id) for group in row.security_groups.all()],
        "allowed_address_pairs": [{"ip_address": pair["ip"], "mac_address": pair.get("mac") or row.mac} for pair in row.allowed_pairs],
        "port_security_enabled": row.port_security,
        "description": row.description,
        "dns_name": row.dns_name,
        **_known(row),
    }
    return shape


def _port(ctx: Context, id: UUID, network: Network, project: UUID, mac: str, fixed: list[dict[str, str]]) -> Shape:
    shape: Shape = {
        "id": str(id),
        "network_id": str(network.id),
        **_owned(project),
        "mac_address": mac,
        "admin_state_up": True,
        "fixed_ips": fixed,
        "extra_dhcp_opts": [],
        "binding:vnic_type": "normal",
        "qos_policy_id": None,
        "dns_assignment": [],
    }
    if ctx.may("box.look"):
        shape |= {"binding:host_id": "", "binding:profile": {}, "binding:vif_type": "bridge", "binding:vif_details": {}}
    return shape


def interface(ctx: Context, row: Network) -> Shape:
    """A router's port on a network: the gateway's address there. Its MAC is the one that the fabric gives the gateway."""
    mac = hashlib.sha256(row.id.bytes).digest()[:5]
    text = "02:" + ":".join(f"{byte:02x}" for byte in mac)
    return _port(ctx, interface_id(row), row, row.project_id, text, fixed_ips(row, str(row.gateway_ip), row.ipv6_gateway_ip)) | {
        "name": "",
        "status": "ACTIVE",
        "device_id": str(row.router_id),
        "device_owner": INTERFACE,
        "security_groups": [],
        "allowed_address_pairs": [],
        "port_security_enabled": False,
        "description": "",
        "dns_name": "",
        **_known(row),
    }


def router(row: Router) -> Shape:
    gateway = None
    if row.external is not None:
        fixed = [{"subnet_id": str(external_subnet_id(row.external)), "ip_address": str(row.external_ip)}]
        gateway = {"network_id": str(row.external_id), "enable_snat": row.snat, "external_fixed_ips": fixed}
    return {
        "id": str(row.id),
        "name": row.name,
        **_owned(row.project_id),
        "admin_state_up": row.is_up,
        "status": "ACTIVE",
        "external_gateway_info": gateway,
        "routes": [{"destination": each["destination"], "nexthop": each["next_hop"]} for each in row.static_routes],
        "distributed": False,
        "ha": False,
        "availability_zones": [ZONE],
        "availability_zone_hints": [],
        "flavor_id": None,
        "description": row.description,
        **_known(row),
    }


def router_interface(row: Router, network: Network) -> Shape:
    subnets = subnet_ids(network)
    return {
        "id": str(row.id),
        **_owned(row.project_id),
        "port_id": str(interface_id(network)),
        "network_id": str(network.id),
        "subnet_id": subnets[0] if subnets else None,
        "subnet_ids": subnets,
        "tags": [],
    }


def floating_ip(row: FloatingIp) -> Shape:
    inner = row.port
    return {
        "id": str(row.id),
        **_owned(row.project_id),
        "floating_ip_address": str(row.address),
        "floating_network_id": str(row.external_id),
        "port_id": str(inner.id) if inner else None,
        "fixed_ip_address": str(inner.ip) if inner else None,
        "router_id": str(inner.network.router_id) if inner and inner.network.router_id else None,
        "status": "ACTIVE" if inner else "DOWN",
        "description": row.description,
        "port_details": None,
        "port_forwardings": [],
        "qos_policy_id": None,
        "dns_name": "",
        "dns_domain": "",
        **_known(row),
    }


def rule(row: SecurityGroupRule, project: UUID) -> Shape:
    """Ours without a family is for both; Neutron's says one, so the other half is told by its range alone."""
    family = row.ethertype or ("IPv6" if ":" in row.remote_cidr else "IPv4")
    return {
        "id": str(row.id),
        "security_group_id": str(row.group_id),
        **_owned(project),
        "direction": row.direction,
        "ethertype": family,
        "protocol": str(NUMBERS.get(row.protocol, row.protocol)) if row.protocol_by_number else row.protocol or None,
        "port_range_min": row.port_min,
        "port_range_max": row.port_max,
        "remote_ip_prefix": row.remote_cidr or None,
        "remote_group_id": str(row.remote_group_id) if row.remote_group_id else None,
        "remote_address_group_id": str(row.remote_address_group_id) if row.remote_address_group_id else None,
        "description": row.description,
        "normalized_cidr": row.remote_cidr or None,
        "belongs_to_default_sg": False,
        **_known(row),
    }


def security_group(row: SecurityGroup) -> Shape:
    return {
        "id": str(row.id),
        "name": row.name,
        "description": row.description,
        **_owned(row.project_id),
        "stateful": True,
        "shared": False,
        "security_group_rules": [rule(each, row.project_id) for each in row.rules.all()],
        **_known(row),
    }
