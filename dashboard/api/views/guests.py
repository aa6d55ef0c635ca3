"""The guest of an instance, by its agent, and the hours at which it runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common.errors import NotFound
from compute import guests, instances, office_hours, progress
from dashboard.api.base import ApiView
from dashboard.api.fields import Clock, Input, Text, Whole
from dashboard.api.openapi import operation
from dashboard.api.render import compute as render
from dashboard.api.render import guests as shapes


class Password(Input):
    user = Text(default="root", max_length=32)
    password = Text(
        allow_null=True, default=None, max_length=72, help_text="null: a new one, told only as encrypted for the instance's RSA key."
    )


class GuestView(ApiView):
    @operation("instances_guest", "What the agent in the guest last told", answer=shapes.GuestShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        report = guests.report(self.ctx, id)
        if report is None:
            raise NotFound("No agent has answered in this guest yet.")
        return self.show({"at": report.at, **report.facts}, shapes.GuestShape)


class PasswordView(ApiView):
    def rendering(self, rows: Any) -> dict[str, Any]:
        return {"ctx": self.ctx, "progress": progress.of(rows)}

    @operation("instances_password", "The password that was made up last, encrypted for the instance's key", answer=shapes.PasswordShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(instances.get(self.ctx, id), shapes.PasswordShape)

    @operation(
        "instances_set_password",
        "Have the agent in the guest set a password",
        answer=render.InstanceShape,
        status=202,
        body=Password,
        example={"user": "root", "password": "correct horse battery"},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(guests.set_password(self.ctx, id, **self.body(Password)), render.InstanceShape, status=202)


class Hours(Input):
    days = serializers.ListField(child=Whole(max_value=6), min_length=1, max_length=7, help_text="0 is Monday.")
    starts = Clock()
    stops = Clock(help_text="Not later than `starts`: on the next day.")
    zone = Text(max_length=64, default="UTC")


class HoursView(ApiView):
    @operation("instances_office_hours", "The hours at which it runs", answer=shapes.HoursShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        row = office_hours.get(self.ctx, id)
        if row is None:
            raise NotFound("It has no office hours.")
        return self.show(row, shapes.HoursShape)

    @operation(
        "instances_set_office_hours",
        "Let it run at certain hours only",
        answer=shapes.HoursShape,
        body=Hours,
        example={"days": [0, 1, 2, 3, 4], "starts": "08:00", "stops": "18:00", "zone": "Europe/Oslo"},
    )
    def put(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(office_hours.set(self.ctx, id, **self.body(Hours)), shapes.HoursShape)

    @operation("instances_clear_office_hours", "Start and stop it only when asked", answer=None, status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        office_hours.clear(self.ctx, id)
        return self.nothing()
