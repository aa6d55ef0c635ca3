"""When a session was last seen, for the page of sessions: written once a minute, not with five queries on every request."""

from __future__ import annotations

from collections.abc import Callable

from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

EVERY_SECONDS = 60


class SeenMiddleware:
    """As allauth's middleware of sessions, which it replaces, but at most once a minute for each session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        key = request.session.session_key
        if key and request.user.is_authenticated and _is_due(key):
            UserSession.objects.create_from_request(request)
        return self.get_response(request)


def _is_due(key: str) -> bool:
    try:
        return cache.add(f"session-seen-{key}", True, EVERY_SECONDS)
    except Exception:  # the cache may be restarting; then it is written too often, which harms nobody
        return True
