"""Where backups lie and when they are made: vaults and schedules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common.errors import Invalid
from compute import backup_schedules, backup_vaults, backups
from dashboard import commands
from dashboard.forms.base import Form
from dashboard.portal.backups import sources, target_of
from dashboard.shell import attempt, page, portal_page
from identity import activity
from identity.context import Context
from storage import buckets

EVENTS = 8
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NUMBERS = ("minute", "hour", "weekday", "day", *backup_schedules.KEEPS)


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}"


@require_safe
@portal_page
def vaults(request: HttpRequest, ctx: Context) -> HttpResponse:
    context = {"rows": backup_vaults.list(ctx), "tab": "vaults", "why": ctx.why_not("backups.manage")}
    return page(request, "portal/backups/vaults.html", context)


@portal_page
def new_vault(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="", bucket="", prefix="backups", encrypted="on", passphrase="")

    def act() -> Any:
        return backup_vaults.create(
            ctx,
            name=form.text("name"),
            bucket=form.text("bucket"),
            prefix=form.text("prefix"),
            encrypted=form.text("encrypted") == "on",
            passphrase=form["passphrase"].value,
        )

    if form.posted and form.run(act):
        made = form.result
        if made.passphrase:
            return page(request, "portal/backups/vault_made.html", {"made": made, "v": made.vault})
        return HttpResponseRedirect(f"{_base(ctx)}/backup-vaults/{made.vault.id}")
    context = {
        "form": form,
        "buckets": buckets.list_buckets(ctx) if ctx.may("buckets.list") else [],
        "command": commands.curl(request, ctx, "backup-vaults", {"name": "Safe", "bucket": "backups", "encrypted": True}),
        "why": ctx.why_not("backups.manage"),
    }
    return page(request, "portal/backups/vault_new.html", context, status=form.status)


@require_safe
@portal_page
def vault(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    return _vault(request, ctx, id)


def _vault(request: HttpRequest, ctx: Context, id: UUID, *, form: Form | None = None) -> HttpResponse:
    row = backup_vaults.get(ctx, id)
    context = {
        "v": row,
        "rows": backups.list(ctx, vault_id=id, sort="-taken")[:50],
        "events": activity.list(ctx, subject_id=id)[:EVENTS],
        "why": ctx.why_not("backups.manage"),
        "why_forget": backup_vaults.why_not_forget(ctx, row),
        "tab": "vaults",
        "opened": "rename" if form else "",
        "rename": form or Form(request, name=row.name, description=row.description),
    }
    return page(request, "portal/backups/vault.html", context, status=form.status if form else 200)


@require_POST
@portal_page
def rename_vault(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    backup_vaults.get(ctx, id)
    form = Form(request, name="", description="")
    if form.run(lambda: backup_vaults.update(ctx, id, name=form.text("name"), description=form.text("description"))):
        return HttpResponseRedirect(f"{_base(ctx)}/backup-vaults/{id}")
    return _vault(request, ctx, id, form=form)


@require_POST
@portal_page
def do_vault(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    row = backup_vaults.get(ctx, id)
    at = f"{_base(ctx)}/backup-vaults"
    if key == "refresh":
        attempt(request, lambda: backup_vaults.refresh(ctx, id), done=f"The bucket of {row.name} was read.")
        return HttpResponseRedirect(f"{at}/{id}")
    if key == "forget":
        gone = attempt(request, lambda: backup_vaults.forget(ctx, id), done=f"{row.name} is forgotten. Its bucket is as it was.")
        return HttpResponseRedirect(at if gone else f"{at}/{id}")
    raise Http404


@require_safe
@portal_page
def schedules(request: HttpRequest, ctx: Context) -> HttpResponse:
    rows = [(row, backup_schedules.target(row)) for row in backup_schedules.list(ctx)]
    return page(request, "portal/backups/schedules.html", {"rows": rows, "tab": "schedules", "why": _why_not_schedule(ctx)})


def _why_not_schedule(ctx: Context) -> str:
    if reason := ctx.why_not("backups.manage"):
        return reason
    return "" if backup_vaults.list(ctx).exists() else "There is no vault to put backups into. Add one first, under Vaults."


def _times(form: Form) -> dict[str, Any]:
    found: dict[str, Any] = {"every": form.text("every"), "is_verified": form.text("is_verified") == "on"}
    for name in _NUMBERS:
        number = form.number(name)
        if number is None:
            raise Invalid("Write a number.", field=name)
        found[name] = number
    return found


def _defaults(row: Any) -> dict[str, str]:
    return {"every": row.every, "is_verified": "on" if row.is_verified else ""} | {name: str(getattr(row, name)) for name in _NUMBERS}


@portal_page
def new_schedule(request: HttpRequest, ctx: Context) -> HttpResponse:
    offered = backup_vaults.list(ctx)
    first = offered.first()
    form = Form(request, name="", of="", tag="", vault_id=str(first.id) if first else "", **_defaults(backup_schedules.Spec()))

    def act() -> Any:
        vault_id = form.id_of("vault_id")
        if vault_id is None:
            raise Invalid("Choose the vault.", field="vault_id")
        target: dict[str, Any] = {"tag": form.text("tag")} if form.text("of") == "tag" else target_of(form)
        if target.get("tag") == "":
            raise Invalid("Which tag?", field="tag")
        return backup_schedules.create(ctx, name=form.text("name"), vault_id=vault_id, spec=backup_schedules.Spec(**_times(form)), **target)

    if form.posted and form.run(act):
        return HttpResponseRedirect(f"{_base(ctx)}/backup-schedules/{form.result.id}")
    context = {"form": form, "vaults": offered, "sources": sources(ctx), "days": DAYS, "why": _why_not_schedule(ctx)}
    return page(request, "portal/backups/schedule_new.html", context, status=form.status)


@portal_page
def schedule(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """The schedule, its backups with what keeps each, and the form that changes it."""
    row = backup_schedules.get(ctx, id)
    form = Form(request, name=row.name, **_defaults(row))
    if form.posted and form.run(lambda: backup_schedules.update(ctx, id, name=form.text("name"), changes=_times(form))):
        return HttpResponseRedirect(f"{_base(ctx)}/backup-schedules/{id}")
    kept = backup_schedules.fate(ctx, row)
    context = {
        "s": row,
        "target": backup_schedules.target(row),
        "form": form,
        "rows": [(each, kept.get(each.id, ())) for each in backups.list(ctx, schedule_id=id, sort="-taken")[:50]],
        "days": DAYS,
        "events": activity.list(ctx, subject_id=id)[:EVENTS],
        "why": ctx.why_not("backups.manage"),
        "tab": "schedules",
    }
    return page(request, "portal/backups/schedule.html", context, status=form.status)


@require_POST
@portal_page
def do_schedule(request: HttpRequest, ctx: Context, id: UUID, key: str) -> HttpResponse:
    row = backup_schedules.get(ctx, id)
    at = f"{_base(ctx)}/backup-schedules"
    if key == "run":
        attempt(request, lambda: backup_schedules.run_now(ctx, id), done=f"{row.name} makes its backups now.")
    elif key in ("on", "off"):
        attempt(request, lambda: backup_schedules.update(ctx, id, is_active=key == "on"), done=f"{row.name} is {key}.")
    elif key == "delete":
        if attempt(request, lambda: backup_schedules.delete(ctx, id), done=f"{row.name} is deleted. Its backups stay."):
            return HttpResponseRedirect(at)
    else:
        raise Http404
    return HttpResponseRedirect(f"{at}/{id}")


urlpatterns = [
    path("/backup-vaults", vaults, name="backup-vaults"),
    path("/backup-vaults/new", new_vault, name="backup-vault-new"),
    path("/backup-vaults/<uuid:id>", vault, name="backup-vault"),
    path("/backup-vaults/<uuid:id>/rename", rename_vault, name="backup-vault-rename"),
    path("/backup-vaults/<uuid:id>/do/<slug:key>", do_vault, name="backup-vault-do"),
    path("/backup-schedules", schedules, name="backup-schedules"),
    path("/backup-schedules/new", new_schedule, name="backup-schedule-new"),
    path("/backup-schedules/<uuid:id>", schedule, name="backup-schedule"),
    path("/backup-schedules/<uuid:id>/do/<slug:key>", do_schedule, name="backup-schedule-do"),
]
