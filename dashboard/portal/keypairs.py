"""Key pairs: list, make here or import, look at, delete."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from compute import keypairs
from dashboard import commands
from dashboard.forms.base import Form
from dashboard.shell import attempt, page, portal_page
from identity.context import Context


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:100]
    rows = keypairs.list(ctx)
    found = rows.filter(name__icontains=q) if q else rows
    return page(request, "portal/keypairs/list.html", {"rows": found, "q": q, "why": ctx.why_not("keypairs.manage")})


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Made here, the private half is shown on the answer and never again."""
    form = Form(request, source="create", name="", kind="ed25519", public_key="")
    imports = form.text("source") == "import"
    if form.posted and imports:
        if form.run(lambda: keypairs.import_key(ctx, name=form.text("name"), public_key=form.text("public_key"))):
            return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/keypairs")
    elif form.posted and form.run(lambda: keypairs.create(ctx, name=form.text("name"), kind=form.text("kind"))):
        keypair, private = form.result
        response = page(request, "portal/keypairs/made.html", {"keypair": keypair, "private": private})
        response["Cache-Control"] = "no-store"
        return response
    command = commands.curl(request, ctx, "keypairs", {"name": form.text("name"), "kind": form.text("kind") or "ed25519"})
    context = {"form": form, "imports": imports, "command": command, "why": ctx.why_not("keypairs.manage")}
    return page(request, "portal/keypairs/new.html", context, status=form.status)


@require_safe
@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    context = {"keypair": keypairs.get(ctx, id), "why": ctx.why_not("keypairs.manage")}
    return page(request, "portal/keypairs/detail.html", context)


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = keypairs.get(ctx, id).name
    attempt(request, lambda: keypairs.delete(ctx, id), done=f"Deleted {name}.")
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/keypairs")


urlpatterns = [
    path("/keypairs", index, name="keypairs"),
    path("/keypairs/new", new, name="keypair-new"),
    path("/keypairs/<uuid:id>", detail, name="keypair"),
    path("/keypairs/<uuid:id>/delete", delete, name="keypair-delete"),
]
