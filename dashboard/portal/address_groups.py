"""Address groups: ranges with a name."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from compute import address_groups
from dashboard import commands
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import attempt, page, portal_page
from identity.context import Context


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/address-groups"


def _cidrs(form: Form) -> list[str]:
    return form.text("cidrs").replace(",", " ").split()


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    context = {"rows": address_groups.list(ctx), "why": ctx.why_not("security_groups.manage")}
    return page(request, "portal/address_groups/list.html", context)


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="", description="", cidrs="")
    if form.posted and form.run(
        lambda: address_groups.create(ctx, name=form.text("name"), cidrs=_cidrs(form), description=form.text("description"))
    ):
        return HttpResponseRedirect(_base(ctx))
    command = commands.curl(request, ctx, "address-groups", {"name": form.text("name"), "cidrs": _cidrs(form)})
    context = {"form": form, "command": command, "why": ctx.why_not("security_groups.manage")}
    return page(request, "portal/address_groups/new.html", context, status=form.status)


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    group = address_groups.get(ctx, id)
    form = ChangeForm(request, name=group.name, description=group.description, cidrs="\n".join(group.cidrs))
    changed = {"name": form.text("name"), "description": form.text("description"), "cidrs": _cidrs(form)}
    if form.posted and form.run(lambda: address_groups.update(ctx, id, **changed)):  # type: ignore[arg-type]
        attempt(request, lambda: None, done="Saved. Its rules follow within a second.")
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    context = {
        "group": group,
        "form": form,
        "rules": group.rules.select_related("group"),
        "why": ctx.why_not("security_groups.manage"),
    }
    context["why_delete"] = context["why"] or ("Rules name it. Remove those first." if group.rules.exists() else "")
    return page(request, "portal/address_groups/detail.html", context, status=form.status)


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = address_groups.get(ctx, id).name
    done = attempt(request, lambda: address_groups.delete(ctx, id), done=f"Deleted {name}.")
    return HttpResponseRedirect(_base(ctx) if done else f"{_base(ctx)}/{id}")


urlpatterns = [
    path("/address-groups", index, name="address-groups"),
    path("/address-groups/new", new, name="address-group-new"),
    path("/address-groups/<uuid:id>", detail, name="address-group"),
    path("/address-groups/<uuid:id>/delete", delete, name="address-group-delete"),
]
