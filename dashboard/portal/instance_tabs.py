"""One instance: its tabs, each an address of its own."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cloudbox.common.errors import CloudError, Unavailable
from compute import consoles, instances, metadata_options, metrics, networks, security_groups
from compute.models import ConfigDrive
from dashboard import errors, live
from dashboard.api import pages
from dashboard.forms import instances as forms
from dashboard.portal import instance_marks, instance_rows
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context

TABS = (
    ("", "Overview"), ("console", "Console"), ("log", "Log"), ("metrics", "Metrics"),
    ("disks", "Disks"), ("networking", "Networking"), ("guest", "Guest"), ("first-boot", "First boot"),
    ("change", "Change"), ("hours", "Hours"),
    ("activity", "Activity"), ("settings", "Settings"),
)  # fmt: skip
RANGES = {"5m": "5 min", "1h": "1 h", "24h": "24 h", "7d": "7 d", "30d": "30 d"}
NUMBERS = 60
EVENTS = 50
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MARK = re.compile(r"^--- (Started .*) ---$")


def _read(ctx: Context, id: UUID) -> tuple[int, Any]:
    """The place in the log, then the instance: what happens in between is told again, never missed."""
    return activity.place(), instances.get(ctx, id)


def tab(
    request: HttpRequest, ctx: Context, id: UUID, name: str, more: dict[str, Any], *, template: str = "", status: int = 200
) -> HttpResponse:
    """A tab: the head, the properties, the tab's own part, and at its foot what happened last."""
    since, instance = more.pop("read", None) or _read(ctx, id)
    shown = instance_rows.head(ctx, instance, tab=name) | {
        "tabs": [(key, title, f"/p/{ctx.needed_project.slug}/instances/{id}" + (f"/{key}" if key else "")) for key, title in TABS],
        "tab": name,
        "live": {"project": ctx.needed_project.slug, "part": "detail", "since": since},
        "events": activity.list(ctx, subject_id=id)[: live.ACTIVITY_LINES],
    }
    return page(request, f"portal/instances/{template or name or 'overview'}.html", shown | more, status=status)


