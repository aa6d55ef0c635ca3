"""Volumes: disks with a life of their own, their types, and the facts that bills are made from."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from compute.models.instances import Instance
from identity.models import Project, User


class VolumeType(models.Model):
    """A quality of volumes. Its limits are never changed once it is used: a new quality is a new row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64, unique=True)
    description = models.CharField(max_length=255, blank=True)
    iops_max = models.PositiveIntegerField(null=True)  # null: no limit of its own
    mib_per_second_max = models.PositiveIntegerField(null=True)
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
        DELETING = "deleting", "Deleting"
        DELETED = "deleted", "Deleted"
        ERROR = "error", "Error"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="volumes")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    type = models.ForeignKey(VolumeType, on_delete=models.PROTECT)
    size_gib = models.PositiveIntegerField()  # what is asked for, and charged; while it grows the disk may still be smaller
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.CREATING)
    error = models.CharField(max_length=500, blank=True)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, null=True, related_name="volumes")
    is_read_only = models.BooleanField(default=False)
    is_protected = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    attached_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("project", Lower("name"), name="volume_name_unique", condition=~models.Q(status="deleted")),
        ]
        indexes = [
            models.Index(fields=["project", "name"], name="volume_list", condition=~models.Q(status="deleted")),
            models.Index(fields=["status"], name="volume_status"),
        ]

    def __str__(self) -> str:
        return self.name

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
