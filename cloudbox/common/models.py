"""Tables that every app shares: what happened (Event), and slow work (Job)."""

from __future__ import annotations

import uuid

from django.db import models


class Event(models.Model):
    """One line of the audit log: who did what, to what, from where, through which door, and how it ended.

    Rows are sealed by `cloudbox.common.events.seal` into a hash chain (`chain` gives the order, `digest` covers the row
    and the digest before it), so that a changed or removed row shows.
    """

    class Outcome(models.TextChoices):
        OK = "ok"
        REFUSED = "refused"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    actor_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=254)
    project_id = models.UUIDField(null=True)
    verb = models.CharField(max_length=64)
    noun = models.CharField(max_length=32)
    subject_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=255, blank=True)
    api = models.CharField(max_length=16)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=40, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.OK)
    detail = models.CharField(max_length=500, blank=True)
    chain = models.BigIntegerField(null=True, unique=True)
    digest = models.CharField(max_length=64, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["project_id", "-id"], name="event_project"),
            models.Index(fields=["subject_id", "-id"], name="event_subject"),
            models.Index(fields=["id"], name="event_unsealed", condition=models.Q(chain=None)),
        ]


class Job(models.Model):
    """A list of steps on its way: which job, on what, how far. Procrastinate carries it; this row remembers the step."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        UNDOING = "undoing"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    kind = models.CharField(max_length=64)
    subject_id = models.UUIDField(db_index=True)
    project_id = models.UUIDField(null=True)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=State.choices, default=State.QUEUED)
    step = models.PositiveSmallIntegerField(default=0)
    steps = models.PositiveSmallIntegerField(default=0)
    doing = models.CharField(max_length=120, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    actor_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=254, blank=True)
    api = models.CharField(max_length=16, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["state", "created_at"], name="job_state")]
