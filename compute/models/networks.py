"""Networks, the ports on them, and what may pass."""

from __future__ import annotations

import uuid
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from django.db import models
from django.db.models.functions import Lower

from identity.models import Project


class Network(models.Model):
    """A private network: one IPv4 range with DHCP, DNS and metadata, and an IPv6 one beside it if wanted, joined to others by a router.
    Ranges of projects may overlap."""

    class Ipv6Mode(models.TextChoices):
        SLAAC = "slaac", "The guests make theirs (SLAAC)"
        STATELESS = "dhcp-stateless", "The guests make theirs, DHCPv6 tells the rest"
        STATEFUL = "dhcp-stateful", "DHCPv6 gives them out"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    # A small integer, unique on the box: conntrack zones and transit addresses derive from it.
    number = models.PositiveIntegerField(unique=True)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="networks")
    name = models.CharField(max_length=64)
    cidr = models.CharField(max_length=18)
    # By which APIs call the range that know networks and subnets apart; none: nobody has said the range yet (compute.subnets).
    subnet_id = models.UUIDField(unique=True, null=True, default=uuid.uuid4)
    subnet_name = models.CharField(max_length=255, blank=True)
    gateway_ip = models.GenericIPAddressField(protocol="IPv4")
    mtu = models.PositiveSmallIntegerField(default=1500)
    # By which Neutron calls the IPv6 range; the id is made from the range.
    subnet6_name = models.CharField(max_length=255, blank=True)
    # Down: nothing passes, neither between its ports nor to its router; DHCP and DNS stay.
    is_up = models.BooleanField(default=True)
    # False: nobody is told of a gateway and it can be on no router (a Neutron subnet whose gateway_ip is null). The address stays the
    # house's, for DHCP, DNS and metadata.
    has_gateway = models.BooleanField(default=True)
    # The way to other networks and outside; a network hangs on one router at most.
    router = models.ForeignKey("compute.Router", on_delete=models.PROTECT, null=True, related_name="networks")
    dhcp = models.BooleanField(default=True)
    # What DHCP tells besides: DNS servers (none: the network's own), and [{"destination": "10.99.0.0/24", "next_hop": "10.20.0.7"}].
    dns_servers = models.JSONField(default=list, blank=True)
    host_routes = models.JSONField(default=list, blank=True)
    # The addresses that new ports get, both included; none: all but the first few, which are kept for the house.
    pool_first = models.GenericIPAddressField(protocol="IPv4", null=True)
    pool_last = models.GenericIPAddressField(protocol="IPv4", null=True)
    # IPv6 beside IPv4: a /64, and how its addresses come to the guests; the gateway is its first address.
    ipv6_cidr = models.CharField(max_length=43, blank=True)
    ipv6_mode = models.CharField(max_length=16, choices=Ipv6Mode.choices, blank=True)
    # Instances are `<host name>.<this>` inside; empty: made from the network's name.
    dns_domain = models.CharField(max_length=190, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="network_name_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def ipv6_gateway_ip(self) -> str:
        """The first address of its IPv6 range; empty without one."""
        return str(IPv6Network(self.ipv6_cidr)[1]) if self.ipv6_cidr else ""

    @property
    def nat(self) -> bool:
        """Do its instances reach the outside under an address of the router?"""
        return self.router is not None and self.router.external_id is not None and self.router.snat


class SecurityGroup(models.Model):
    """A set of rules; a port in it may send and receive what a rule allows, nothing else."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="security_groups")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-is_default", "name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="security_group_name_unique")]

    def __str__(self) -> str:
        return self.name


class AddressGroup(models.Model):
    """Address ranges with a name, which rules may speak of; changed here, they are changed in every rule."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="address_groups")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    cidrs = models.JSONField(default=list)  # of IPv4 and IPv6, as text
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="address_group_name_unique")]

    def __str__(self) -> str:
        return self.name


