"""What the world is told about each operation: one decorator, which also lists the problems it may answer with."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers

from dashboard.api import errors
from dashboard.api.base import PageQuery
from dashboard.api.idempotency import HEADER
from dashboard.api.render.problem import Problem

Shape = type[serializers.Serializer]

_ALWAYS = (400, 401, 403, 404, 422, 429, 503)
_WRITES = (409, 413, 415)
_KEY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="Makes the request safe to repeat: for a day, the same key with the same body gives the first answer again.",
    pattern=r'^[!"$-~]{1,64}$',
)
_TITLES = {status: title for _, status, title in reversed(errors.TABLE.values())}


def operation(
    name: str,
    summary: str,
    *,
    answer: Any = None,
    status: int = 200,
    body: Shape | None = None,
    query: Shape | None = None,
    example: dict[str, Any] | None = None,
    creates: bool = False,
    writes: bool = False,
    tag: str = "",
) -> Callable[[Any], Any]:
    """`name` is `noun_verb`: the operation's id, and (its noun) the chapter of the reference. `writes`: what nothing else tells it by."""
    writes = writes or body is not None or status in (201, 202, 204) or creates
    responses: dict[Any, Any] = answer if isinstance(answer, dict) else {status: answer or OpenApiResponse(description="Done.")}
    responses = {**responses}
    for code in (*_ALWAYS, *(_WRITES if writes else ())):
        responses[code, errors.MEDIA_TYPE] = OpenApiResponse(Problem, description=_TITLES[code])
    examples = [OpenApiExample(f"{name}_example", value=example, request_only=True)] if example else []
    return extend_schema(
        operation_id=name,
        summary=summary,
        tags=[tag or name.rpartition("_")[0].replace("_", " ")],
        parameters=[*([query] if query else []), *([_KEY] if creates else [])],
        request=body,
        responses=responses,
        examples=examples,
    )


def listing(name: str, summary: str, *, of: Shape, query: Shape | None = PageQuery, tag: str = "") -> Callable[[Any], Any]:
    """An operation that answers `{"items": […], "next_cursor": …}`."""
    return operation(name, summary, answer=_page_of(of), query=query, tag=tag)


@cache
def _page_of(kind: Shape) -> Any:
    fields = {"items": kind(many=True), "next_cursor": serializers.CharField(allow_null=True, help_text="null: this was the last page.")}
    return inline_serializer(name=f"{kind.__name__.removesuffix('Shape')}List", fields=fields)


BYTES = {(200, "application/octet-stream"): OpenApiTypes.BINARY}
PNG = {(200, "image/png"): OpenApiTypes.BINARY}


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """The last touch: inputs refuse what they do not know, and say so; the words of our own shapes lose their suffix."""
    schemas = result.get("components", {}).get("schemas", {})
    for name, schema in schemas.items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    return result
