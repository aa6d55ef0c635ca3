"""Webhooks of projects, and what was sent to them or is about to be."""

from __future__ import annotations

import uuid

from django.db import models

from identity.models import Project


class Webhook(models.Model):
    """An address that a project's events are posted to. The secret that they are signed with is sealed by the box's master key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="webhooks")
    name = models.CharField(max_length=64)
    url = models.CharField(max_length=2048)
    sealed_secret = models.BinaryField()
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="webhook_name_unique")]

    def __str__(self) -> str:
        return self.name


class EventDelivery(models.Model):
    """An event on its way to a webhook. Waiting ones are due at `due_at`; what could not be delivered in a day is dead, and stays to be
    sent again by hand."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        DEAD = "dead", "Not delivered"

    id = models.BigAutoField(primary_key=True)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event_id = models.UUIDField(default=uuid.uuid4)
    event = models.CharField(max_length=64)
    bucket = models.CharField(max_length=256, blank=True)
    key = models.CharField(max_length=1024, blank=True)  # As people read it: what is no UTF-8 is replaced.
    document = models.JSONField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    status = models.PositiveIntegerField(null=True)  # Of the last answer.
    said = models.CharField(max_length=300, blank=True)  # Why the last attempt failed.
    made_at = models.DateTimeField()
    since = models.DateTimeField()  # When the present day of attempts began: with the event, or when somebody had it sent again.
    due_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["webhook", "event_id"], name="event_delivery_unique")]
        indexes = [
            models.Index(fields=["due_at", "id"], condition=models.Q(state="waiting"), name="event_delivery_due"),
            models.Index(fields=["webhook", "-id"], name="event_delivery_log"),
        ]
