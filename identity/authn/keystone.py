"""From `X-Auth-Token` to a Context."""

from __future__ import annotations

from django.http import HttpRequest

from cloudbox.common.errors import Unauthenticated
from cloudbox.common.requests import client_address, request_id
from identity import tokens
from identity.context import Context
from identity.tokens import Standing


def standing_for(request: HttpRequest) -> Standing:
    """What the request's token is worth, or Unauthenticated."""
    text = request.META.get("HTTP_X_AUTH_TOKEN", "")
    if not text:
        raise Unauthenticated("Send a token as X-Auth-Token.")
    return tokens.stand(tokens.read(text))


def context_of(request: HttpRequest, standing: Standing, *, api: str) -> Context:
    """Who asks, as verbs want it."""
    return Context(
        user=standing.user,
        project=standing.project,
        role=standing.role,
        box_role=standing.box_role,
        api=api,
        address=client_address(request),
        request_id=request_id(request),
        restricted=standing.credential is not None and not standing.credential.unrestricted,
    )


def context_for(request: HttpRequest, *, api: str) -> Context:
    """For the dialects of other services."""
    return context_of(request, standing_for(request), api=api)
