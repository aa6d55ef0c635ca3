"""The schema of the dialect, as JSON, as YAML, and as a page that people read. Made once a process: it cannot change."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from dashboard.api import errors
from dashboard.shell import account_page
from identity.context import Context

_AGE = "public, max-age=300"


@cache
def schema() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return json.loads(json.dumps(document, default=str))  # type: ignore[no-any-return]


@require_safe
def schema_json(request: HttpRequest) -> HttpResponse:
    return HttpResponse(json.dumps(schema()), content_type="application/vnd.oai.openapi+json", headers={"Cache-Control": _AGE})


@require_safe
def schema_yaml(request: HttpRequest) -> HttpResponse:
    return HttpResponse(OpenApiYamlRenderer().render(schema()), content_type="application/vnd.oai.openapi", headers={"Cache-Control": _AGE})


@require_safe
@account_page
def page(request: HttpRequest, ctx: Context) -> HttpResponse:
    """The reference: every operation with its fields and a `curl` line, every problem with its meaning."""
    chapters: dict[str, list[dict[str, Any]]] = {}
    for address, methods in schema()["paths"].items():
        for method, operation in methods.items():
            chapters.setdefault(operation["tags"][0], []).append(_operation(address, method, operation))
    # Those who look after the box come last: everybody else reads from the top.
    chapters = dict(sorted(chapters.items(), key=lambda chapter: chapter[0] == "admin"))
    problems = {code: (status, title) for code, status, title in errors.TABLE.values()}
    context = {
        "chapters": [{"name": name, "anchor": name.replace(" ", "-"), "operations": rows} for name, rows in chapters.items()],
        "problems": [
            {"code": code, "status": status, "title": title}
            for code, (status, title) in sorted(problems.items(), key=lambda one: one[1][0])
        ],
        "origin": settings.PUBLIC_URL,
        "total": sum(map(len, chapters.values())),
        "rate": settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["project"],
    }
    return render(request, "dashboard/api/reference.html", context)


def _operation(address: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = _resolve(content.get("schema", {}))
    examples = [each["value"] for each in content.get("examples", {}).values()]
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "address": address,
        "summary": operation["summary"],
        "parameters": [_field(each["name"], each["schema"], each.get("description", ""), where=each["in"]) for each in _extra(operation)],
        "fields": [_field(name, each, required=name in body.get("required", [])) for name, each in body.get("properties", {}).items()],
        "answers": [status for status in operation["responses"] if status.startswith("2")],
        "curl": _curl(address, method, examples[0] if examples else None),
    }


def _extra(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in operation.get("parameters", []) if each["in"] != "path"]


def _resolve(part: dict[str, Any]) -> dict[str, Any]:
    name = part.get("$ref", "").rpartition("/")[2]
    return schema()["components"]["schemas"][name] if name else part


def _field(name: str, part: dict[str, Any], description: str = "", *, where: str = "body", required: bool = False) -> dict[str, Any]:
    kinds = part.get("type", "choice" if "enum" in part or "$ref" in part or "oneOf" in part else "value")
    kind = " or ".join(kinds) if isinstance(kinds, list) else kinds
    return {"name": name, "kind": kind, "where": where, "description": part.get("description", description), "required": required}


def _curl(address: str, method: str, example: Any) -> str:
    lines = [f'curl -X {method.upper()} "$CLOUDBOX{address}"' if method != "get" else f'curl "$CLOUDBOX{address}"']
    lines.append('     -H "Authorization: Bearer $TOKEN"')
    if example is not None:
        lines += ['     -H "Content-Type: application/json"', f"     -d '{json.dumps(example)}'"]
    return " \\\n".join(lines)
