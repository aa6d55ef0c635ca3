"""Launch: one page, sensible defaults, and beside it what it takes from the quota and the same request as a command."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods

from cloudbox.common.errors import CloudError, Invalid
from compute import flavors, images, instance_snapshots, instances, keypairs, networks, security_groups, snapshots, snippets, volumes
from compute.instances import LaunchSpec
from compute.models import ConfigDrive
from dashboard.forms import instances as forms
from dashboard.forms.instances import LaunchForm
from dashboard.shell import page, portal_page
from identity import quotas
from identity.context import Context

ROOTS_MAX = 100
# What a launch charges, in the summary's order.
CHARGED = ("instances", "vcpus", "memory_mib", "disk_gib")


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    ctx.require("instances.list")
    form = LaunchForm.of(request.POST if request.method == "POST" else request.GET)
    if request.method == "POST":
        try:
            spec = form.spec()
            _check_user_data(ctx, form, spec)
            launched: Any = _launch(ctx, spec)
        except CloudError as error:
            if not form.errors:
                form.fail(error)
        else:
            base = f"/p/{ctx.needed_project.slug}/instances"
            if len(launched) == 1:
                return HttpResponseRedirect(f"{base}/{launched[0].id}")
            messages.success(request, f"Launching {len(launched)} instances.")
            return HttpResponseRedirect(base)
    return page(request, "portal/instances/launch.html", _context(request, ctx, form), status=422 if form.errors else 200)


def _check_user_data(ctx: Context, form: LaunchForm, spec: LaunchSpec) -> None:
    """Before an instance boots with what does nothing, a person hears of it; who knows better says so."""
    verdict = snippets.check(ctx, spec.user_data)
    if verdict.errors and not form.values["anyway"]:
        raise Invalid(verdict.sentence(), field="user_data")


def _snippet(ctx: Context, text: str) -> str:
    """The user data of a link that names a snippet; empty: there is no such."""
    try:
        return snippets.get(ctx, UUID(text)).content
    except (ValueError, CloudError):
        return ""


def _launch(ctx: Context, spec: LaunchSpec) -> Any:
    if spec.boot is not None and spec.boot.instance_snapshot_id is not None:
        return [instance_snapshots.launch(ctx, spec.boot.instance_snapshot_id, spec)]
    return instances.launch(ctx, spec)


def _roots(ctx: Context) -> list[tuple[str, list[tuple[str, str]]]]:
    """What it can boot from besides the image: titles, and of each thing its value and its words."""
    bootable = [row for row in volumes.list(ctx, status="available") if row.image_id]
    taken = [row for row in snapshots.list(ctx, status="ready")[:ROOTS_MAX] if row.volume.image_id]
    wholes = [row for row in instance_snapshots.list(ctx)[:ROOTS_MAX] if row.status == "ready"]
    return [
        ("A volume", [(f"volume:{row.id}", f"{row.name}, {row.size_gib} GiB") for row in bootable[:ROOTS_MAX]]),
        ("A new volume, from a snapshot", [(f"snapshot:{row.id}", f"{row.name} of {row.volume.name}") for row in taken]),
        ("Copies of all disks of an instance", [(f"whole:{row.id}", f"{row.name} of {row.instance.name}") for row in wholes]),
    ]


def _context(request: HttpRequest, ctx: Context, form: LaunchForm) -> dict[str, Any]:
    found: dict[str, Any] = {
        "images": [image for image in images.list(ctx) if image.status == "ready"],
        "sizes": list(flavors.list(ctx)),
        "keys": list(keypairs.list(ctx)),
        "networks": list(networks.list(ctx)),
        "groups": list(security_groups.list(ctx)),
    }
    chosen = _chosen(ctx, form.values["image"])
    if chosen is not None and chosen not in found["images"]:
        found["images"].append(chosen)
    found["concerns"] = [(row, concern, images.can_be_gentler(row)) for row in found["images"] if (concern := images.concern(row))]
    lines = {line.resource: line for line in quotas.lines(ctx)}
    fresh = request.method != "POST"
    form.choose("image", found["images"])
    image = next((one for one in found["images"] if str(one.id) == form.values["image"]), None)
    fitting = [size for size in found["sizes"] if image is None or size.memory_mib >= image.min_memory_mib]
    form.choose("size", [size for size in fitting if not _too_large(size, lines)] or found["sizes"])
    form.choose("size", found["sizes"], first=False)
    form.choose("key", found["keys"], first=fresh and "key" not in request.GET)
    form.choose_many("network", found["networks"])
    form.choose_many("group", found["groups"])
    if fresh:
        form.many["network"] = form.many["network"] or [str(one.id) for one in found["networks"][:1]]
        form.many["group"] = form.many["group"] or [str(one.id) for one in found["groups"] if one.is_default]
    if fresh and not form.values["user_data"]:
        form.values["user_data"] = _snippet(ctx, request.GET.get("snippet", ""))
    form.values["name"] = form.values["name"] or (_free_name(ctx) if fresh else "")
    form.values["count"] = form.values["count"] or "1"
    form.values["token"] = form.values["token"] or forms.new_token()
    size = next((one for one in found["sizes"] if str(one.id) == form.values["size"]), None)
    return found | {
        "form": form,
        "values": form.values,
        "many": form.many,
        "errors": form.errors,
        "size": size,
        "too_large": {one.id: reason for one in found["sizes"] if (reason := _too_large(one, lines))},
        "meters": [_meter(lines[name], size, form) for name in CHARGED if name in lines],
        "why_not": ctx.why_not("instances.launch"),
        "curl": forms.curl(ctx.needed_project.slug, form.body(), f"{request.scheme}://{request.get_host()}"),
        "curl_url": f"{request.scheme}://{request.get_host()}/api/v1/projects/{ctx.needed_project.slug}/instances",
        "user_data_max": instances.USER_DATA_BYTES_MAX,
        "count_max": instances.COUNT_MAX,
        "roots": _roots(ctx),
        "verdict": snippets.check(ctx, form.values["user_data"].replace("\r\n", "\n")),
        "snippets": [*snippets.list(ctx), *snippets.shipped(ctx)],
        "drives": ConfigDrive.choices,
    }


def _chosen(ctx: Context, text: str) -> Any:
    """An image that a link names by its id: the community's are in no list. None: it cannot be launched from."""
    try:
        found = images.get(ctx, UUID(text), to_use=True)
    except (ValueError, CloudError):
        return None
    return found if found.status == "ready" else None


