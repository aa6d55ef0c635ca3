"""Webhooks of a project, what is sent to them, and which events of a bucket go to which."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common import outbound
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import events as render
from storage import buckets, notifications, webhooks


class WebhookCreate(Input):
    name = Text(max_length=64)
    url = Text(max_length=outbound.URL_MAX)
    secret = Text(default="", allow_blank=True, max_length=256, help_text="What posts are signed with; empty: a good one is made.")


class WebhookChange(Input):
    """What is not sent stays as it is."""

    url = Text(required=False, max_length=outbound.URL_MAX)
    secret = Text(required=False, min_length=16, max_length=256)
    is_enabled = Flag(required=False)


class WebhooksView(ApiView):
    @listing("webhooks_list", "Webhooks of the project", of=render.WebhookShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(webhooks.list_webhooks(self.ctx), render.WebhookShape, self.query(PageQuery))

    @operation(
        "webhooks_create",
        "Make a webhook; its secret is told once",
        answer=render.WebhookCreated,
        status=201,
        body=WebhookCreate,
        example={"name": "thumbnails", "url": "https://hooks.example.org/cloudbox"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row, secret = webhooks.create(self.ctx, **self.body(WebhookCreate))
        shown = webhooks.get(self.ctx, row.id)
        return self.show(shown, render.WebhookShape, status=201, location=f"{request.path}/{row.id}", secret=secret)


class WebhookView(ApiView):
    @operation("webhooks_get", "One webhook", answer=render.WebhookShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(webhooks.get(self.ctx, id), render.WebhookShape)

    @operation(
        "webhooks_update",
        "Change its address or secret, or switch it off or on",
        answer=render.WebhookShape,
        body=WebhookChange,
        example={"is_enabled": False},
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        webhooks.change(self.ctx, id, **self.body(WebhookChange))
        return self.show(webhooks.get(self.ctx, id), render.WebhookShape)

    @operation("webhooks_delete", "Delete a webhook that no bucket sends events to", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        webhooks.delete(self.ctx, id)
        return self.nothing()


class WebhookTestView(ApiView):
    @operation("webhooks_test", "Send it a test event", answer=render.DeliveryShape, status=202, writes=True, tag="webhooks")
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(webhooks.send_test(self.ctx, id), render.DeliveryShape, status=202)


class WebhookRedeliverView(ApiView):
    @operation("webhooks_redeliver", "Send everything again that it did not get", answer=render.Redelivered, writes=True, tag="webhooks")
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return Response({"deliveries": webhooks.redeliver_dead(self.ctx, id)})


class DeliveryQuery(PageQuery):
    webhook = serializers.UUIDField(required=False)
    bucket = serializers.CharField(max_length=256, default="", allow_blank=True)
    state = serializers.ChoiceField(render.STATES, required=False)


class DeliveriesView(ApiView):
    @listing("deliveries_list", "Events on their way and delivered, the newest first", of=render.DeliveryShape, query=DeliveryQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(DeliveryQuery)
        rows = webhooks.log_of(self.ctx, webhook=query.get("webhook"), bucket=query["bucket"], state=query.get("state", ""))
        return self.list_page(rows, render.DeliveryShape, query)


class DeliveryView(ApiView):
    @operation("deliveries_get", "One delivery with what is posted", answer=render.DeliveryDetail)
    def get(self, request: Request, project: str, id: UUID, event_id: UUID) -> Response:
        return self.show(webhooks.delivery(self.ctx, id, event_id), render.DeliveryDetail)


class RedeliverView(ApiView):
    @operation("deliveries_redeliver", "Send an event again", answer=render.DeliveryShape, status=202, writes=True, tag="deliveries")
    def post(self, request: Request, project: str, id: UUID, event_id: UUID) -> Response:
        self.body(Input)
        return self.show(webhooks.redeliver(self.ctx, id, event_id), render.DeliveryShape, status=202)


# --- rules of a bucket


class EventRule(Input):
    id = Text(default="", allow_blank=True)
    webhook = Text(max_length=64, help_text="The name of a webhook of the project.")
    events = serializers.ListField(child=serializers.ChoiceField(notifications.EVENTS), min_length=1, max_length=20)
    prefix = Text(default="", allow_blank=True, max_length=1024)
    suffix = Text(default="", allow_blank=True, max_length=1024)
    kind = serializers.ChoiceField(notifications.KINDS, default="topic", help_text="What S3 clients see it as.")


class NotificationsPut(Input):
    rules = serializers.ListField(child=EventRule(), max_length=notifications.RULES_MAX)


class NotificationsView(ApiView):
    @listing("buckets_get_notifications", "Which of its events go where", of=render.EventRuleShape, query=None, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        return self._shown(buckets.get(self.ctx, name))

    @operation(
        "buckets_set_notifications",
        "Set all rules; an empty list takes them away",
        answer=render.EventRuleShape(many=True),
        body=NotificationsPut,
        example={"rules": [{"webhook": "probe", "events": ["ObjectCreated:*"], "prefix": "in/", "suffix": ".jpg"}]},
        tag="buckets",
    )
    def put(self, request: Request, project: str, name: str) -> Response:
        row = webhooks.set_rules(self.ctx, buckets.get(self.ctx, name), self.body(NotificationsPut)["rules"])
        return Response(render.EventRuleShape(webhooks.rules_of(row), many=True).data)

    def _shown(self, row: Any) -> Response:
        return self.list_all(webhooks.rules_of(row), render.EventRuleShape)
