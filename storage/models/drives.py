"""Drives of the object store as people see them, and what administrators have asked for. See storage/drives.py for who writes what."""

from __future__ import annotations

import uuid

from django.db import models


class StoreDrive(models.Model):
    """A drive as the data plane last saw it. Only the data plane writes these rows; `facts` are told in storage/drive_rounds.py."""

    class State(models.TextChoices):
        ACTIVE = "active", "In use"
        DRAINING = "draining", "Being emptied"
        DRAINED = "drained", "Empty; can be removed"
        MISSING = "missing", "Missing"
        SUSPECT = "suspect", "Failing"

    id = models.UUIDField(primary_key=True)  # What drive.json says.
    path = models.CharField(max_length=1024)
    state = models.CharField(max_length=8, choices=State.choices)
    weight = models.FloatField(default=1.0)
    domain = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(default=dict)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path


class StoreRounds(models.Model):
    """What the object store does beside serving, as of `seen_at`; one row, with id 1."""

    facts = models.JSONField(default=dict)
    seen_at = models.DateTimeField()


class DriveOrder(models.Model):
    """Something that is to be done with the drives. Orders are carried out one after the other."""

    class Verb(models.TextChoices):
        ADD = "add", "Add"
        DRAIN = "drain", "Empty"
        KEEP = "keep", "Keep"
        REMOVE = "remove", "Remove"
        REPLACE = "replace", "Replace"
        SET = "set", "Set"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        WORKING = "working", "Under way"  # A replacement whose old drive is still being emptied.
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    verb = models.CharField(max_length=7, choices=Verb.choices)
    drive = models.UUIDField(null=True)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    said = models.TextField(blank=True)  # Why it failed, or what should be known about how it went.
    asked_by = models.CharField(max_length=254)
    asked_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["asked_at"]
