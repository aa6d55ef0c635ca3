"""Instances, the facts of their running, their samples, and keys to their consoles."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from compute.models.catalogue import ConfigDrive, Flavor, Image, Keypair
from identity.models import Project, User


class ServerGroup(models.Model):
    """Instances that are to run on one host, or on different ones. On a box of one host it is kept on record."""

    class Policy(models.TextChoices):
        AFFINITY = "affinity", "Together"
        ANTI_AFFINITY = "anti-affinity", "Apart"
        SOFT_AFFINITY = "soft-affinity", "Together if possible"
        SOFT_ANTI_AFFINITY = "soft-anti-affinity", "Apart if possible"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="server_groups")
    name = models.CharField(max_length=64)
    policy = models.CharField(max_length=20, choices=Policy.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="server_group_name_unique")]

    def __str__(self) -> str:
        return self.name


class Instance(models.Model):
    """A virtual machine. `intended` is what the tenant asked for; `status` is what we last knew. Only `moves` write status."""

    class Status(models.TextChoices):
        BUILDING = "building", "Building"
        RUNNING = "running", "Running"
        STARTING = "starting", "Starting"
        STOPPING = "stopping", "Stopping"
        STOPPED = "stopped", "Stopped"
        REBOOTING = "rebooting", "Rebooting"
        PAUSED = "paused", "Paused"
        SUSPENDING = "suspending", "Suspending"
        SUSPENDED = "suspended", "Suspended"
        RESIZING = "resizing", "Resizing"
        REBUILDING = "rebuilding", "Rebuilding"
        RESCUING = "rescuing", "Changing its boot disk"
        SHELVING = "shelving", "Shelving"
        SHELVED = "shelved", "Shelved"
        UNSHELVING = "unshelving", "Unshelving"
        DELETING = "deleting", "Deleting"
        DELETED = "deleted", "Deleted"
        ERROR = "error", "Error"

    class Firmware(models.TextChoices):
        BIOS = "bios", "BIOS"
        UEFI = "uefi", "UEFI"
        SECURE = "secure", "UEFI with secure boot"

    class Intent(models.TextChoices):
        RUNNING = "running"
        STOPPED = "stopped"
        PAUSED = "paused"
        SUSPENDED = "suspended"
        SHELVED = "shelved"
        DELETED = "deleted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="instances")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    name = models.CharField(max_length=255)
    # Made through an API whose names may be the same (OpenStack's): nobody reserves the name by it, and it takes none away.
    shares_name = models.BooleanField(default=False)
    description = models.CharField(max_length=255, blank=True)
    hostname = models.CharField(max_length=63)
    flavor = models.ForeignKey(Flavor, on_delete=models.PROTECT)
    image = models.ForeignKey(Image, on_delete=models.PROTECT)
    keypair = models.ForeignKey(Keypair, on_delete=models.SET_NULL, null=True)
    # What was bought, kept with the instance: the flavor and the key may be gone tomorrow.
    vcpus = models.PositiveSmallIntegerField()
    memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    public_key = models.TextField(blank=True)
    user_data = models.BinaryField(blank=True, default=b"")
    tags = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)  # pairs that the guest may read
    # What people noted as its address for others to use (Nova's accessIPv4 and accessIPv6); the box does nothing with them.
    access_ipv4 = models.GenericIPAddressField(protocol="IPv4", null=True)
    access_ipv6 = models.GenericIPAddressField(protocol="IPv6", null=True)
    group = models.ForeignKey(ServerGroup, on_delete=models.SET_NULL, null=True, related_name="instances")
    # What its machine is made of, as far as people choose it; at its next start.
    firmware = models.CharField(max_length=8, choices=Firmware.choices, default=Firmware.BIOS)
    machine_type = models.CharField(max_length=16, default="q35")
    disk_bus = models.CharField(max_length=8, default="virtio")
    nic_model = models.CharField(max_length=8, default="virtio")
    has_tpm = models.BooleanField(default=False)
    config_drive = models.CharField(max_length=10, choices=ConfigDrive.choices, blank=True)
    boot_order = models.JSONField(default=list, blank=True)  # of disk, cdrom, network; empty: the disk
    cdrom_image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="+")
    # Set: it boots from a copy of this image, and its own disk is the second.
    rescue_image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="+")
    # Set: its disk lies in the image store, and it takes no processor and no memory, nor their quota.
    shelved_at = models.DateTimeField(null=True)
    # EC2's IMDSv2: whether the metadata service tells anything without a token, and how far its answer with one may travel.
    tokens_required = models.BooleanField(default=False)
    token_hops = models.PositiveSmallIntegerField(default=1)
    # As the guest's administrator has it now, encrypted for the public key; base64 (what Nova calls the server's password).
    sealed_password = models.TextField(blank=True)
    # What a first boot is to set for root, sealed, and since when it is told (Nova's adminPass).
    first_password = models.TextField(blank=True)
    first_password_at = models.DateTimeField(null=True)
    intended = models.CharField(max_length=10, choices=Intent.choices, default=Intent.RUNNING)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.BUILDING)
    error = models.CharField(max_length=500, blank=True)
    locked_by = models.CharField(max_length=254, blank=True)
    is_protected = models.BooleanField(default=False)
    token = models.CharField(max_length=64, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    started_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    screen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "project", Lower("name"), name="instance_name_unique", condition=~models.Q(status="deleted") & models.Q(shares_name=False)
            ),
            models.UniqueConstraint(fields=["project", "token"], name="instance_token_unique"),
        ]
        indexes = [
            models.Index(fields=["project", "name"], name="instance_list", condition=~models.Q(status="deleted")),
            models.Index(fields=["status"], name="instance_status"),
        ]

    def __str__(self) -> str:
        return self.name


class UsageInterval(models.Model):
    """A stretch of time in which an instance was in one status: the fact that bills are made from."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="intervals")
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    status = models.CharField(max_length=10)
    flavor = models.CharField(max_length=64)
    start = models.DateTimeField()
    end = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance"], name="usage_one_open", condition=models.Q(end=None))]
        indexes = [models.Index(fields=["project", "start"], name="usage_project")]


class MetricSample(models.Model):
    """What an instance used in one period: rates, already computed. `period_seconds` is 10 (kept an hour), 60 (a day) or 900 (30 days)."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="+")
    period_seconds = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    cpu_percent = models.FloatField()
    memory_mib = models.FloatField(null=True)
    disk_read_bps = models.FloatField()
    disk_write_bps = models.FloatField()
    disk_iops = models.FloatField()
    net_rx_bps = models.FloatField()
    net_tx_bps = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "period_seconds", "at"], name="metric_unique")]
        indexes = [models.Index(fields=["period_seconds", "at"], name="metric_age")]


class ConsoleToken(models.Model):
    """A single-use key to one console, good for a minute. Kept as a hash."""

    digest = models.CharField(primary_key=True, max_length=64)
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    session_key = models.CharField(max_length=40, blank=True)
    kind = models.CharField(max_length=8)
    write = models.BooleanField(default=True)
    expires_at = models.DateTimeField()
