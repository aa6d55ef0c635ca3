"""What buckets held and were asked over time, and their inventories."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.base import ApiView
from dashboard.api.fields import Flag, Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import storage as render
from storage import buckets, inventories, traffic, usage


class UsageQuery(Input):
    days = serializers.IntegerField(default=30, min_value=1, max_value=usage.SERIES_DAYS_MAX)
    by = serializers.ChoiceField(["day", "hour"], default="day")


class BucketUsageView(ApiView):
    @listing("buckets_get_usage", "What it held over time, oldest first", of=render.HeldShape, query=UsageQuery, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        query, row = self.query(UsageQuery), buckets.get(self.ctx, name)
        return self.list_all(usage.series(self.ctx, bucket=row, days=query["days"], by_day=query["by"] == "day"), render.HeldShape)


class BucketsUsageView(ApiView):
    @listing("buckets_list_usage", "What each bucket held this month, the most first", of=render.MonthShape, query=None, tag="buckets")
    def get(self, request: Request, project: str) -> Response:
        return self.list_all(usage.of_month(self.ctx), render.MonthShape)


class BucketTrafficView(ApiView):
    @listing("buckets_get_traffic", "What was asked of it over time, oldest first", of=render.MovedShape, query=UsageQuery, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        query, row = self.query(UsageQuery), buckets.get(self.ctx, name)
        return self.list_all(traffic.series(self.ctx, bucket=row, days=query["days"], by_day=query["by"] == "day"), render.MovedShape)


class InventoryCreate(Input):
    target = Text(default="", allow_blank=True, max_length=256, help_text="A bucket of the project; empty: itself.")
    prefix = Text(default="", allow_blank=True, max_length=1024)
    versions = Flag(default=False, help_text="All versions and delete markers.")


class InventoryView(ApiView):
    @operation("buckets_get_inventory", "The latest inventory, and how far it is", answer=render.InventoryShape, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        return self.show(inventories.latest(buckets.get(self.ctx, name)) or inventories.NEVER, render.InventoryShape)

    @operation(
        "buckets_write_inventory",
        "Have a list of its objects written, as a CSV file in a bucket",
        answer=render.InventoryShape,
        status=202,
        body=InventoryCreate,
        example={"versions": True},
        creates=True,
        tag="buckets",
    )
    @idempotent
    def post(self, request: Request, project: str, name: str) -> Response:
        wanted = self.body(InventoryCreate)
        return self.show(inventories.start(self.ctx, buckets.get(self.ctx, name), **wanted), render.InventoryShape, status=202)
