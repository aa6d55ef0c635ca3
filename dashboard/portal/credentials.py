"""API tokens and access keys of the person in this project. A secret is shown on the answer that made it, and never again."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST, require_safe

from cloudbox.common import clock
from dashboard import commands
from dashboard.forms.base import Form
from dashboard.portal import bucket_shell
from dashboard.shell import attempt, page, portal_page
from identity import credentials
from identity.context import Context
from identity.models import Role


def _base(ctx: Context) -> str:
    return f"/p/{ctx.needed_project.slug}/credentials"


@require_safe
@portal_page
def index(request: HttpRequest, ctx: Context) -> HttpResponse:
    context = {
        "tokens": credentials.list_tokens(ctx),
        "keys": credentials.list_access_keys(ctx),
        "now": clock.now(),
        "why": ctx.why_not("credentials.create"),
        "command": commands.curl(request, ctx, "instances"),
        "endpoints": bucket_shell.endpoints(request, ctx),
    }
    return page(request, "portal/credentials/list.html", context)


@portal_page
def new_token(request: HttpRequest, ctx: Context) -> HttpResponse:
    roles = Role.values if ctx.role is None else Role.values[: Role.values.index(ctx.role) + 1]
    form = Form(request, name="", role="member" if "member" in roles else "reader", days="90", reaches_box="")

    def act() -> object:
        box = form.text("reaches_box") == "on"
        return credentials.create_token(ctx, name=form.text("name"), role=form.text("role"), days=form.number("days"), reaches_box=box)

    if form.posted and form.run(act):
        token, text = form.result
        context = {"token": token, "text": text, "command": commands.curl(request, ctx, "instances")}
        return _once(page(request, "portal/credentials/token_made.html", context))
    body = {"name": form.text("name"), "role": form.text("role"), "days": 90}
    command = commands.curl(request, ctx, "tokens", body)
    choices = [(role, label) for role, label in Role.choices if role in roles]
    context = {"form": form, "roles": choices, "command": command, "why": ctx.why_not("credentials.create")}
    return page(request, "portal/credentials/new_token.html", context, status=form.status)


@portal_page
def new_key(request: HttpRequest, ctx: Context) -> HttpResponse:
    form = Form(request, name="")
    if form.posted and form.run(lambda: credentials.create_access_key(ctx, name=form.text("name"))):
        key, secret = form.result
        return _once(page(request, "portal/credentials/key_made.html", {"key": key, "secret": secret}))
    command = commands.curl(request, ctx, "access-keys", {"name": form.text("name")})
    context = {"form": form, "command": command, "why": ctx.why_not("credentials.create")}
    return page(request, "portal/credentials/new_key.html", context, status=form.status)


def _once(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@portal_page
def revoke_token(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    attempt(request, lambda: credentials.revoke_token(ctx, id), done="The token is revoked. What used it is refused from now on.")
    return HttpResponseRedirect(_base(ctx))


@require_POST
@portal_page
def delete_key(request: HttpRequest, ctx: Context, id: str) -> HttpResponse:
    attempt(request, lambda: credentials.delete_access_key(ctx, id), done=f"Deleted {id}. What used it is refused from now on.")
    return HttpResponseRedirect(_base(ctx))


urlpatterns = [
    path("/credentials", index, name="credentials"),
    path("/credentials/tokens/new", new_token, name="token-new"),
    path("/credentials/tokens/<uuid:id>/revoke", revoke_token, name="token-revoke"),
    path("/credentials/keys/new", new_key, name="access-key-new"),
    path("/credentials/keys/<slug:id>/delete", delete_key, name="access-key-delete"),
]
