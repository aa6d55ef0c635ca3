"""The drives of the object store: what each does, and adding, emptying, replacing and letting go of one. Changes are orders."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.base import ApiView
from dashboard.api.fields import Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import drives as render
from storage import drives


class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


def _weight(**kwargs: Any) -> Number:
    return Number(min_value=drives.WEIGHT_MIN, max_value=drives.WEIGHT_MAX, help_text="How much it holds beside the others.", **kwargs)


def _domain(**kwargs: Any) -> Text:
    return Text(max_length=drives.DOMAIN_MAX, allow_blank=True, help_text="What it fails together with.", **kwargs)


class DriveAdd(Input):
    path = Text(max_length=drives.PATH_MAX, help_text="A folder where an empty disk is mounted.")
    weight = _weight(default=1.0)
    domain = _domain(default="")


class DriveChange(Input):
    """What is not sent stays as it is."""

    weight = _weight(required=False)
    domain = _domain(required=False)


class DriveReplace(Input):
    path = Text(max_length=drives.PATH_MAX, help_text="A folder where an empty disk is mounted.")


class DrivesView(ApiView):
    @listing("admin_drives_list", "Drives of the object store, as they were last seen", of=render.DriveShape, query=None, tag="admin")
    def get(self, request: Request) -> Response:
        return self.list_all(drives.list_drives(self.ctx), render.DriveShape)

    @operation(
        "admin_drives_add",
        "Let a folder become a drive; the order says how that goes",
        answer=render.OrderShape,
        status=202,
        body=DriveAdd,
        example={"path": "/srv/disk5", "weight": 1, "domain": "shelf 2"},
        creates=True,
        tag="admin",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        wanted = self.body(DriveAdd)
        return self.show(drives.add(self.ctx, wanted.pop("path"), **wanted), render.OrderShape, status=202)


class DriveView(ApiView):
    @operation("admin_drives_get", "One drive", answer=render.DriveShape, tag="admin")
    def get(self, request: Request, id: UUID) -> Response:
        return self.show(drives.get(self.ctx, id), render.DriveShape)

    @operation(
        "admin_drives_update",
        "Change its weight or domain; what is stored moves by and by",
        answer=render.OrderShape,
        status=202,
        body=DriveChange,
        example={"weight": 2},
        tag="admin",
    )
    def patch(self, request: Request, id: UUID) -> Response:
        wanted = self.body(DriveChange)
        weight = wanted.get("weight", drives.get(self.ctx, id).weight)
        return self.show(drives.set_weight(self.ctx, id, weight, domain=wanted.get("domain")), render.OrderShape, status=202)


class DriveReplaceView(ApiView):
    @operation(
        "admin_drives_replace",
        "Put a new drive in its place",
        answer=render.OrderShape,
        status=202,
        body=DriveReplace,
        example={"path": "/srv/disk6"},
        tag="admin",
        writes=True,
    )
    def post(self, request: Request, id: UUID) -> Response:
        return self.show(drives.replace(self.ctx, id, self.body(DriveReplace)["path"]), render.OrderShape, status=202)


class DriveOrdersView(ApiView):
    @listing("admin_drive_orders_list", "What was asked for lately, the newest first", of=render.OrderShape, query=None, tag="admin")
    def get(self, request: Request) -> Response:
        return self.list_all(drives.orders(self.ctx), render.OrderShape)


class StoreRoundsView(ApiView):
    @operation("admin_store_rounds_get", "What the object store does beside serving", answer=render.RoundsShape, tag="admin")
    def get(self, request: Request) -> Response:
        return self.show(drives.rounds(self.ctx), render.RoundsShape)


_VERBS = {
    "drain": (drives.drain, "Empty it: what it holds is copied to the others"),
    "keep": (drives.keep, "Empty it no longer"),
    "remove": (drives.remove, "Let go of an empty drive, or give up a missing one"),
}


def verb_view(key: str) -> Any:
    """A view of one thing that can be done with a drive."""
    act, summary = _VERBS[key]

    class View(ApiView):
        @operation(f"admin_drives_{key}", summary, answer=render.OrderShape, status=202, tag="admin", writes=True)
        def post(self, request: Request, id: UUID) -> Response:
            self.body(Input)
            return self.show(act(self.ctx, id), render.OrderShape, status=202)

    View.__name__ = f"Drive{key.capitalize()}View"
    return View.as_view()
