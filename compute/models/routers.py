"""External networks, the routers that lead to them, and the addresses by which instances are reached from outside."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from identity.models import Project


class ExternalNetwork(models.Model):
    """Addresses that lie outside all projects. `nat`: the box owns the range and the host routes it to the box; what goes further
    hides behind the host. `bridge`: the range is that of a bridge of the host, and its gateway is somebody else's."""

    class Kind(models.TextChoices):
        NAT = "nat", "Behind the box"
        BRIDGE = "bridge", "On a bridge of the host"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.NAT)
    bridge = models.CharField(max_length=15, blank=True)  # of the host, for Kind.BRIDGE
    cidr = models.CharField(max_length=18)
    gateway_ip = models.GenericIPAddressField(protocol="IPv4")
    # The addresses that may be given out, both included.
    pool_first = models.GenericIPAddressField(protocol="IPv4")
    pool_last = models.GenericIPAddressField(protocol="IPv4")
    mtu = models.PositiveSmallIntegerField(default=1500)
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-is_default", "name"]
        constraints = [
            models.UniqueConstraint(Lower("name"), name="external_network_name_unique"),
            models.UniqueConstraint(fields=["is_default"], condition=models.Q(is_default=True), name="external_network_one_default"),
        ]

    def __str__(self) -> str:
        return self.name


class Router(models.Model):
    """Joins networks of a project (`networks`), and leads outside when it has an external network, under an address of its own there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="routers")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    external = models.ForeignKey(ExternalNetwork, on_delete=models.PROTECT, null=True, related_name="routers")
    external_ip = models.GenericIPAddressField(protocol="IPv4", null=True)
    # Whether what leaves hides behind `external_ip`; floating IPs work either way.
    snat = models.BooleanField(default=True)
    # Down: it joins nothing and leads nowhere, as if no network were on it, until it is up again.
    is_up = models.BooleanField(default=True)
    # [{"destination": "10.99.0.0/24", "next_hop": "10.20.0.7"}]
    static_routes = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("project", Lower("name"), name="router_name_unique"),
            models.UniqueConstraint(fields=["external", "external_ip"], name="router_external_ip_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class FloatingIp(models.Model):
    """An address of an external network that a project holds, and the port that answers to it for now."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="floating_ips")
    external = models.ForeignKey(ExternalNetwork, on_delete=models.PROTECT, related_name="floating_ips")
    address = models.GenericIPAddressField(protocol="IPv4")
    port = models.OneToOneField("compute.Port", on_delete=models.SET_NULL, null=True, related_name="floating_ip")
    description = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["external", "address"], name="floating_ip_unique")]

    def __str__(self) -> str:
        return str(self.address)


class PortForward(models.Model):
    """One port of a shared address, led on to a port of an instance. The address is a floating IP, or without one the router's own."""

    class Protocol(models.TextChoices):
        TCP = "tcp", "TCP"
        UDP = "udp", "UDP"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    router = models.ForeignKey(Router, on_delete=models.CASCADE, related_name="forwards")
    floating_ip = models.ForeignKey(FloatingIp, on_delete=models.PROTECT, null=True, related_name="forwards")
    protocol = models.CharField(max_length=3, choices=Protocol.choices)
    external_port = models.PositiveIntegerField()
    port = models.ForeignKey("compute.Port", on_delete=models.CASCADE, related_name="forwards")
    internal_port = models.PositiveIntegerField()
    description = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["external_port", "protocol"]
        constraints = [
            models.UniqueConstraint(
                fields=["router", "floating_ip", "protocol", "external_port"], name="port_forward_unique", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.protocol} {self.external_port}"
