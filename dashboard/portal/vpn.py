"""Access to networks by WireGuard: who has it, a form that gives it, the settings for the device with a code for phones, and revoking."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

import qrcode
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from qrcode.image.svg import SvgPathImage

from cloudbox.common.errors import Invalid
from compute import networks, vpn
from dashboard.forms.base import Form
from dashboard.shell import attempt, page, portal_page
from identity.context import Context


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/vpn"


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    """With a form for another one. A key made here is shown on the answer and never again."""
    form = Form(request, name="", network="", public_key="")

    def act() -> Any:
        network_id = form.id_of("network")
        if network_id is None:
            raise Invalid("Choose the network.", field="network")
        return vpn.create(ctx, name=form.text("name"), network_id=network_id, public_key=form.text("public_key"))

    if form.posted and form.run(act):
        peer, private = form.result
        return _settings(request, ctx, peer, private)
    if form.status == 404:
        form.status = 400  # the page is there; it is the network that is not
    choices = [(row, vpn.why_not_network(row)) for row in networks.list(ctx)]
    context = {
        "form": form,
        "rows": [(row, vpn.trouble(row)) for row in vpn.list(ctx)],
        "choices": choices,
        "chosen": form.text("network"),
        "why": ctx.why_not("vpn.manage") or vpn.why_not() or _why_none(choices),
        "why_revoke": ctx.why_not("vpn.manage"),
        "note": vpn.why_not(),
    }
    return page(request, "portal/vpn/list.html", context, status=form.status)


def _why_none(choices: list[tuple[Any, str]]) -> str:
    """Why there is no network that access can be given to; empty: there is one."""
    if not choices:
        return "This project has no network."
    return "" if any(not reason for _, reason in choices) else choices[0][1]


@require_safe
@portal_page
def detail(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    """The settings again, but for the private key, which is nowhere here."""
    return _settings(request, ctx, vpn.get(ctx, id), "")


def _settings(request: HttpRequest, ctx: Context, peer: Any, private: str) -> HttpResponse:
    text = vpn.config(peer, private_key=private)
    context = {
        "peer": peer,
        "config": text,
        "has_private": bool(private),
        "code": _code(text) if private else "",
        "trouble": vpn.trouble(peer),
        "why_revoke": ctx.why_not("vpn.manage"),
    }
    response = page(request, "portal/vpn/detail.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _code(text: str) -> SafeString:
    """The settings as a QR code. The drawing is made of numbers alone: nothing of the text stands in it."""
    made = io.BytesIO()
    qrcode.make(text, image_factory=SvgPathImage, border=2).save(made)
    drawing = made.getvalue().decode().partition("<svg")[2]
    return mark_safe(f'<svg role="img" aria-label="The settings as a QR code" class="vp-code"{drawing}')


@require_POST
@portal_page
def revoke(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    name = vpn.get(ctx, id).name
    attempt(request, lambda: vpn.revoke(ctx, id), done=f"{name} has no access any more.")
    return HttpResponseRedirect(_base(ctx))


urlpatterns = [
    path("/vpn", index),
    path("/vpn/<uuid:id>", detail),
    path("/vpn/<uuid:id>/revoke", revoke),
]
