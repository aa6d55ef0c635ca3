"""Snippets of user data: list, write with a check beside it, copy, delete; and the check for whoever types user data anywhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import CloudError
from compute import snippets
from dashboard import commands
from dashboard.forms.base import ChangeForm, Form
from dashboard.shell import attempt, page, portal_page
from identity.context import Context

START = "#cloud-config\n"


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/snippets"


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    q = request.GET.get("q", "").strip()[:100]
    rows = snippets.list(ctx)
    context = {
        "rows": rows.filter(name__icontains=q) if q else rows,
        "shipped": [row for row in snippets.shipped(ctx) if q.lower() in row.name.lower()],
        "q": q,
        "why": ctx.why_not("snippets.manage"),
        "why_launch": ctx.why_not("instances.launch"),
    }
    return page(request, "portal/snippets/list.html", context)


@portal_page
def new(request: HttpRequest, ctx: Context) -> HttpResponse:
    """Empty, or with the text of another one (`?from=<id>`)."""
    given = {"name": "", "description": "", "content": START}
    if source := _source(ctx, request.GET.get("from", "")):
        given = {"name": f"{source.name[:50]} of ours", "description": source.description, "content": source.content}
    form = Form(request, **given, anyway="")

    def act() -> Any:
        fields = {name: form.text(name) for name in ("name", "description")}
        return snippets.create(ctx, **fields, content=form["content"].value, anyway=bool(form.text("anyway")))

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{form.result.id}")
    command = commands.curl(request, ctx, "snippets", {"name": form.text("name"), "content": form["content"].value})
    context = {"form": form, "verdict": snippets.check(ctx, form["content"].value), "command": command}
    return page(request, "portal/snippets/new.html", context | {"why": ctx.why_not("snippets.manage")}, status=form.status)


def _source(ctx: Context, text: str) -> Any:
    try:
        return snippets.get(ctx, UUID(text)) if text else None
    except (ValueError, CloudError):
        return None


@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """With a form that changes it; one that the box brings is only read."""
    row = snippets.get(ctx, id)
    form = ChangeForm(request, name=row.name, description=row.description, content=row.content, anyway="")

    def act() -> Any:
        fields = {name: form.text(name) for name in ("name", "description")}
        return snippets.update(ctx, id, **fields, content=form["content"].value, anyway=bool(form.text("anyway")))

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/{id}")
    is_shipped = row.project_id is None
    context = {
        "row": row,
        "form": form,
        "is_shipped": is_shipped,
        "verdict": snippets.check(ctx, form["content"].value),
        "why": ctx.why_not("snippets.manage"),
        "why_launch": ctx.why_not("instances.launch"),
    }
    return page(request, "portal/snippets/detail.html", context, status=form.status)


@require_safe
@portal_page
def text(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """As it is, for the launch form and to keep."""
    return HttpResponse(snippets.get(ctx, id).content, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


@require_POST
@portal_page
def delete(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = snippets.get(ctx, id).name
    gone = attempt(request, lambda: snippets.delete(ctx, id), done=f"Deleted {name}.")
    return HttpResponseRedirect(_base(ctx) if gone else f"{_base(ctx)}/{id}")


@require_POST
@portal_page
def check(request: HttpRequest, ctx: Context) -> HttpResponse:
    """What is to be said of a text that is being typed; a script of the page asks, so the answer is JSON. Nothing is kept."""
    verdict = snippets.check(ctx, request.POST.get("content", "").replace("\r\n", "\n"))
    findings = [{"line": each.line, "message": each.message, "is_error": each.is_error} for each in verdict.findings]
    return JsonResponse({"kind": verdict.kind, "words": verdict.words, "findings": findings}, headers={"Cache-Control": "no-store"})


urlpatterns = [
    path("/snippets", index, name="snippets"),
    path("/snippets/new", new, name="snippet-new"),
    path("/snippets/<uuid:id>", detail, name="snippet"),
    path("/snippets/<uuid:id>/text", text),
    path("/snippets/<uuid:id>/delete", delete, name="snippet-delete"),
    path("/user-data/check", check),
]
