"""The first boot of an instance: what it was given, and what cloud-init said of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from cloudbox.common.errors import Unavailable
from compute import first_boot, instances
from dashboard.portal import instance_tabs
from dashboard.shell import portal_page
from identity import activity
from identity.context import Context

STATES = {"silent": "queued", "running": "building", "done": "ok", "trouble": "warn"}
WORDS = {"silent": "Silent", "running": "At work", "done": "Done", "trouble": "Done, with trouble"}


@require_safe
@portal_page
def tab(request: HttpRequest, ctx: Context, id: UUID) -> HttpResponse:
    more: dict[str, Any] = {"read": (activity.place(), instances.get(ctx, id)), "trouble": ""}
    # User data hold passwords and keys: who may only look sees how it went.
    if why := ctx.why_not("instances.update"):
        more |= {"why_text": why}
    else:
        more["text"], more["verdict"] = first_boot.user_data(ctx, id)
    try:
        more["boot"] = boot = first_boot.of(ctx, id)
        more |= {"state": STATES[boot.status], "state_words": WORDS[boot.status]}
    except Unavailable as error:
        more["trouble"] = error.message
    return instance_tabs.tab(request, ctx, id, "first-boot", more, template="first_boot")


urlpatterns = [path("/instances/<uuid:id>/first-boot", tab)]
