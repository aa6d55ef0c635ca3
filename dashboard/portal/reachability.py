"""Why can't I reach it? A question by its address, so that the answer can be passed on as a link."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from compute import instances, trace
from dashboard.forms.base import Form
from dashboard.shell import page, portal_page
from identity.context import Context

# The largest lists that a choice may have; other instances are named by their address.
CHOICES_MAX = 300
PROTOCOLS = (("tcp", "TCP"), ("udp", "UDP"), ("icmp", "Ping"), ("sctp", "SCTP"))


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, from_instance_id="", from_address="", to_instance_id="", to_address="", protocol="tcp", port="443")
    answer = None
    if any(name in request.GET for name in ("to_instance_id", "to_address")) and form.run(lambda: _ask(ctx, form)):
        answer = form.result
    context = {
        "form": form,
        "answer": answer,
        "instances": instances.list(ctx)[:CHOICES_MAX],
        "protocols": PROTOCOLS,
        "fix": _link(ctx, answer.fix) if answer and answer.fix else "",
    }
    return page(request, "portal/reachability/index.html", context, status=form.status)


def _ask(ctx: Context, form: Form) -> trace.Answer:
    return trace.ask(
        ctx,
        from_instance_id=form.id_of("from_instance_id"),
        from_address=form.text("from_address"),
        to_instance_id=form.id_of("to_instance_id"),
        to_address=form.text("to_address"),
        protocol=form.text("protocol"),
        port=form.number("port"),
    )


def _link(ctx: Context, fix: Any) -> str:
    """Where it can be mended; a form there is filled in."""
    base = f"/p/{ctx.needed_project.slug}"
    if fix.about is None:
        return f"{base}/floating-ips"
    return f"{base}/{fix.about.noun}/{fix.about.id}" + (f"?{urlencode(fix.fields)}#add" if fix.fields else "")


urlpatterns = [path("/reachability", index, name="reachability")]