def _too_large(size: Any, lines: dict[str, Any]) -> str:
    """Why the quota does not allow even one of this size; empty when it does."""
    for name in ("vcpus", "memory_mib"):
        line = lines.get(name)
        if line is not None and line.left is not None and getattr(size, name) > line.left:
            return f"needs {getattr(size, name)} {line.unit or line.label}; your quota has {line.left} left"
    return ""


def _meter(line: Any, size: Any, form: LaunchForm) -> dict[str, Any]:
    """One line of “quota after”: what is used, and what this would add."""
    count = int(form.values["count"]) if form.values["count"].isdecimal() and len(form.values["count"]) < 4 else 1
    each = 0 if size is None else 1 if line.resource == "instances" else getattr(size, line.resource)
    if line.resource == "disk_gib" and form.values["disk"].isdecimal() and len(form.values["disk"]) < 9:
        each = int(form.values["disk"])
    limit = line.limit or 0
    used = 100 * line.used / limit if limit else 0
    return {
        "line": line,
        "after": line.used + each * count,
        "used_width": f"{min(100, used):.1f}%",
        "new_width": f"{max(0, min(100 - used, 100 * each * count / limit)) if limit else 0:.1f}%",
        "over": limit and line.used + each * count > limit,
    }


def _free_name(ctx: Context) -> str:
    """The first of instance-1, instance-2, … that nobody has."""
    taken = {name.lower() for name in instances.list(ctx).filter(name__istartswith="instance-").values_list("name", flat=True)}
    return next(name for number in range(1, len(taken) + 2) if (name := f"instance-{number}") not in taken)
