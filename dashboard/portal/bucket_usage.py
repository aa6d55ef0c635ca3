"""What buckets held and were asked over time, of one and of the whole project; and the inventory of a bucket."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from dashboard.forms.parts import PartForm
from dashboard.portal import bucket_shell
from dashboard.shell import page, portal_page
from identity import activity
from identity.context import Context
from storage import buckets, inventories, traffic, usage

DAYS = 30


@portal_page
def of_bucket(request: HttpRequest, ctx: Context, name: str) -> HttpResponse:
    """Posted, it has an inventory written."""
    since = activity.place()
    row = buckets.get(ctx, name)
    form = PartForm(request, "inventory", ticks={"versions": False}, target="", prefix="")
    if form.posted and form.run(
        lambda: inventories.start(ctx, row, target=form.text("target"), prefix=form["prefix"].value, versions=form.ticked("versions"))
    ):
        return bucket_shell.saved(request, "The inventory is being written.", at="inventory")
    series = usage.series(ctx, bucket=row, days=DAYS)
    moved = traffic.series(ctx, bucket=row, days=DAYS)
    context = bucket_shell.shown(
        ctx,
        row,
        "usage",
        series=series,
        moved=moved,
        moved_newest=moved[::-1],
        moved_total=traffic.total(moved),
        newest=series[::-1],
        gib_hours=sum(one.gib_hours for one in series),
        form=form,
        inventory=inventories.latest(row),
        targets=list(buckets.list_buckets(ctx).values_list("name", flat=True)),
        live={"project": ctx.needed_project.slug, "part": "page", "since": since},
    )
    return page(request, "portal/buckets/usage.html", context, status=form.status)


@require_safe
@portal_page
def of_project(request: HttpRequest, ctx: Context) -> HttpResponse:
    series = usage.series(ctx, days=DAYS)
    rows = usage.of_month(ctx)
    moved = traffic.series(ctx, days=DAYS)
    there = set(buckets.list_buckets(ctx).values_list("id", flat=True))
    context = {
        "series": series,
        "moved": moved,
        "moved_total": traffic.total(moved),
        "rows": [row | {"gone": row["bucket_id"] not in there} for row in rows],
        "total": sum(row["gib_hours"] for row in rows),
    }
    return page(request, "portal/buckets/project_usage.html", context)


urlpatterns = [
    path("/buckets/<str:name>/usage", of_bucket, name="bucket-usage"),
    path("/buckets-usage", of_project, name="buckets-usage"),
]
