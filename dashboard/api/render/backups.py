"""Backups, the vaults that they lie in, and the schedules that make them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute import backup_lifecycle, backup_schedules, backups
from dashboard.api.render.compute import Named

STATUSES = sorted(map(str, backup_lifecycle.MOVES))
EVERY = [str(each) for each in backup_schedules.Every.values]


class BackupVaultShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    description = serializers.CharField()
    bucket = serializers.CharField()
    prefix = serializers.CharField(help_text="The folder in the bucket, with its slash at the end; empty: all of it.")
    is_encrypted = serializers.BooleanField()
    backups = serializers.IntegerField(source="count", help_text="How many are ready.")
    stored_bytes = serializers.SerializerMethodField(help_text="What they take in the bucket, what they share counted once.")
    newest_at = serializers.DateTimeField(source="newest", allow_null=True)
    created_at = serializers.DateTimeField()

    def get_stored_bytes(self, row: Any) -> int:
        return row.stored or 0


class BackupVaultMadeShape(serializers.Serializer):
    vault = BackupVaultShape()
    passphrase = serializers.CharField(help_text="The one that was made up, told this once. Empty: none was.")
    found = serializers.IntegerField(help_text="How many backups lay there.")


class BackupShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    error = serializers.CharField()
    vault = Named()
    schedule = Named(allow_null=True)
    disk = serializers.ChoiceField([str(each) for each in backups.Backup.Disk.values], help_text="A volume, or an instance's root disk.")
    disk_id = serializers.UUIDField(help_text="The volume's id, or the instance's.")
    source_name = serializers.CharField(help_text="What that was called then.")
    volume = Named(allow_null=True)
    instance = Named(allow_null=True)
    group = serializers.UUIDField(allow_null=True, help_text="The same for all disks of an instance that were taken at one moment.")
    size_gib = serializers.IntegerField()
    is_full = serializers.BooleanField(allow_null=True, help_text="Was the whole disk read? Each is whole by itself all the same.")
    base_id = serializers.UUIDField(allow_null=True, help_text="The backup from which its reading went on.")
    is_consistent = serializers.BooleanField(allow_null=True, help_text="Had the guest written out everything? null: it was off.")
    percent = serializers.IntegerField()
    read_bytes = serializers.IntegerField(allow_null=True)
    new_bytes = serializers.IntegerField(allow_null=True, help_text="What it added to the bucket.")
    stored_bytes = serializers.IntegerField(allow_null=True, help_text="What all of it takes there, shared with others or not.")
    trial = serializers.ChoiceField(["", "running", "passed", "failed"], help_text="How the last trial ended; empty: there was none.")
    trial_words = serializers.CharField()
    tried_at = serializers.DateTimeField(allow_null=True)
    actions = serializers.SerializerMethodField(help_text="What can be done now: null, or the sentence that says why not.")
    created_at = serializers.DateTimeField()
    taken_at = serializers.DateTimeField(allow_null=True, help_text="The moment that it holds.")
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(
        {
            "type": "object",
            "properties": {key: {"type": ["string", "null"]} for key in backups.ACTIONS},
            "required": [*backups.ACTIONS],
            "additionalProperties": False,
        }
    )
    def get_actions(self, row: Any) -> dict[str, str | None]:
        return {key: backups.why_not(self.context["ctx"], row, key) or None for key in backups.ACTIONS}


class BackupScheduleShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    vault = Named()
    volume = Named(allow_null=True)
    instance = Named(allow_null=True)
    tag = serializers.CharField(help_text="Every instance that bears it, as key or key:value.")
    every = serializers.ChoiceField(EVERY)
    minute = serializers.IntegerField()
    hour = serializers.IntegerField(help_text="UTC.")
    weekday = serializers.IntegerField(help_text="0 is Monday.")
    day = serializers.IntegerField(help_text="Of the month; one that has fewer has its last.")
    keep_last = serializers.IntegerField()
    keep_hourly = serializers.IntegerField()
    keep_daily = serializers.IntegerField()
    keep_weekly = serializers.IntegerField()
    keep_monthly = serializers.IntegerField()
    is_verified = serializers.BooleanField(help_text="Is each backup tried when it is made?")
    is_active = serializers.BooleanField()
    error = serializers.CharField(help_text="Why the last run made less than it should have.")
    next_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class PartShape(serializers.Serializer):
    number = serializers.IntegerField(help_text="As the disk counts, from 1; 0: the file system is on the whole disk.")
    title = serializers.CharField(help_text="Of the file system.")
    label = serializers.CharField()
    size_bytes = serializers.IntegerField()
    why_not = serializers.CharField(help_text="Why it cannot be looked into; empty: it can.")


class NodeShape(serializers.Serializer):
    name = serializers.CharField(help_text="What is no text in it is written \\xNN; by this name it is found.")
    kind = serializers.ChoiceField(["folder", "file", "link", "other"])
    size_bytes = serializers.IntegerField()
    modified = serializers.DateTimeField(allow_null=True)
    link = serializers.CharField(help_text="Where a link points.")


class FilesShape(serializers.Serializer):
    parts = PartShape(many=True)
    part = PartShape(allow_null=True, help_text="null: the disk has several that can be read, or none. Choose one.")
    path = serializers.CharField()
    entries = NodeShape(many=True)
    is_cut = serializers.BooleanField(help_text="There are more than are shown.")
    note = serializers.CharField(help_text="What to know of what is read from this part; may be empty.")
