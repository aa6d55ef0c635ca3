"""The project's encryption keys: made, rotated, disabled. Objects that were encrypted with a key are read with it for ever."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST

from cloudbox.common.errors import NotFound
from dashboard.forms.base import Form
from dashboard.shell import attempt, page, portal_page
from identity.context import Context
from storage import keys


@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Posted, it makes a key."""
    form = Form(request, name="")
    if form.posted and form.run(lambda: keys.create(ctx, name=form.text("name"))):
        attempt(request, lambda: None, done=f"{form.result.name} is made. Choose it for a bucket, or name it in a request.")
        return HttpResponseRedirect(request.path)
    context = {"rows": keys.list_keys(ctx), "form": form, "why": ctx.why_not("encryption_keys.manage")}
    return page(request, "portal/encryption_keys/list.html", context, status=form.status)


@require_POST
@portal_page
def act(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    name = keys.get(ctx, id).name
    if key == "rotate":
        attempt(request, lambda: keys.rotate(ctx, id), done=f"{name} is rotated. New objects get the new secret.")
    elif key in ("enable", "disable"):
        attempt(request, lambda: keys.set_enabled(ctx, id, key == "enable"), done=f"{name} is {key}d.")
    else:
        raise NotFound("There is no such action.")
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/encryption-keys")


urlpatterns = [
    path("/encryption-keys", index, name="encryption-keys"),
    path("/encryption-keys/<uuid:id>/<slug:key>", act, name="encryption-key-act"),
]
