"""Instances: list, launch, look, change, power, console, log, metrics."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common.errors import Invalid, NotFound
from compute import consoles, instances, metrics, progress
from compute.boot_volumes import BootVolume
from compute.instances import LaunchSpec
from compute.models import ConfigDrive
from dashboard.api import idempotency
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import PNG, listing, operation
from dashboard.api.render import compute as render

# Four characters for three bytes.
USER_DATA_BASE64_MAX = -(-instances.USER_DATA_BYTES_MAX // 3) * 4
SORTS = ["name", "-name", "status", "-status", "created", "-created", "size", "-size"]


class InstanceQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In the name, address, id or tags.")
    status = serializers.ChoiceField(render.STATUSES, default="", allow_blank=True)
    tag = serializers.CharField(max_length=200, default="", allow_blank=True, help_text="`key` or `key:value`.")
    sort = serializers.ChoiceField(SORTS, default="name")


class Launch(Input):
    name = Text(max_length=60)
    image_id = Id(allow_null=True, default=None, help_text="null: the system of what it boots from.")
    flavor_id = Id()
    keypair_id = Id(allow_null=True, default=None)
    network_ids = serializers.ListField(child=Id(), max_length=instances.NICS_MAX, default=list, help_text="Empty: the project's only one.")
    port_ids = serializers.ListField(
        child=Id(), max_length=instances.NICS_MAX, default=list, help_text="Reserved ports, which come first as its cards."
    )
    security_group_ids = serializers.ListField(child=Id(), max_length=10, default=list, help_text="Empty: the default group.")
    user_data = Text(default="", allow_blank=True, max_length=instances.USER_DATA_BYTES_MAX, help_text="For cloud-init.")
    user_data_base64 = Text(
        default="", allow_blank=True, max_length=USER_DATA_BASE64_MAX, help_text="The same for bytes that are no text, as of gzip."
    )
    hostname = Text(default="", allow_blank=True, max_length=63)
    description = Text(default="", allow_blank=True)
    tags = serializers.DictField(child=Text(allow_blank=True, max_length=128), default=dict)
    metadata = serializers.DictField(
        child=Text(allow_blank=True, max_length=255),
        default=dict,
        help_text="Pairs that its guest reads at 169.254.169.254, as OpenStack's `meta`.",
    )
    count = Whole(default=1, min_value=1, max_value=instances.COUNT_MAX)
    disk_gib = Whole(
        allow_null=True,
        default=None,
        min_value=1,
        max_value=instances.DISK_GIB_MAX,
        help_text="null: as the size has, or as much as the image needs.",
    )
    start = Flag(default=True)
    config_drive = serializers.ChoiceField(
        ["", *ConfigDrive.values],
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="A small disk that tells at the first boot what the metadata service tells; empty: none, null: as the image has it.",
    )
    boot_on_volume = Flag(default=False, help_text="It boots from a new volume instead of a root disk of its own.")
    boot_volume_id = Id(allow_null=True, default=None, help_text="It boots from this volume, which was made from an image.")
    boot_snapshot_id = Id(allow_null=True, default=None, help_text="It boots from a new volume, as one was at this snapshot.")
    boot_type_id = Id(allow_null=True, default=None, help_text="The type of the new volume; null: the first on offer.")
    boot_volume_dies = Flag(default=False, help_text="The volume that it boots from is deleted with it, unless it has snapshots.")


def spec_of(body: dict[str, Any], token: str | None) -> LaunchSpec:
    """The body as the verb takes it."""
    boot = BootVolume(
        volume_id=body.pop("boot_volume_id"),
        snapshot_id=body.pop("boot_snapshot_id"),
        type_id=body.pop("boot_type_id"),
        dies=body.pop("boot_volume_dies"),
    )
    asked = body.pop("boot_on_volume") or boot.has_system
    return LaunchSpec(**{**body, "token": token, "boot": boot if asked else None})


def _user_data(text: str, base64_text: str) -> bytes:
    if text and base64_text:
        raise Invalid("Give the user data once: as text, or in base64.", field="user_data_base64")
    try:
        return base64.b64decode(base64_text, validate=True) if base64_text else text.encode()
    except ValueError as error:
        raise Invalid("This is no base64.", field="user_data_base64") from error


class Launched(serializers.Serializer):
    items = render.InstanceShape(many=True)


class Change(Input):
    name = Text(required=False, max_length=64)
    description = Text(required=False, allow_blank=True)
    tags = serializers.DictField(child=Text(allow_blank=True, max_length=128), required=False)
    metadata = serializers.DictField(
        child=Text(allow_blank=True, max_length=255),
        required=False,
        help_text="Pairs that its guest reads at 169.254.169.254, as OpenStack's `meta`.",
    )


class InstanceShell(ApiView):
    def rendering(self, rows: Any) -> dict[str, Any]:
        return {"ctx": self.ctx, "progress": progress.of(rows)}


LAUNCH_EXAMPLE = {
    "name": "web-1",
    "image_id": "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10",
    "flavor_id": "1d2c3b4a-0000-4000-8000-000000000001",
    "tags": {"role": "web"},
}


class InstancesView(InstanceShell):
    @listing("instances_list", "Instances of the project", of=render.InstanceShape, query=InstanceQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(InstanceQuery)
        rows = instances.list(self.ctx, q=query["q"], status=query["status"], tag=query["tag"], sort=query["sort"])
        return self.list_page(rows, render.InstanceShape, query)

    @operation(
        "instances_launch",
        "Launch instances; each is building when this answers",
        answer=Launched,
        status=202,
        body=Launch,
        example=LAUNCH_EXAMPLE,
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        body = self.body(Launch)
        body["user_data"] = _user_data(body["user_data"], body.pop("user_data_base64"))
        spec = spec_of(body, idempotency.key_of(request))
        rows = [instances.get(self.ctx, row.id) for row in instances.launch(self.ctx, spec)]
        shown = render.InstanceShape(rows, many=True, context=self.rendering(rows)).data
        return Response({"items": shown}, status=202, headers={"Location": f"{request.path}/{rows[0].id}"})


class InstanceView(InstanceShell):
    @operation("instances_get", "One instance", answer=render.InstanceShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(instances.get(self.ctx, id), render.InstanceShape)

    @operation(
        "instances_update",
        "Rename, describe, tag, change its metadata",
        answer=render.InstanceShape,
        body=Change,
        example={"tags": {"role": "db"}},
    )
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(instances.update(self.ctx, id, **self.body(Change)), render.InstanceShape)

    @operation("instances_delete", "Delete an instance, its disk and its addresses", answer=render.InstanceShape, status=202)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        instances.delete(self.ctx, id)
        return self.show(instances.get(self.ctx, id), render.InstanceShape, status=202)


class Force(Input):
    force = Flag(default=False, help_text="To `stop` only: cut the power at once.")


_SUMMARIES = {
    "start": "Start, or bring back from suspension",
    "stop": "Ask the guest to shut down; after a minute the power is cut",
    "reboot": "Ask the guest to restart",
    "reset": "Press the reset button",
    "pause": "Freeze the processors",
    "resume": "Go on after a pause",
    "suspend": "Write the memory to disk and switch off",
    "lock": "Nobody changes it until it is unlocked",
    "unlock": "Let it be changed again",
    "protect": "Refuse its deletion",
    "unprotect": "Allow its deletion",
}


def action_view(key: str) -> Any:
    """The view of one action of the table."""

    @operation(f"instances_{key}", _SUMMARIES[key], answer=render.InstanceShape, status=202, body=Force if key == "stop" else None)
    def post(self: InstanceShell, request: Request, project: str, id: UUID) -> Response:
        options = self.body(Force if key == "stop" else Input)
        if key in ("reboot", "reset"):
            row = instances.reboot(self.ctx, id, hard=key == "reset")
        else:
            row = getattr(instances, key)(self.ctx, id, **options)
        return self.show(row, render.InstanceShape, status=202)

    return type(f"Instance{key.title()}View", (InstanceShell,), {"post": post}).as_view()


class ConsoleOpen(Input):
    kind = serializers.ChoiceField(consoles.KINDS, default="serial")
    write = Flag(default=True, help_text="false: to look only.")


class ConsolesView(ApiView):
    @operation(
        "consoles_open",
        "A key to the console, good once within a minute",
        answer=render.ConsoleShape,
        status=201,
        body=ConsoleOpen,
        example={"kind": "serial"},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        body = self.body(ConsoleOpen)
        return self.show(consoles.open(self.ctx, id, body["kind"], write=body["write"]), render.ConsoleShape, status=201)


class LogQuery(Input):
    tail_bytes = serializers.IntegerField(min_value=1, max_value=consoles.LOG_BYTES_MAX, default=65536, help_text="How much of its end.")


class ConsoleLogView(ApiView):
    @operation("consoles_log", "The end of all that the serial line ever said", answer=render.ConsoleLog, query=LogQuery)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return Response({"text": consoles.log(self.ctx, id, **self.query(LogQuery))})


class ScreenshotView(ApiView):
    @operation("consoles_screenshot", "The machine's last picture, at most a minute old", answer=PNG)
    def get(self, request: Request, project: str, id: UUID) -> HttpResponse:
        picture = consoles.screenshot(self.ctx, id)
        if picture is None:
            raise NotFound("There is no picture of this instance yet.")
        return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": "private, max-age=15"})


class MetricsQuery(Input):
    range = serializers.ChoiceField(list(metrics.RANGES), default="1h")


class MetricsView(ApiView):
    @operation(
        "metrics_get",
        "What the instance uses: processor (%), memory (MiB), disk and network (bytes a second)",
        answer=render.Metrics,
        query=MetricsQuery,
    )
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(metrics.series(self.ctx, id, **self.query(MetricsQuery)), render.Metrics)
