"""The list of instances, and what is done to them: one action at a time, or to many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import CloudError, Invalid
from compute import changes, consoles, instances
from dashboard import commands, downloads, lists, words
from dashboard.api import pages
from dashboard.forms.instances import uuids
from dashboard.portal import instance_changes, instance_guest, instance_looks, instance_nics, instance_rows, instance_tabs, launch
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context

PAGE = 50
SORTS = (("name", "Name"), ("status", "State"), ("size", "Size"), ("created", "Created"))
STATES = ("running", "stopped", "paused", "suspended", "building", "error")
SHOWN_SECONDS = 300  # pictures have their time in their address

DO: dict[str, Callable[[Context, UUID], Any]] = {
    "start": instances.start,
    "stop": instances.stop,
    "force-stop": lambda ctx, id: instances.stop(ctx, id, force=True),
    "reboot": instances.reboot,
    "reset": lambda ctx, id: instances.reboot(ctx, id, hard=True),
    "pause": instances.pause,
    "resume": instances.resume,
    "suspend": instances.suspend,
    "lock": instances.lock,
    "unlock": instances.unlock,
    "protect": instances.protect,
    "unprotect": instances.unprotect,
    "confirm-resize": changes.confirm_resize,
    "revert-resize": changes.revert_resize,
    "undo-rebuild": changes.undo_rebuild,
    "drop-old-disk": changes.drop_old_disk,
    "unrescue": changes.unrescue,
    "shelve": changes.shelve,
    "unshelve": changes.unshelve,
    "delete": instances.delete,
}
DONE = {
    "start": "Starting {}.", "stop": "Stopping {}: it has a minute to shut down.", "force-stop": "{} is being forced off.",
    "reboot": "Rebooting {}.", "reset": "Resetting {}.", "pause": "{} is being paused.", "resume": "{} goes on.",
    "suspend": "Suspending {} to disk.", "lock": "{} is locked.", "unlock": "{} is unlocked.",
    "protect": "{} is protected from deletion.", "unprotect": "{} may be deleted.", "delete": "Deleting {}.",
    "confirm-resize": "{} keeps its new size.", "revert-resize": "{} goes back to its old size.",
    "undo-rebuild": "{} gets its old disk back.", "drop-old-disk": "The old disk of {} is deleted.",
    "unrescue": "{} leaves rescue.", "shelve": "Shelving {}.", "unshelve": "Unshelving {}.",
}  # fmt: skip
# What a row says after a bulk action, and how the sum begins.
BULK = {
    "start": ("Starting", "Started"),
    "stop": ("Stopping", "Stopped"),
    "reboot": ("Rebooting", "Rebooted"),
    "delete": ("Deleting", "Deleted"),
}


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    since = activity.place()  # first: what happens meanwhile is told again, never missed
    query, wanted = _wanted(request, ctx)
    look = instance_looks.of(request, ctx, query)
    filtered = any(query[name] for name in ("q", "state", "tag"))
    try:
        found, after = pages.page(instance_rows.lean(wanted), limit=PAGE, cursor=query["after"])
    except Invalid:  # a link from before the order was changed
        return HttpResponseRedirect(_link(request, {**query, "after": ""}))
    counts = instances.counts(ctx)
    is_wall = look.shape == "wall"
    if is_wall:
        consoles.watch_screens(ctx, [one.id for one in found])
    insert = not filtered and not query["after"]
    return page(
        request,
        "portal/instances/list.html",
        {
            "look": look,
            "is_wall": is_wall,
            "shapes": [(shape, _link(request, {**query, "view": shape, "after": ""})) for shape in instance_looks.SHAPES],
            "here": urlencode({name: value for name, value in query.items() if value and name != "after"}),
            "api_query": commands.query_of({"q": query["q"], "status": query["state"], "tag": query["tag"], "sort": query["sort"]}),
            "rows": instance_rows.rows(ctx, found),
            "total": counts["total"],
            "shown": wanted.count() if filtered else counts["total"],
            "states": [(key, words.state(key).word, counts.get(key, 0)) for key in STATES],
            "filtered": filtered,
            "query": query,
            "chips": _chips(request, query),
            "sorts": {key: _sort(request, query, key) for key, _ in SORTS},
            "next": _link(request, {**query, "after": after}) if after else "",
            "first": _link(request, {**query, "after": ""}) if query["after"] else "",
            "bulk": [key for key in instance_rows.BULK if key != "delete"],
            "why_no_launch": ctx.why_not("instances.launch"),
            "why_no_power": ctx.why_not("instances.power"),
            "live": {"project": ctx.needed_project.slug, "part": "page" if is_wall else "row", "since": since, "insert": insert},
        },
    )


def _wanted(request: HttpRequest, ctx: Context) -> tuple[dict[str, str], Any]:
    """What the address says, and the instances that it means."""
    query = {name: request.GET.get(name, "").strip()[:200] for name in (*instance_looks.KEPT, "after")}
    if query["sort"].removeprefix("-") not in dict(SORTS):
        query["sort"] = "name"
    return query, instances.list(ctx, q=query["q"], status=query["state"], tag=query["tag"], sort=query["sort"])


@require_safe
@portal_page
def export(request: HttpRequest, ctx: Context) -> HttpResponse:
    return downloads.csv(request, "instances", lists.INSTANCES, instance_rows.lean(_wanted(request, ctx)[1]))


def _link(request: HttpRequest, query: dict[str, str]) -> str:
    """This list with another query; what is as usual is left out."""
    kept = {key: value for key, value in query.items() if value and (key, value) not in (("sort", "name"), ("view", "table"))}
    return request.path + (f"?{urlencode(kept)}" if kept else "")


def _chips(request: HttpRequest, query: dict[str, str]) -> list[dict[str, str]]:
    """What narrows the list, each with the link without itself."""
    texts = {
        "q": f"“{query['q']}”",
        "state": f"State: {words.state(query['state']).word}",
        "tag": f"Tag: {query['tag'].replace(':', ' = ')}",
    }
    return [{"text": text, "url": _link(request, {**query, name: "", "after": ""})} for name, text in texts.items() if query[name]]


def _sort(request: HttpRequest, query: dict[str, str], key: str) -> dict[str, str]:
    now = query["sort"]
    aria = {key: "ascending", f"-{key}": "descending"}.get(now, "")
    return {"aria": aria, "url": _link(request, {**query, "sort": f"-{key}" if now == key else key, "after": ""})}


@require_POST
@portal_page
def act(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    """One action on one instance; back to where one was."""
    if key not in DO:
        raise Http404
    instance = instances.get(ctx, id)
    base = f"/p/{ctx.needed_project.slug}/instances"
    if key == "delete" and request.POST.get("typed", "").strip() != instance.name:
        messages.error(request, f"Type {instance.name} to delete it. Nothing was changed.")
        return HttpResponseRedirect(f"{base}/{id}/settings#delete")
    done = attempt(request, lambda: DO[key](ctx, id), done=DONE[key].format(instance.name))
    back = request.POST.get("back", "")
    if key == "delete" and done:
        return HttpResponseRedirect(base)
    good = url_has_allowed_host_and_scheme(back, allowed_hosts=None) and back.startswith("/p/")
    return HttpResponseRedirect(back if good else f"{base}/{id}")


@require_safe
@portal_page
def menu(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """The actions of a row, fetched when its ⋯ is opened: fifty rows do not carry fifty menus."""
    instance = instances.get(ctx, id)
    buttons = instance_rows.menu(ctx, instance, all_of_them=True)
    shown = {
        "i": instance,
        "buttons": buttons,
        "delete": instance_rows.button(ctx, instance, "delete"),
        "back": request.GET.get("back", ""),
    }
    response = page(request, "portal/instances/_menu.html", shown)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@portal_page
def bulk(request: HttpRequest, ctx: Context) -> HttpResponse:
    """The same action on many: each row says how it went, one toast says the sum. Deleting asks on a page of its own first."""
    key, ids = request.POST.get("action", ""), uuids(request.POST.getlist("id"))[: PAGE * 4]
    back = f"/p/{ctx.needed_project.slug}/instances"
    if key not in BULK:
        raise Invalid("Choose what to do with them.")
    if not ids:
        messages.error(request, "Select instances first.")
        return HttpResponseRedirect(back)
    found = list(instances.list(ctx).filter(id__in=ids))
    if key == "delete" and request.POST.get("typed", "").strip().lower() != "delete":
        shown = [(one, instance_rows.button(ctx, one, "delete").reason) for one in found]
        return page(
            request, "portal/instances/bulk_delete.html", {"shown": shown, "possible": [one for one, reason in shown if not reason]}
        )
    results = [_one(ctx, key, one) for one in found]
    if request.headers.get("Accept", "").startswith("application/json"):
        return JsonResponse({"results": results, "sum": _sum(key, results), "ok": all(result["ok"] for result in results)})
    (messages.success if any(result["ok"] for result in results) else messages.error)(request, _sum(key, results))
    return HttpResponseRedirect(back)


def _one(ctx: Context, key: str, instance: Any) -> dict[str, Any]:
    try:
        DO[key](ctx, instance.id)
    except CloudError as error:
        return {"id": str(instance.id), "name": instance.name, "ok": False, "text": f"Skipped: {error.message}"}
    return {"id": str(instance.id), "name": instance.name, "ok": True, "text": BULK[key][0]}


def _sum(key: str, results: list[dict[str, Any]]) -> str:
    """“Stopping 11 instances; legacy-erp was skipped: it is locked.”"""
    good, bad = [one for one in results if one["ok"]], [one for one in results if not one["ok"]]
    said = f"{BULK[key][0]} {good[0]['name'] if len(good) == 1 else f'{len(good)} instances'}" if good else "Nothing was changed"
    if len(bad) == 1:
        return f"{said}; {bad[0]['name']} was skipped. {bad[0]['text'].removeprefix('Skipped: ')}"
    return f"{said}; {len(bad)} were skipped." if bad else f"{said}."


@require_safe
@portal_page
def screen(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """The machine's last picture, from the box's cache."""
    picture = consoles.screenshot(ctx, id)
    if picture is None:
        return HttpResponse(status=404, headers={"Cache-Control": "private, max-age=5"})
    return HttpResponse(picture, content_type="image/png", headers={"Cache-Control": f"private, max-age={SHOWN_SECONDS}"})


@require_safe
@portal_page
def by_name(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """A name instead of an id leads to the instance of that name."""
    found = instances.list(ctx).filter(name__iexact=name).values_list("id", flat=True).first()
    if found is None:
        raise Http404
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{found}")


urlpatterns = [
    path("/instances", index),
    path("/instances.csv", export),
    *instance_looks.urlpatterns,
    path("/instances/new", launch.new),
    path("/instances/bulk", bulk),
    path("/instances/<uuid:id>/do/<slug:key>", act),
    path("/instances/<uuid:id>/menu", menu),
    path("/instances/<uuid:id>/screen.png", screen),
    *instance_tabs.urlpatterns,
    *instance_changes.urlpatterns,
    *instance_guest.urlpatterns,
    *instance_nics.urlpatterns,
    path("/instances/<str:name>", by_name),
]
