"""What happens to the objects of a bucket: versions and locks, lifecycle rules with a preview, the website and other sites' pages."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from cloudbox.common.errors import CloudError, Invalid
from dashboard.forms.base import Form
from dashboard.forms.parts import PartForm, any_posted
from dashboard.portal import bucket_shell
from dashboard.portal.object_store import public_url
from dashboard.shell import page, portal_page
from identity.context import Context
from storage import buckets, configurations, lifecycle, previews

# --- versioning and object lock


@portal_page
def versioning(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    row = buckets.get(ctx, name)
    kept = row.documents.get("lock") or {}
    versions = PartForm(request, "versioning", versioning=row.versioning)
    unit = "years" if kept.get("years") else "days"
    lock = PartForm(request, "lock", mode=kept.get("mode", ""), amount=str(kept.get("days") or kept.get("years") or ""), unit=unit)
    if versions.posted and versions.run(lambda: _set_versioning(ctx, row, versions)):
        return bucket_shell.saved(request, "Versioning is saved.")
    if lock.posted and lock.run(lambda: configurations.set_lock(ctx, row, _retention(lock))):
        return bucket_shell.saved(request, "Object lock is saved. The retention is for new objects.", at="lock")
    why_lock = "" if row.versioning == "enabled" else "Object lock keeps versions. Switch versioning on first."
    why = ctx.why_not("buckets.manage")
    context = bucket_shell.shown(
        ctx,
        row,
        "versioning",
        versions=versions,
        lock=lock,
        why_lock=why or why_lock,
        why_suspend=why or ("Object lock keeps versions, so versioning stays on." if row.object_lock else ""),
    )
    return page(request, "portal/buckets/versioning.html", context, status=any_posted(versions, lock))


def _set_versioning(ctx: Context, row: Any, form: PartForm) -> Any:
    wanted = form.text("versioning")
    if wanted not in ("enabled", "suspended"):
        raise Invalid("Versioning is enabled or suspended.", field="versioning")
    return configurations.set_versioning(ctx, row, wanted == "enabled")


def _retention(form: PartForm) -> dict[str, Any] | None:
    mode = form.text("mode")
    if not mode:
        return None
    amount = form.number("amount")
    if amount is None:
        raise Invalid("Write for how long.", field="amount")
    return {"mode": mode, "years" if form.text("unit") == "years" else "days": amount}


# --- lifecycle

RULE = {
    "id": "", "prefix": "", "tags": "", "larger_than": "", "smaller_than": "", "days": "", "date": "", "noncurrent_days": "",
    "noncurrent_keep": "", "abort_days": "",
}  # fmt: skip
_NUMBERS = ("larger_than", "smaller_than", "days", "noncurrent_days", "noncurrent_keep", "abort_days")


@portal_page
def lifecycle_rules(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """Rules are added below the list; a preview says what they, or the one being written, would end today."""
    row = buckets.get(ctx, name)
    kept = row.documents.get("lifecycle") or []
    add = PartForm(request, "add", ticks={"expired_markers": False}, **RULE)
    change = PartForm(request, "change", id="", do="")
    preview = None
    asked = request.method == "GET" and "preview" in request.GET
    outcome = Form(request)
    if add.posted and "preview" in request.POST:
        add.run(lambda: previews.lifecycle_preview(ctx, row, [_rule(add)]))
        preview = add.result
    elif add.posted and add.run(lambda: configurations.set_lifecycle(ctx, row, [*kept, _rule(add)])):
        return bucket_shell.saved(request, "The rule is added. The box looks through the bucket every hour.")
    if change.posted and change.run(lambda: configurations.set_lifecycle(ctx, row, _changed(kept, change))):
        return bucket_shell.saved(request, "The rules are saved.")
    if asked and kept:
        try:
            preview = previews.lifecycle_preview(ctx, row, kept)
        except CloudError as error:
            outcome.refuse(error)
    rules = [lifecycle.plain(rule) for rule in kept]
    context = bucket_shell.shown(
        ctx,
        row,
        "lifecycle",
        rules=[{**rule, "key": kept[at].get("id") or f"#{at}", "sentence": lifecycle.told(rule)} for at, rule in enumerate(rules)],
        add=add,
        change=change,
        preview=preview,
        of_draft=add.posted,
        outcome=outcome,
    )
    return page(request, "portal/buckets/lifecycle.html", context, status=max(any_posted(add, change), outcome.status))


def _rule(form: PartForm) -> dict[str, Any]:
    tags = {}
    for pair in form.text("tags").split(","):
        key, _, value = pair.partition("=")
        if key.strip():
            tags[key.strip()] = value.strip()
    flat: dict[str, Any] = {"enabled": True, "tags": tags, "expired_markers": form.ticked("expired_markers")}
    flat |= {name: form.text(name) for name in ("id", "prefix")} | {"date": form.text("date") or None}
    flat |= {name: form.number(name) for name in _NUMBERS}
    return lifecycle.stored(flat)


def _changed(kept: list[dict[str, Any]], form: PartForm) -> list[dict[str, Any]]:
    """The rules without one, or with one switched on or off."""
    at = next((n for n, rule in enumerate(kept) if (rule.get("id") or f"#{n}") == form.text("id")), None)
    do = form.text("do")
    if at is None or do not in ("remove", "enable", "disable"):
        raise Invalid("The rules have changed meanwhile. Look again.")
    if do == "remove":
        return [*kept[:at], *kept[at + 1 :]]
    return [*kept[:at], {**kept[at], "status": "Enabled" if do == "enable" else "Disabled"}, *kept[at + 1 :]]


# --- website and CORS

CORS = {"origins": "", "headers": "", "exposed": "", "max_age_seconds": ""}
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")


@portal_page
def website(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    row = buckets.get(ctx, name)
    kept = row.documents.get("website") or {}
    host = (kept.get("redirect_all") or {}).get("host", "")
    site = PartForm(request, "website", index=kept.get("index", ""), error=kept.get("error", ""), redirect_host=host)
    rules = row.documents.get("cors") or []
    cors = PartForm(request, "cors", ticks={method: method in ("GET", "HEAD") for method in _METHODS}, **CORS)
    remove = PartForm(request, "remove", position="")
    if site.posted and site.run(
        lambda: configurations.set_website(
            ctx, row, index=site.text("index"), error=site.text("error"), redirect_host=site.text("redirect_host")
        )
    ):
        return bucket_shell.saved(request, "The website is saved.")
    if cors.posted and cors.run(lambda: configurations.set_cors(ctx, row, [*rules, _cors(cors)])):
        return bucket_shell.saved(request, "The rule is added.", at="cors")
    if remove.posted and remove.run(lambda: configurations.set_cors(ctx, row, _without(rules, remove))):
        return bucket_shell.saved(request, "The rule is gone.", at="cors")
    origin = urlsplit(public_url(request))
    port = f":{origin.port}" if origin.port else ""
    domains = settings.BOX.get("store_domains") or []
    context = bucket_shell.shown(
        ctx,
        row,
        "website",
        site=site,
        cors=cors,
        remove=remove,
        methods=[(method, cors[method]) for method in _METHODS],
        rules=rules,
        is_site=bool(kept),
        sites=[f"{origin.scheme}://{row.name}.s3-website.{domain}{port}/" for domain in domains if origin.netloc and row.shared_name],
        routing=len(kept.get("rules") or ()),
    )
    return page(request, "portal/buckets/website.html", context, status=any_posted(site, cors, remove))


def _cors(form: PartForm) -> dict[str, Any]:
    origins = _words(form.text("origins"))
    if not origins:
        raise Invalid("Write at least one origin, like https://www.example.org, or * for every page.", field="origins")
    methods = [method for method in _METHODS if form.ticked(method)]
    if not methods:
        raise Invalid("Choose at least one method.", field="GET")
    return {
        "origins": origins,
        "methods": methods,
        "headers": _words(form.text("headers")),
        "exposed": _words(form.text("exposed")),
        "max_age_seconds": form.number("max_age_seconds"),
    }


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _without(rules: list[Any], form: PartForm) -> list[Any]:
    position = form.number("position")
    if position is None or not 0 <= position < len(rules):
        raise Invalid("The rules have changed meanwhile. Look again.")
    return [*rules[:position], *rules[position + 1 :]]


urlpatterns = [
    path("/buckets/<str:name>/versioning", versioning, name="bucket-versioning"),
    path("/buckets/<str:name>/lifecycle", lifecycle_rules, name="bucket-lifecycle"),
    path("/buckets/<str:name>/website", website, name="bucket-website"),
]
