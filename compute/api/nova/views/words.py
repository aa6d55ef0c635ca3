"""What people note of a server: metadata and tags."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid, NotFound
from cloudbox.common.fields import body_of
from compute import instances
from compute.api.nova import render
from compute.api.nova.errors import nova, service
from compute.api.nova.views.servers import find, metadata_of, parse_tags
from compute.api.openstack.service import Caller, answer, nothing
from compute.models import Instance


def _set(caller: Caller, row: Instance, pairs: dict[str, str]) -> dict[str, Any]:
    return instances.update(caller.ctx, row.id, metadata=pairs).metadata


def _metadata(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"metadata": find(caller, id).metadata})


def _replace(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row, body = find(caller, id), body_of(request)
    body.needed_object("metadata")
    return answer({"metadata": _set(caller, row, metadata_of(body))})


def _merge(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row, body = find(caller, id), body_of(request)
    body.needed_object("metadata")
    return answer({"metadata": _set(caller, row, row.metadata | metadata_of(body))})


def _item(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
    return answer({"meta": {key: _value(find(caller, id), key)}})


def _value(row: Instance, key: str) -> str:
    if key not in row.metadata:
        raise NotFound(f"The server has no metadata {key[:64]}.")
    return str(row.metadata[key])


def _set_item(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
    row, body = find(caller, id), body_of(request)
    pairs = metadata_of(body, "meta")
    if set(pairs) != {key}:
        raise Invalid(f"The body must hold {key[:64]}, and no other key.", field="meta")
    _set(caller, row, row.metadata | pairs)
    return answer({"meta": pairs})


def _delete_item(request: HttpRequest, caller: Caller, id: str, key: str) -> HttpResponse:
    row = find(caller, id)
    _value(row, key)
    _set(caller, row, {name: value for name, value in row.metadata.items() if name != key})
    return nothing()


def _tagged(caller: Caller, id: str) -> Instance:
    caller.since(26)
    return find(caller, id)


def _tags(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    return answer({"tags": render.tags_of(_tagged(caller, id))})


def _replace_tags(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    row, body = _tagged(caller, id), body_of(request)
    if "tags" not in body:
        raise Invalid("tags is missing.", field="tags")
    row = instances.set_tags(caller.ctx, row.id, parse_tags(body.texts("tags")))
    return answer({"tags": render.tags_of(row)})


def _clear_tags(request: HttpRequest, caller: Caller, id: str) -> HttpResponse:
    instances.set_tags(caller.ctx, _tagged(caller, id).id, {})
    return nothing()


def _has_tag(request: HttpRequest, caller: Caller, id: str, tag: str) -> HttpResponse:
    _need(_tagged(caller, id), tag)
    return nothing()


def _need(row: Instance, tag: str) -> None:
    if tag not in render.tags_of(row):
        raise NotFound(f"The server has no tag {tag[:64]}.")


def _add_tag(request: HttpRequest, caller: Caller, id: str, tag: str) -> HttpResponse:
    row = _tagged(caller, id)
    caller.ctx.require("instances.update")
    if tag in render.tags_of(row):
        return nothing()
    instances.set_tags(caller.ctx, row.id, parse_tags([*render.tags_of(row), tag]))
    response = nothing(201)
    response["Location"] = service.address(request, "servers", row.id, "tags", tag)
    return response


def _remove_tag(request: HttpRequest, caller: Caller, id: str, tag: str) -> HttpResponse:
    row = _tagged(caller, id)
    _need(row, tag)
    instances.set_tags(caller.ctx, row.id, parse_tags([each for each in render.tags_of(row) if each != tag]))
    return nothing()


metadata = nova.view(GET=_metadata, PUT=_replace, POST=_merge)
meta = nova.view(GET=_item, PUT=_set_item, DELETE=_delete_item)
tags = nova.view(GET=_tags, PUT=_replace_tags, DELETE=_clear_tags)
tag = nova.view(GET=_has_tag, PUT=_add_tag, DELETE=_remove_tag)
