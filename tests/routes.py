"""All routes of the house, as the URL resolver and the WebSocket router know them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver


def http_routes() -> dict[str, Any]:
    """Route text -> view, for every address that HTTP reaches."""
    return dict(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for each in patterns:
        here = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, here)
        elif isinstance(each, URLPattern):
            yield here, each.callback


def websocket_routes() -> set[str]:
    from compute.routing import websocket_urlpatterns as consoles
    from dashboard.routing import websocket_urlpatterns as live

    return {str(each.pattern) for each in [*live, *consoles]}
