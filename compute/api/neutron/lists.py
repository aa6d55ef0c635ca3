"""Lists as Neutron gives them: filtered by any key that is shown, sorted, cut into pages, narrowed to some keys."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from cloudbox.common.errors import Invalid
from compute.api.neutron.errors import service
from compute.api.openstack import reading
from compute.api.openstack.service import answer

Shape = dict[str, Any]
_OURS = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir", "tags", "tags-any", "not-tags", "not-tags-any"}


def listing(request: HttpRequest, name: str, path: str, shapes: list[Shape]) -> HttpResponse:
    """`name` is the key of the answer, `path` the address below v2.0."""
    found = [shape for shape in shapes if _fits(request, shape)]
    found = _sorted(request, found)
    found, links = _page(request, path, found)
    shape: Shape = {name: [narrowed(request, each) for each in found]}
    if links:
        shape[f"{name}_links"] = links
    return answer(shape)


def narrowed(request: HttpRequest, shape: Shape) -> Shape:
    wanted = {name for each in request.GET.getlist("fields") for name in each.split(",")}
    return {key: value for key, value in shape.items() if key in wanted} if wanted else shape


def _fits(request: HttpRequest, shape: Shape) -> bool:
    for key, values in request.GET.lists():
        if key in _OURS:
            continue
        if key not in shape:
            continue
        if not any(_is(shape[key], value) for value in values):
            return False
    for key, every, wanted in (("tags", True, True), ("tags-any", False, True), ("not-tags", True, False), ("not-tags-any", False, False)):
        if key in request.GET:
            tags = request.GET[key].split(",")
            has = [tag in shape.get("tags", ()) for tag in tags]
            if (all(has) if every else any(has)) != wanted:
                return False
    return True


def _is(value: Any, text: str) -> bool:
    """Is it what the query says? Truth is said in several words, lists hold it, and a fixed address is asked for as `subnet_id=…`."""
    if isinstance(value, bool):
        return text.lower() in (("true", "1", "yes") if value else ("false", "0", "no"))
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            key, _, wanted = text.partition("=")
            return any(str(each.get(key)) == wanted for each in value)
        return text in map(str, value)
    if value is None:
        return text in ("", "None", "null")
    return str(value) == text


def _sorted(request: HttpRequest, shapes: list[Shape]) -> list[Shape]:
    found = sorted(shapes, key=lambda shape: str(shape.get("id", "")))
    for key, direction in reversed(reading.sort_pairs(request, default_direction="asc")):
        if direction not in ("asc", "desc"):
            raise Invalid("sort_dir is asc or desc.", field="sort_dir")
        if shapes and (key not in shapes[0] or isinstance(shapes[0][key], list | dict)):
            raise Invalid(f"Nothing is sorted by {key[:64]!r}.", field="sort_key")
        found.sort(key=lambda shape, key=key: (shape[key] is None, shape[key] if isinstance(shape[key], int) else str(shape[key])),  # type: ignore[misc]
                   reverse=direction == "desc")  # fmt: skip
    return found


def _page(request: HttpRequest, path: str, shapes: list[Shape]) -> tuple[list[Shape], list[Shape]]:
    limit = reading.number(request, "limit")
    backwards = bool(reading.flag(request, "page_reverse"))
    marker = request.GET.get("marker")
    if marker is not None and marker not in {str(shape["id"]) for shape in shapes}:
        raise Invalid(f"There is no {marker[:64]!r} to go on from.", field="marker")
    at = next((place for place, shape in enumerate(shapes) if str(shape["id"]) == marker), None)
    if backwards:
        end = at if at is not None else len(shapes)
        start = max(0, end - limit) if limit else 0
    else:
        start = at + 1 if at is not None else 0
        end = min(len(shapes), start + limit) if limit else len(shapes)
    found = shapes[start:end]
    links = []
    if limit and found:
        if end < len(shapes):
            links.append({"rel": "next", "href": _address(request, path, found[-1], backwards=False)})
        if start > 0:
            links.append({"rel": "previous", "href": _address(request, path, found[0], backwards=True)})
    return found, links


def _address(request: HttpRequest, path: str, shape: Shape, *, backwards: bool) -> str:
    query = [(name, value) for name, values in request.GET.lists() for value in values if name not in ("marker", "page_reverse")]
    query.append(("marker", str(shape["id"])))
    if backwards:
        query.append(("page_reverse", "True"))
    return f"{service.address(request, path)}?{urlencode(query)}"
