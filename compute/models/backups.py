"""Backups: the places in tenants' buckets where they lie, each disk at each moment, and the schedules that make them."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from compute.models.instances import Instance
from compute.models.volumes import Volume
from identity.models import Project, User


class BackupVault(models.Model):
    """A place in a bucket of the tenant's own. What lies there is complete without this row: another box can take it up again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="backup_vaults")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    bucket = models.CharField(max_length=63)
    prefix = models.CharField(max_length=200, blank=True)  # with its slash at the end
    # The key of its contents, sealed with the box's own; null: what lies there is not encrypted.
    sealed_key = models.BinaryField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    listed_at = models.DateTimeField(null=True)  # when the bucket was last read for backups that have no row here

    class Meta:
        constraints = [
            models.UniqueConstraint("project", Lower("name"), name="backup_vault_name_unique"),
            models.UniqueConstraint(fields=["project", "bucket", "prefix"], name="backup_vault_place_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_encrypted(self) -> bool:
        return self.sealed_key is not None


class BackupSchedule(models.Model):
    """When backups are made without being asked for, and how many are kept."""

    class Every(models.TextChoices):
        HOUR = "hour", "Every hour"
        DAY = "day", "Every day"
        WEEK = "week", "Every week"
        MONTH = "month", "Every month"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="backup_schedules")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    vault = models.ForeignKey(BackupVault, on_delete=models.PROTECT, related_name="schedules")
    name = models.CharField(max_length=64)
    # One of the three says what is backed up.
    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, null=True, related_name="backup_schedules")
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, null=True, related_name="backup_schedules")
    tag = models.CharField(max_length=64, blank=True)  # every instance that bears it
    every = models.CharField(max_length=5, choices=Every.choices, default=Every.DAY)
    minute = models.PositiveSmallIntegerField(default=0)
    hour = models.PositiveSmallIntegerField(default=3)  # UTC; of no meaning for hourly ones
    weekday = models.PositiveSmallIntegerField(default=0)  # 0 is Monday; weekly ones only
    day = models.PositiveSmallIntegerField(default=1)  # monthly ones only; the last of the month where it has fewer
    keep_last = models.PositiveSmallIntegerField(default=3)
    keep_hourly = models.PositiveSmallIntegerField(default=0)
    keep_daily = models.PositiveSmallIntegerField(default=7)
    keep_weekly = models.PositiveSmallIntegerField(default=4)
    keep_monthly = models.PositiveSmallIntegerField(default=6)
    is_verified = models.BooleanField(default=False)  # each backup is tried out when it is made
    is_active = models.BooleanField(default=True)
    next_at = models.DateTimeField()
    last_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)  # of the last run
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint("project", Lower("name"), name="backup_schedule_name_unique")]
        indexes = [models.Index(fields=["next_at"], name="backup_schedule_due", condition=models.Q(is_active=True))]

    def __str__(self) -> str:
        return self.name


class Backup(models.Model):
    """A disk at a moment, in a vault. Each is complete: `base` only tells from which one its reading went on."""

    class Status(models.TextChoices):
        CREATING = "creating", "Creating"
        READY = "ready", "Ready"
        DELETING = "deleting", "Deleting"
        DELETED = "deleted", "Deleted"
        ERROR = "error", "Error"

    class Disk(models.TextChoices):
        VOLUME = "volume", "Volume"
        ROOT = "root", "Root disk"

    class Trial(models.TextChoices):
        NONE = "", "Not verified"
        RUNNING = "running", "Being verified"
        PASSED = "passed", "Verified"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="backups")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    vault = models.ForeignKey(BackupVault, on_delete=models.PROTECT, related_name="backups")
    schedule = models.ForeignKey(BackupSchedule, on_delete=models.SET_NULL, null=True, related_name="backups")
    # The disk's id: a volume's, or an instance's for its root disk. On a box that imported the backup there is none of that id.
    disk_id = models.UUIDField()
    disk = models.CharField(max_length=6, choices=Disk.choices)
    volume = models.ForeignKey(Volume, on_delete=models.SET_NULL, null=True, related_name="backups")
    instance = models.ForeignKey(Instance, on_delete=models.SET_NULL, null=True, related_name="backups")
    group = models.UUIDField(null=True)  # disks of an instance that were taken at one moment
    source_name = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    size_gib = models.PositiveIntegerField()
    facts = models.JSONField(default=dict)  # of the instance, as a launch from the backup needs them
    base = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="later")
    wants_full = models.BooleanField(default=False)
    is_full = models.BooleanField(null=True)  # whether the whole disk was read; null: not known yet
    is_consistent = models.BooleanField(null=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.CREATING)
    error = models.CharField(max_length=500, blank=True)
    is_cancelled = models.BooleanField(default=False)
    # The disk may hold a snapshot of this backup's name; the bucket may hold chunks that no manifest tells of.
    holds_mark = models.BooleanField(default=False)
    holds_chunks = models.BooleanField(default=False)
    done_bytes = models.PositiveBigIntegerField(default=0)  # of the disk's size, while it is made
    read_bytes = models.PositiveBigIntegerField(null=True)
    new_bytes = models.PositiveBigIntegerField(null=True)  # what it added to the bucket
    stored_bytes = models.PositiveBigIntegerField(null=True)  # what its chunks take, shared or not
    trial = models.CharField(max_length=7, choices=Trial.choices, default=Trial.NONE, blank=True)
    trial_words = models.CharField(max_length=500, blank=True)
    tried_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["project", "created_at"], name="backup_list", condition=~models.Q(status="deleted")),
            models.Index(fields=["vault", "disk_id", "taken_at"], name="backup_chain"),
            models.Index(fields=["group"], name="backup_group"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def chain(self) -> uuid.UUID:
        """The backups of one disk in one vault: what is done to them is done one after another."""
        return uuid.uuid5(self.vault_id, self.disk_id.hex)

    @property
    def percent(self) -> int:
        return min(100, 100 * self.done_bytes // (self.size_gib * 2**30)) if self.size_gib else 0


class BackupRestore(models.Model):
    """A disk that is being filled from a backup; there as long as that lasts. A volume, or an instance's root disk."""

    disk_id = models.UUIDField(primary_key=True)
    backup = models.ForeignKey(Backup, on_delete=models.PROTECT, related_name="restores")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    done_bytes = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
