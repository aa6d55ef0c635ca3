"""What an instance is made from: sizes, disks to start from, keys to sign in with."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from identity.models import Project, User


class Flavor(models.Model):
    """A size. Never changed once used: a new size is a new row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64, unique=True)
    vcpus = models.PositiveSmallIntegerField()
    memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    is_public = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    sort = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["sort", "memory_mib", "name"]

    def __str__(self) -> str:
        return self.name


class Image(models.Model):
    """A disk to start from. `project` null: it belongs to the box's catalogue."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        IMPORTING = "importing", "Importing"
        READY = "ready", "Ready"
        DEACTIVATED = "deactivated", "Deactivated"
        FAILED = "failed", "Failed"
        DELETED = "deleted", "Deleted"

    class Visibility(models.TextChoices):
        PUBLIC = "public", "Public"
        PRIVATE = "private", "Private"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, related_name="images")
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=255, blank=True)
    os = models.CharField(max_length=32, blank=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.PRIVATE)
    size_bytes = models.PositiveBigIntegerField(default=0)
    virtual_bytes = models.PositiveBigIntegerField(default=0)
    min_disk_gib = models.PositiveIntegerField(default=0)
    min_memory_mib = models.PositiveIntegerField(default=0)
    checksum = models.CharField(max_length=64, blank=True)
    # Where it was brought from, and as what: {"url": …} or {"bucket": …, "key": …}; a format of compute.image_formats.
    source = models.JSONField(default=dict)
    format = models.CharField(max_length=16, blank=True)
    # What was found in it: compute.image_formats' facts, "boot" (how it is likely to), "launch" (what its machine had).
    facts = models.JSONField(default=dict)
    progress = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Keypair(models.Model):
    """A public key, put into new instances. The private half is never kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="keypairs")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="keypairs")
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=16)
    public_key = models.TextField(max_length=4096)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="keypair_name_unique")]

    def __str__(self) -> str:
        return self.name