@require_safe
@portal_page
def overview(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return tab(request, ctx, id, "", {"series": _series(ctx, id, "5m"), "range": "5m"})


@require_safe
@portal_page
def console(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    read = _, instance = _read(ctx, id)
    # Who may not type may watch; and whoever follows a link to watch types nothing by mistake.
    watch = request.GET.get("view") == "watch" or not ctx.may("instances.console")
    button = instance_rows.button(ctx, instance, "watch" if watch else "console")
    kind = "vnc" if request.GET.get("view") == "screen" and not watch else "serial"
    link = request.build_absolute_uri(f"{request.path}?view=watch")
    more = {"read": read, "button": button, "kind": kind, "watch": watch, "link": link, "series": _series(ctx, id, "5m"), "range": "5m"}
    more["why_type"] = ctx.why_not("instances.console")
    return tab(request, ctx, id, "console", more)


@require_POST
@portal_page
def open_console(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """A key for the page's WebSocket. Its script asks, so the answer is JSON; the error too."""
    try:
        opened = consoles.open(ctx, id, request.POST.get("kind", ""), write="watch" not in request.POST)
    except CloudError as error:
        return JsonResponse({"error": error.message}, status=errors.status_of(error)[0])
    return JsonResponse({"path": opened.path}, status=201, headers={"Cache-Control": "no-store"})


@require_safe
@portal_page
def log(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """All that the serial line said. Boots are marked, so that one can jump between them."""
    try:
        parts, trouble = _boots(consoles.log(ctx, id, tail_bytes=consoles.LOG_BYTES_MAX)), ""
    except Unavailable as error:
        parts, trouble = [], error.message
    return tab(request, ctx, id, "log", {"parts": parts, "trouble": trouble, "boots": [part for part in parts if part["title"]]})


def _boots(text: str) -> list[dict[str, Any]]:
    """The log in parts, one a boot; without the terminal's own language."""
    parts: list[dict[str, Any]] = [{"title": "", "lines": []}]
    for raw in _ANSI.sub("", text.replace("\r\n", "\n")).split("\n"):
        line = raw.rsplit("\r", 1)[-1]
        if mark := _MARK.match(line.strip()):
            parts.append({"title": mark[1], "lines": []})
        else:
            parts[-1]["lines"].append(line)
    made = [{"title": part["title"], "text": "\n".join(part["lines"]).strip("\n"), "anchor": f"boot-{n}"} for n, part in enumerate(parts)]
    return [part for part in made if part["title"] or part["text"]]


@require_safe
@portal_page
def log_file(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """The log as it is, to keep."""
    instance = instances.get(ctx, id)
    text = consoles.log(ctx, id, tail_bytes=consoles.LOG_BYTES_MAX)
    headers = {"Content-Disposition": f'attachment; filename="{instance.hostname}-console.log"', "Cache-Control": "no-store"}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)


@require_safe
@portal_page
def metrics_tab(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    wanted = request.GET.get("range", "1h")
    chosen = wanted if wanted in metrics.RANGES else "1h"
    series = _series(ctx, id, chosen)
    return tab(
        request,
        ctx,
        id,
        "metrics",
        {"series": series, "range": chosen, "ranges": RANGES, "numbers": _numbers(series), "marks": instance_marks.of(ctx, id, chosen)},
    )


def _series(ctx: Context, id: UUID, chosen: str) -> dict[str, list[Any]]:
    """The series, rounded: what a chart cannot show need not travel."""
    found = metrics.series(ctx, id, chosen)
    return {key: values if key == "at" else [None if v is None else round(v, 1) for v in values] for key, values in found.items()}


def _numbers(series: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The same as rows, newest first: times that have a sample, thinned to what a person reads."""
    known = [n for n, value in enumerate(series["cpu"]) if value is not None]
    step = max(1, len(known) // NUMBERS)
    shown = known[::-1][::step]
    return [{key: values[n] for key, values in series.items()} | {"when": _clock(series["at"][n])} for n in shown]


def _clock(at: int) -> str:
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%d %b %H:%M:%S}"


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def networking(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    if request.method == "POST":
        port, groups = forms.uuids([request.POST.get("port", "")]), forms.uuids(request.POST.getlist("group"))
        mine = {one.id for one in instances.get(ctx, id).ports.all()}
        if port and port[0] in mine:
            attempt(
                request,
                lambda: security_groups.set_for_port(ctx, port[0], groups),
                done="Security groups saved. They take effect within a second.",
            )
        return HttpResponseRedirect(request.path)
    read = _, instance = _read(ctx, id)
    more = {
        "read": read,
        "all_groups": list(security_groups.list(ctx)),
        "why_not": ctx.why_not("security_groups.manage"),
        "nics": instance_rows.button(ctx, instance, "nics"),
        "all_networks": networks.list(ctx),
    }
    return tab(request, ctx, id, "networking", more)


@require_safe
@portal_page
def activity_tab(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    found, after = pages.page(activity.list(ctx, subject_id=id), limit=EVENTS, cursor=request.GET.get("after", ""))
    return tab(request, ctx, id, "activity", {"lines": found, "next": f"?after={after}" if after else ""})


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def settings(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    read = _, instance = _read(ctx, id)
    values = {"name": instance.name, "description": instance.description, "tags": forms.tags_text(instance.tags)}
    values |= {"token_hops": str(instance.token_hops), "metadata": forms.pairs_text(instance.metadata)}
    values["config_drive"] = instance.config_drive
    wrong: dict[str, str] = {}
    if request.method == "POST":
        part = request.POST.get("form", "")
        values |= {key: request.POST[key].strip() for key in values if key in request.POST}
        try:
            if part == "name":
                instances.update(ctx, id, name=values["name"], description=values["description"])
            elif part == "tags":
                instances.set_tags(ctx, id, forms.tags_of(values["tags"]))
            elif part == "metadata":
                instances.update(ctx, id, metadata=forms.pairs_of(values["metadata"]))
            elif part == "service":
                hops = int(values["token_hops"]) if re.fullmatch("[0-9]{1,3}", values["token_hops"]) else 0
                required = request.POST.get("tokens_required") == "on"
                drive = request.POST.get("config_drive")
                metadata_options.set(ctx, id, tokens_required=required, token_hops=hops, config_drive=drive)
        except CloudError as error:
            wrong[error.field if error.field in values else part] = error.message
        else:
            messages.success(request, "Saved.")
            return HttpResponseRedirect(request.path)
    more = {
        "read": read,
        "values": values,
        "errors": wrong,
        "drives": ConfigDrive.choices,
        "rename": instance_rows.button(ctx, instance, "rename"),
        "lock": instance_rows.button(ctx, instance, "unlock" if instance.locked_by else "lock"),
        "protect": instance_rows.button(ctx, instance, "unprotect" if instance.is_protected else "protect"),
    }
    return tab(request, ctx, id, "settings", more, status=422 if wrong else 200)


urlpatterns = [
    path("/instances/<uuid:id>", overview),
    path("/instances/<uuid:id>/console", console),
    path("/instances/<uuid:id>/open-console", open_console),
    path("/instances/<uuid:id>/log", log),
    path("/instances/<uuid:id>/log.txt", log_file),
    path("/instances/<uuid:id>/metrics", metrics_tab),
    path("/instances/<uuid:id>/networking", networking),
    path("/instances/<uuid:id>/activity", activity_tab),
    path("/instances/<uuid:id>/settings", settings),
]
