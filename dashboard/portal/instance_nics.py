"""Network cards of an instance: put in by a form, taken out by a button, on its networking tab."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST

from compute import instances, nics
from dashboard.forms.instances import uuids
from dashboard.shell import attempt, portal_page
from identity.context import Context


@require_POST
@portal_page
def attach(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    instance = instances.get(ctx, id)
    chosen = uuids([request.POST.get("network", "")])
    ip = request.POST.get("ip", "").strip()[:64]
    attempt(
        request,
        lambda: nics.attach(ctx, id, network_id=chosen[0] if chosen else None, ip=ip),
        done=f"{instance.name} gets another network card.",
    )
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{id}/networking")


@require_POST
@portal_page
def detach(request: HttpRequest, ctx: Context, id: UUID, port_id: UUID) -> HttpResponse:
    instances.get(ctx, id)
    attempt(request, lambda: nics.detach(ctx, id, port_id), done="The card is being taken out.")
    return HttpResponseRedirect(f"/p/{ctx.needed_project.slug}/instances/{id}/networking")


urlpatterns = [
    path("/instances/<uuid:id>/nics/attach", attach),
    path("/instances/<uuid:id>/nics/<uuid:port_id>/detach", detach),
]
