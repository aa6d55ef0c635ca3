"""Webhooks, deliveries, and the rules of buckets about events."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from storage import notifications

STATES = ("waiting", "delivered", "dead")


class WebhookShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    url = serializers.CharField()
    is_enabled = serializers.BooleanField()
    waiting = serializers.IntegerField(source="waiting_count", help_text="Events on their way.")
    dead = serializers.IntegerField(source="dead_count", help_text="Events that it did not get, and that can be sent again.")
    delivered_at = serializers.DateTimeField(allow_null=True, help_text="When it last got one.")
    created_at = serializers.DateTimeField()


class WebhookCreated(WebhookShape):
    secret = serializers.CharField(help_text="Told this once.")


class DeliveryShape(serializers.Serializer):
    event_id = serializers.UUIDField(help_text="The same for each attempt, and in X-Cloudbox-Event-Id.")
    webhook_id = serializers.UUIDField()
    webhook = serializers.CharField(source="webhook.name")
    event = serializers.CharField()
    bucket = serializers.CharField()
    key = serializers.CharField()
    state = serializers.ChoiceField(STATES, help_text="dead: it could not be delivered for a day, or the webhook was switched off.")
    attempts = serializers.IntegerField()
    status = serializers.IntegerField(allow_null=True, help_text="Of the last answer.")
    reason = serializers.CharField(source="said", help_text="Why the last attempt failed.")
    made_at = serializers.DateTimeField()
    due_at = serializers.SerializerMethodField(help_text="When it is tried next.")
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_due_at(self, row: Any) -> str | None:
        return row.due_at.isoformat() if row.state == "waiting" else None


class DeliveryDetail(DeliveryShape):
    document = serializers.JSONField(help_text="What is posted.")


class Redelivered(serializers.Serializer):
    deliveries = serializers.IntegerField(help_text="How many events are sent again.")


class EventRuleShape(serializers.Serializer):
    id = serializers.CharField()
    webhook = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    prefix = serializers.CharField()
    suffix = serializers.CharField()
    kind = serializers.ChoiceField(notifications.KINDS)
    sentence = serializers.SerializerMethodField()

    def get_sentence(self, rule: Any) -> str:
        return notifications.told(rule)
