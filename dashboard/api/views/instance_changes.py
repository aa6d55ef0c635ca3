"""What makes another machine of an instance: resize, rebuild, rescue, shelve, and the way back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from compute import changes, progress
from dashboard.api.base import ApiView
from dashboard.api.fields import Flag, Id, Input
from dashboard.api.openapi import operation
from dashboard.api.render import compute as render


class _Shell(ApiView):
    def rendering(self, rows: Any) -> dict[str, Any]:
        return {"ctx": self.ctx, "progress": progress.of(rows)}


class Resize(Input):
    flavor_id = Id()


class Rebuild(Input):
    image_id = Id(allow_null=True, default=None, help_text="null: the one it has.")
    keep = Flag(default=True, help_text="Keep the old disk for a day, to undo this. It is charged as disk until then.")


class Rescue(Input):
    image_id = Id(allow_null=True, default=None, help_text="null: the one it was built from.")


_EXAMPLE = "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10"


class ResizeView(_Shell):
    @operation(
        "instances_resize",
        "Give it another size, on trial for a day",
        answer=render.InstanceShape,
        status=202,
        body=Resize,
        example={"flavor_id": _EXAMPLE},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(changes.resize(self.ctx, id, **self.body(Resize)), render.InstanceShape, status=202)


class RebuildView(_Shell):
    @operation(
        "instances_rebuild",
        "Make it a new root disk from an image, and keep the old one for a day",
        answer=render.InstanceShape,
        status=202,
        body=Rebuild,
        example={"keep": True},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(changes.rebuild(self.ctx, id, **self.body(Rebuild)), render.InstanceShape, status=202)


class RescueView(_Shell):
    @operation(
        "instances_rescue",
        "Boot it from a copy of an image, with its own disk as the second",
        answer=render.InstanceShape,
        status=202,
        body=Rescue,
        example={},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(changes.rescue(self.ctx, id, **self.body(Rescue)), render.InstanceShape, status=202)


_SUMMARIES = {
    "confirm-resize": "Keep the new size; what the old one had more is free",
    "revert-resize": "Go back to the size from before; the disk stays as large as it is",
    "undo-rebuild": "Bring back the disk from before the rebuild; the one since is deleted",
    "drop-old-disk": "Delete the disk from before the rebuild",
    "unrescue": "Boot from its own disk again",
    "shelve": "Shut it down and put its disk into the image store",
    "unshelve": "Fetch its disk and start it",
}


def change_view(key: str) -> Any:
    """The view of a change that needs no words."""
    verb = key.replace("-", "_")

    @operation(f"instances_{verb}", _SUMMARIES[key], answer=render.InstanceShape, status=202)
    def post(self: _Shell, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(getattr(changes, verb)(self.ctx, id), render.InstanceShape, status=202)

    return type(f"Instance{verb.title().replace('_', '')}View", (_Shell,), {"post": post}).as_view()
