"""Pairs of metadata of volumes and snapshots: the same five requests for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound
from cloudbox.common.fields import body_of
from compute import instances, snapshots, volumes
from compute.api.cinder.errors import view
from compute.api.cinder.views.snapshots import find as snapshot_of
from compute.api.cinder.views.volumes import find as volume_of
from compute.api.openstack.service import Caller, answer, nothing

View = Callable[..., HttpResponse]


def _views(noun: str, find: Callable[[Caller, str], Any], update: Callable[..., Any]) -> tuple[View, View]:
    """The address of all pairs, and that of one."""

    def put(caller: Caller, row: Any, pairs: Mapping[str, str]) -> dict[str, Any]:
        metadata: dict[str, Any] = update(caller.ctx, row.id, metadata=pairs).metadata
        return metadata

    def asked(request: HttpRequest, name: str) -> dict[str, str]:
        return instances.clean_metadata(body_of(request).needed_object(name).values)

    def value(row: Any, key: str) -> str:
        if key not in row.metadata:
            raise NotFound(f"The {noun} has no metadata {key[:64]}.")
        return str(row.metadata[key])

    def show(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
        return answer({"metadata": find(caller, id).metadata})

    def replace(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
        return answer({"metadata": put(caller, find(caller, id), asked(request, "metadata"))})

    def merge(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
        row = find(caller, id)
        return answer({"metadata": put(caller, row, row.metadata | asked(request, "metadata"))})

    def item(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
        return answer({"meta": {key: value(find(caller, id), key)}})

    def put_item(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
        row, pairs = find(caller, id), asked(request, "meta")
        if set(pairs) != {key}:
            raise Invalid(f"The body must hold {key[:64]}, and no other key.", field="meta")
        put(caller, row, row.metadata | pairs)
        return answer({"meta": pairs})

    def delete_item(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
        row = find(caller, id)
        value(row, key)
        put(caller, row, {name: text for name, text in row.metadata.items() if name != key})
        return nothing(200)

    return view(GET=show, POST=merge, PUT=replace), view(GET=item, PUT=put_item, DELETE=delete_item)


volume_metadata, volume_meta = _views("volume", volume_of, volumes.update)
snapshot_metadata, snapshot_meta = _views("snapshot", snapshot_of, snapshots.update)