class SecurityGroupRule(models.Model):
    """Allows one kind of traffic, from or to an address range, the members of a group, or an address group. For icmp the ports are
    type and code."""

    class Direction(models.TextChoices):
        INGRESS = "ingress", "In"
        EGRESS = "egress", "Out"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    group = models.ForeignKey(SecurityGroup, on_delete=models.CASCADE, related_name="rules")
    direction = models.CharField(max_length=8, choices=Direction.choices)
    ethertype = models.CharField(max_length=4, blank=True)  # IPv4 or IPv6; empty: both
    protocol = models.CharField(max_length=8, blank=True)  # tcp, udp, icmp (of IPv6: ICMPv6) or a number; empty: any
    # Said by its number, and so told by it where clients compare what they sent with what they read.
    protocol_by_number = models.BooleanField(default=False)
    port_min = models.PositiveIntegerField(null=True, blank=True)
    port_max = models.PositiveIntegerField(null=True, blank=True)
    remote_cidr = models.CharField(max_length=43, blank=True)
    remote_group = models.ForeignKey(SecurityGroup, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    remote_address_group = models.ForeignKey(AddressGroup, on_delete=models.PROTECT, null=True, blank=True, related_name="rules")
    description = models.CharField(max_length=255, blank=True)
    # Connections that it let pass, and when the last was counted; the worker adds what the kernel has counted.
    hits = models.BigIntegerField(default=0)
    hit_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["direction", "protocol", "port_min"]


class Port(models.Model):
    """A network card's place on a network: its MAC and address, and the groups that guard it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="ports")
    network = models.ForeignKey(Network, on_delete=models.PROTECT, related_name="ports")
    instance = models.ForeignKey("compute.Instance", on_delete=models.CASCADE, null=True, related_name="ports")
    index = models.PositiveSmallIntegerField(default=0)
    mac = models.CharField(max_length=17, unique=True)
    ip = models.GenericIPAddressField(protocol="IPv4")
    name = models.CharField(max_length=64, blank=True)
    description = models.CharField(max_length=255, blank=True)
    # Made by somebody, not by a launch: it keeps its address when its instance goes, and waits for another.
    is_reserved = models.BooleanField(default=False)
    # Its name on the network; empty: the host name of its instance.
    dns_name = models.CharField(max_length=63, blank=True)
    port_security = models.BooleanField(default=True)
    # Down: nothing comes in and nothing goes out.
    is_up = models.BooleanField(default=True)
    # Asked for where DHCPv6 gives addresses out; none: the one that follows from `ip`.
    fixed_ip6 = models.GenericIPAddressField(protocol="IPv6", null=True)
    # What it may send from besides its own address: [{"ip": "10.20.0.100" or a range, "mac": "" for its own}].
    allowed_pairs = models.JSONField(default=list, blank=True)
    # To the instance, and from it; none: as fast as it goes.
    rate_in_kbps = models.PositiveIntegerField(null=True)
    rate_out_kbps = models.PositiveIntegerField(null=True)
    security_groups = models.ManyToManyField(SecurityGroup, related_name="ports")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["index"]
        constraints = [
            models.UniqueConstraint(fields=["network", "ip"], name="port_ip_unique"),
            models.UniqueConstraint(fields=["network", "fixed_ip6"], name="port_ip6_unique"),
        ]

    @property
    def ip6(self) -> str:
        """Its IPv6 address; empty where its network has no IPv6. It follows: where guests make theirs, from the MAC (RFC 4291, appendix
        A); where DHCPv6 gives them out, it is the one that somebody asked for, else it ends in the IPv4 address, which nobody else on the
        network has. A load balancer listens in IPv4 alone."""
        network = self.network
        if not network.ipv6_cidr or (self.instance_id is None and hasattr(self, "load_balancer")):
            return ""
        cidr = IPv6Network(network.ipv6_cidr)
        if network.ipv6_mode != Network.Ipv6Mode.STATEFUL:
            return str(cidr[_interface_id(self.mac)])
        if self.fixed_ip6 and IPv6Address(self.fixed_ip6) in cidr:
            return self.fixed_ip6
        return str(cidr[int(IPv4Address(self.ip))])


def _interface_id(mac: str) -> int:
    octets = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:])
