"""Load balancers: an address on a network, what it listens for, and the instances that answer."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from identity.models import Project


class LoadBalancer(models.Model):
    """`port` is its place on the network: an address of its own there, which a floating IP can be given to."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="load_balancers")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    port = models.OneToOneField("compute.Port", on_delete=models.PROTECT, related_name="load_balancer")
    # When the worker last heard from its process; long ago: it does not run.
    seen_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="load_balancer_name_unique")]

    def __str__(self) -> str:
        return self.name


class Pool(models.Model):
    """Instances that do the same work, how the work is dealt out, and how it is found out who can do it."""

    class Protocol(models.TextChoices):
        TCP = "tcp", "TCP"
        HTTP = "http", "HTTP"

    class Algorithm(models.TextChoices):
        ROUND_ROBIN = "round-robin", "In turn"
        LEAST_CONNECTIONS = "least-connections", "To whom has the fewest connections"
        SOURCE = "source", "By the caller’s address"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    balancer = models.ForeignKey(LoadBalancer, on_delete=models.CASCADE, related_name="pools")
    name = models.CharField(max_length=64)
    protocol = models.CharField(max_length=4, choices=Protocol.choices)
    algorithm = models.CharField(max_length=20, choices=Algorithm.choices, default=Algorithm.ROUND_ROBIN)
    # A cookie keeps a browser with the member that it met first; HTTP only.
    is_sticky = models.BooleanField(default=False)
    # HTTP: a GET of this path must be answered with 200 to 399. Empty: whoever takes a connection is well.
    check_path = models.CharField(max_length=255, blank=True)
    check_seconds = models.PositiveSmallIntegerField(default=5)
    check_falls = models.PositiveSmallIntegerField(default=3)
    check_rises = models.PositiveSmallIntegerField(default=2)
    timeout_seconds = models.PositiveIntegerField(default=60)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("balancer", Lower("name"), name="pool_name_unique")]

    def __str__(self) -> str:
        return self.name


class PoolMember(models.Model):
    """A network card and a port there. It goes with the card."""

    class Status(models.TextChoices):
        CHECKING = "checking", "Checking"
        UP = "up", "Up"
        DOWN = "down", "Down"
        OFF = "off", "Off"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="members")
    port = models.ForeignKey("compute.Port", on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    weight = models.PositiveSmallIntegerField(default=1)
    is_enabled = models.BooleanField(default=True)
    # As the worker last heard from the process.
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.CHECKING)
    detail = models.CharField(max_length=120, blank=True)
    connections = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["pool", "port", "number"], name="pool_member_unique")]

    def __str__(self) -> str:
        return f"{self.port.ip}:{self.number}"


class Listener(models.Model):
    """A port of the balancer's address, and the pool that answers there. HTTPS: with a certificate, whose key is sealed."""

    class Protocol(models.TextChoices):
        TCP = "tcp", "TCP"
        HTTP = "http", "HTTP"
        HTTPS = "https", "HTTPS"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    balancer = models.ForeignKey(LoadBalancer, on_delete=models.CASCADE, related_name="listeners")
    protocol = models.CharField(max_length=5, choices=Protocol.choices)
    number = models.PositiveIntegerField()
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, related_name="listeners")
    timeout_seconds = models.PositiveIntegerField(default=60)
    certificate = models.TextField(blank=True)  # PEM, with its chain
    sealed_key = models.TextField(blank=True)
    certificate_names = models.JSONField(default=list, blank=True)
    certificate_until = models.DateTimeField(null=True)
    # As the worker last heard from the process; counted since its settings were last changed.
    connections = models.PositiveIntegerField(default=0)
    connections_total = models.BigIntegerField(default=0)
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["balancer", "number"], name="listener_unique")]

    def __str__(self) -> str:
        return f"{self.get_protocol_display()} {self.number}"
