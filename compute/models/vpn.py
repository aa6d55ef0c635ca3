"""Access to networks from outside, by WireGuard: an entrance of each router that needs one, and who may come in by it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from compute.models.networks import Network
from compute.models.routers import Router
from identity.models import Project, User


class VpnGateway(models.Model):
    """A router's entrance. `number` places its addresses; `sealed_key` is its private key, sealed."""

    router = models.OneToOneField(Router, on_delete=models.CASCADE, primary_key=True, related_name="vpn")
    number = models.PositiveSmallIntegerField(unique=True)
    port = models.PositiveIntegerField(default=51820)
    public_key = models.CharField(max_length=44)
    sealed_key = models.TextField()


class VpnPeer(models.Model):
    """Somebody's device, and the network that it may reach. Its private key is nowhere here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="vpn_peers")
    gateway = models.ForeignKey(VpnGateway, on_delete=models.CASCADE, related_name="peers")
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="vpn_peers")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=64)
    public_key = models.CharField(max_length=44)
    ip = models.GenericIPAddressField(protocol="IPv4")
    # What its entrance told last: sums over all times that it ran.
    handshake_at = models.DateTimeField(null=True)
    bytes_in = models.PositiveBigIntegerField(default=0)
    bytes_out = models.PositiveBigIntegerField(default=0)
    # Its counters as they were told last, since they begin anew with the process.
    seen_in = models.PositiveBigIntegerField(default=0)
    seen_out = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("project", Lower("name"), name="vpn_peer_name_unique"),
            models.UniqueConstraint(fields=["gateway", "public_key"], name="vpn_peer_key_unique"),
            models.UniqueConstraint(fields=["gateway", "ip"], name="vpn_peer_ip_unique"),
        ]

    def __str__(self) -> str:
        return self.name
