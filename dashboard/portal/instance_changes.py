"""The tab on which an instance becomes another machine: its size, its image, rescue, the shelf."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_http_methods

from cloudbox.common.errors import Invalid
from compute import changes, flavors, images, instances
from dashboard.forms.base import Form
from dashboard.portal import instance_rows, instance_tabs
from dashboard.shell import portal_page
from identity import activity
from identity.context import Context

SAID = {
    "resize": "{} is being resized. You have a day to go back.",
    "rebuild": "{} is being rebuilt.",
    "rescue": "{} goes into rescue.",
}


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def change(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    read = activity.place(), instances.get(ctx, id)
    instance = read[1]
    part = request.POST.get("form", "")
    forms = {
        "resize": Form(request, flavor_id=""),
        "rebuild": Form(request, image_id=str(instance.image_id), keep="on"),
        "rescue": Form(request, image_id=str(instance.image_id)),
    }
    if request.method == "POST":
        form = forms.get(part)
        if form is None:
            raise Invalid("Choose what to change.")
        if form.run(lambda: _do(ctx, id, part, form)):
            messages.success(request, SAID[part].format(instance.name))
            return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{id}")
    more: dict[str, Any] = {
        "read": read,
        "forms": {key: form if key == part or not form.posted else None for key, form in forms.items()},
        "buttons": {
            key: instance_rows.button(ctx, instance, key) for key in ("resize", "rebuild", "rescue", "unrescue", "shelve", "unshelve")
        },
        "sizes": [(row, changes.why_not_size(instance, row)) for row in flavors.list(ctx)],
        "images": [(row, changes.why_not_image(instance, row)) for row in images.list(ctx).filter(status="ready")],
    }
    status = next((form.status for form in forms.values() if form.status != 200), 200)
    return instance_tabs.tab(request, ctx, id, "change", more, status=status)


def _do(ctx: Context, id: UUID, part: str, form: Form) -> Any:
    if part == "resize":
        flavor_id = form.id_of("flavor_id")
        if flavor_id is None:
            raise Invalid("Choose the new size.", field="flavor_id")
        return changes.resize(ctx, id, flavor_id=flavor_id)
    image_id = form.id_of("image_id")
    if part == "rebuild":
        return changes.rebuild(ctx, id, image_id=image_id, keep=form.text("keep") == "on")
    return changes.rescue(ctx, id, image_id=image_id)


urlpatterns = [path("/instances/<uuid:id>/change", change)]
