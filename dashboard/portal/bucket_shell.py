"""What every page of a bucket shows above its tab, and where clients reach the store."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from dashboard.portal import bucket_tabs
from dashboard.portal.object_store import public_url
from dashboard.shell import attempt
from identity.context import Context
from storage import configurations, removal


def shown(ctx: Context, row: Any, tab: str, **more: Any) -> dict[str, Any]:
    """For templates that extend portal/buckets/detail.html."""
    return {
        "bucket": row,
        "bucket_base": bucket_tabs.base(ctx, row.name),
        "url_name": quote(row.name, safe=""),
        "usage": getattr(row, "usage", None),
        "tabs": bucket_tabs.tabs(ctx, row.name),
        "tab": tab,
        "publicity": configurations.publicity(row),
        "class_label": configurations.class_label(row.storage_class),
        "emptying": removal.emptying(row),
        "why": ctx.why_not("buckets.manage"),
    } | more


def saved(request: HttpRequest, sentence: str, *, at: str = "") -> HttpResponse:
    """Back to the page, with what was done said in a toast."""
    attempt(request, lambda: None, done=sentence)
    return HttpResponseRedirect(request.path + (f"#{at}" if at else ""))


@dataclass(frozen=True)
class Endpoint:
    """One way to the store: its name, its address, and lines that a terminal takes."""

    name: str
    url: str
    command: str


def endpoints(request: HttpRequest, ctx: Context, bucket: str = "", *, s3_name: str = "") -> list[Endpoint]:
    """Where S3 and Swift clients reach the store (or this bucket of it); empty on a box without one."""
    origin = public_url(request)
    if not origin:
        return []
    project = ctx.needed_project
    there, container = (f"s3://{s3_name or bucket}/", f" {_shell(bucket)}") if bucket else ("", "")
    keys = "export AWS_ACCESS_KEY_ID=YOUR_KEY AWS_SECRET_ACCESS_KEY=YOUR_SECRET"
    aws = f"{keys}\naws --endpoint-url {origin} s3 ls {_shell(there)}".rstrip(" '")
    swift = (
        f"swift --os-auth-url {request.scheme}://{request.get_host()}/identity/v3 --auth-version 3 \\\n"
        f"  --os-username {ctx.needed_user.email} --os-user-domain-name Default \\\n"
        f"  --os-project-name {project.slug} --os-project-domain-name Default list{container}"
    )
    rclone = (
        f"rclone config create cloudbox s3 provider Other endpoint {origin} \\\n  access_key_id YOUR_KEY secret_access_key YOUR_SECRET\n"
        f"rclone ls {_shell(f'cloudbox:{s3_name or bucket}')}"
    )
    return [
        Endpoint("S3", f"{origin}/{quote(s3_name or bucket, safe='')}".rstrip("/"), aws),
        Endpoint("Swift", f"{origin}/v1/AUTH_{project.id.hex}/{quote(bucket, safe='')}".rstrip("/"), swift),
        Endpoint("rclone", origin, rclone),
    ]


def _shell(text: str) -> str:
    """Quoted where a shell would read it as more than a word."""
    return shlex.quote(text) if text else ""
