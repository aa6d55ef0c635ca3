"""Volumes: disks with a life of their own, their types, and the facts that bills are made from."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from compute.models.catalogue import Flavor, Image
from compute.models.instances import Instance
from identity.models import Project, User


class VolumeType(models.Model):
    """A quality of volumes: where they lie, how fast they may be, and what they cost. Never changed once it is used."""

    class Backend(models.TextChoices):
        QCOW2 = "qcow2", "Files of this box"
        LVM = "lvm", "LVM thin pool"
        RBD = "rbd", "Ceph RBD"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64, unique=True)
    description = models.CharField(max_length=255, blank=True)
    iops_max = models.PositiveIntegerField(null=True)  # null: no limit of its own
    mib_per_second_max = models.PositiveIntegerField(null=True)
    backend = models.CharField(max_length=8, choices=Backend.choices, default=Backend.QCOW2)
    price_micros = models.PositiveBigIntegerField(null=True)  # of a GiB for a month, in millionths of the box's currency; null: not set
    is_active = models.BooleanField(default=True)
    sort = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["sort", "name"]

    def __str__(self) -> str:
        return self.name


class Volume(models.Model):
    """A disk. `instance` is where the tenant wants it, `status` what we last knew. Only moves write status."""

    class Status(models.TextChoices):
        CREATING = "creating", "Creating"
        AVAILABLE = "available", "Available"
        ATTACHING = "attaching", "Attaching"
        ATTACHED = "attached", "Attached"
        DETACHING = "detaching", "Detaching"
        GROWING = "growing", "Growing"
        RESTORING = "restoring", "Restoring"
        RETYPING = "retyping", "Changing its type"
        OFFERED = "offered", "Offered"
        DELETING = "deleting", "Deleting"
        DELETED = "deleted", "Deleted"
        ERROR = "error", "Error"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="volumes")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    name = models.CharField(max_length=255)
    # As of instances: made through an API whose names may be the same.
    shares_name = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True)  # pairs that people noted
    description = models.CharField(max_length=255, blank=True)
    type = models.ForeignKey(VolumeType, on_delete=models.PROTECT)
    size_gib = models.PositiveIntegerField()  # what is asked for, and charged; while it grows the disk may still be smaller
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.CREATING)
    error = models.CharField(max_length=500, blank=True)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, null=True, related_name="volumes")
    is_read_only = models.BooleanField(default=False)
    # Its instance boots from it; and whether it is deleted with that instance.
    is_boot = models.BooleanField(default=False)
    dies_with_instance = models.BooleanField(default=False)
    # The image whose system is on it, be it by way of snapshots and copies; null: nothing that boots, as far as we know.
    image = models.ForeignKey(Image, on_delete=models.PROTECT, null=True, related_name="volumes")
    # What it is copied from while it is created: the image, or one of these.
    source_volume = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="copies")
    source_snapshot = models.ForeignKey("Snapshot", on_delete=models.SET_NULL, null=True, related_name="copies")
    source_instance_snapshot = models.ForeignKey("InstanceSnapshot", on_delete=models.SET_NULL, null=True, related_name="copies")
    # The snapshot that its present content goes on from.
    base = models.ForeignKey("Snapshot", on_delete=models.SET_NULL, null=True, related_name="+")
    used_bytes = models.PositiveBigIntegerField(null=True)  # with its snapshots, when last looked at
    is_protected = models.BooleanField(default=False)
    # Said by hand: whether it may be booted from (null: if it was made from an image), and whether it is only ever attached read-only.
    is_bootable = models.BooleanField(null=True)
    attaches_read_only = models.BooleanField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    attached_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "project", Lower("name"), name="volume_name_unique", condition=~models.Q(status="deleted") & models.Q(shares_name=False)
            ),
            models.UniqueConstraint(fields=["instance"], name="volume_one_boot", condition=models.Q(is_boot=True)),
        ]
        indexes = [
            models.Index(fields=["project", "name"], name="volume_list", condition=~models.Q(status="deleted")),
            models.Index(fields=["status"], name="volume_status"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def boots(self) -> bool:
        return self.image_id is not None if self.is_bootable is None else self.is_bootable

    @property
    def serial(self) -> str:
        """By which the guest finds it: /dev/disk/by-id/virtio-<serial>. The drivers give it this one (specs.DiskSpec.serial)."""
        return self.id.hex[:20]


class VolumeInterval(models.Model):
    """A stretch of time in which a volume had one size."""

    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="intervals")
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    type = models.CharField(max_length=64)
    size_gib = models.PositiveIntegerField()
    start = models.DateTimeField()
    end = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["volume"], name="volume_one_open", condition=models.Q(end=None))]
        indexes = [models.Index(fields=["project", "start"], name="volume_usage_project")]


class InstanceSnapshot(models.Model):
    """An instance's disks at one moment: its root disk here, each volume as a snapshot of its own. It lives as long as the root disk."""

    class Status(models.TextChoices):
        CREATING = "creating", "Creating"
        READY = "ready", "Ready"
        RESTORING = "restoring", "Restoring"
        DELETING = "deleting", "Deleting"
        DELETED = "deleted", "Deleted"
        ERROR = "error", "Error"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="instance_snapshots")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="snapshots")
    # As it was: what a launch from it needs.
    image = models.ForeignKey(Image, on_delete=models.PROTECT, related_name="+")
    flavor = models.ForeignKey(Flavor, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    root_gib = models.PositiveIntegerField()  # 0: it booted from a volume
    is_consistent = models.BooleanField(null=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.CREATING)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("instance", Lower("name"), name="instance_snapshot_name_unique", condition=~models.Q(status="deleted")),
        ]
        indexes = [models.Index(fields=["project", "created_at"], name="instance_snapshot_list", condition=~models.Q(status="deleted"))]

    def __str__(self) -> str:
        return self.name


class Snapshot(models.Model):
    """A volume as it was at a moment. It lies with its volume; `parent` is the one that the content went on from."""

    class Status(models.TextChoices):
        CREATING = "creating", "Creating"
        READY = "ready", "Ready"
        DELETING = "deleting", "Deleting"
        DELETED = "deleted", "Deleted"
        ERROR = "error", "Error"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="snapshots")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    volume = models.ForeignKey(Volume, on_delete=models.PROTECT, related_name="snapshots")
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="children")
    group = models.ForeignKey(InstanceSnapshot, on_delete=models.SET_NULL, null=True, related_name="volumes")
    name = models.CharField(max_length=255)
    shares_name = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True)  # pairs that people noted
    description = models.CharField(max_length=255, blank=True)
    size_gib = models.PositiveIntegerField()
    # Whether the guest had written out everything; null: it was attached to none that ran.
    is_consistent = models.BooleanField(null=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.CREATING)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "volume", Lower("name"), name="snapshot_name_unique", condition=~models.Q(status="deleted") & models.Q(shares_name=False)
            ),
        ]
        indexes = [models.Index(fields=["project", "created_at"], name="snapshot_list", condition=~models.Q(status="deleted"))]

    def __str__(self) -> str:
        return self.name


class VolumeTransfer(models.Model):
    """A volume offered to whoever has the key: a random text, told once and kept as a hash."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    volume = models.OneToOneField(Volume, on_delete=models.CASCADE, related_name="transfer")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=255, blank=True)
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
