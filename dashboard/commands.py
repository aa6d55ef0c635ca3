"""The request of a form as `curl` says it; static/js/command.js keeps it in step with what is typed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from identity.context import Context


def endpoint(request: HttpRequest, ctx: Context, rest: str) -> str:
    return f"{request.scheme}://{request.get_host()}/api/v1/projects/{ctx.needed_project.slug}/{rest}"


def curl(request: HttpRequest, ctx: Context, rest: str, body: Mapping[str, Any] | None = None, *, method: str = "") -> str:
    """A command that works when CLOUDBOX_TOKEN holds an API token of the project."""
    lines = [f"curl {f'-X {method} ' if method else ''}{endpoint(request, ctx, rest)}", '-H "Authorization: Bearer $CLOUDBOX_TOKEN"']
    if body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(dict(body), ensure_ascii=False))}"]
    return " \\\n  ".join(lines)
