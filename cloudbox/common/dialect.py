"""The shell around the views of an API: one place for methods, errors, request ids and the log, whichever wire it speaks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from cloudbox.common.errors import CloudError
from cloudbox.common.requests import request_id

log = logging.getLogger(__name__)

View = Callable[..., HttpResponse]


class MethodNotAllowed(CloudError):
    """The address does not take this method."""

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(f"This address takes {', '.join(allowed)}, not {method}.")
        self.allowed = allowed


def _nothing_here(request: HttpRequest) -> HttpResponse:
    raise Http404


@dataclass(frozen=True)
class Dialect:
    """What is particular about one API.

    `authenticate(request)` gives what the views take as their second argument, or raises. `render_error(request, error)` answers any
    exception. `finish(request, response)` adds the headers that every answer has.
    """

    name: str
    authenticate: Callable[[HttpRequest], Any]
    render_error: Callable[[HttpRequest, Exception], HttpResponse]
    finish: Callable[[HttpRequest, HttpResponse], None] = lambda request, response: None

    def view(self, **methods: View) -> View:
        """One address for who is signed in: method=view(request, caller, **path parts)."""
        return self._route(methods, is_open=False)

    def open(self, **methods: View) -> View:
        """One address for anybody: method=view(request, **path parts)."""
        return self._route(methods, is_open=True)

    def nowhere(self) -> View:
        """For all addresses below a prefix that have no view: there is nothing, told in this API's words."""
        return self.open(**dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), _nothing_here))

    def _route(self, methods: dict[str, View], *, is_open: bool) -> View:
        if "GET" in methods:
            methods = {"HEAD": methods["GET"], **methods}

        @csrf_exempt
        def route(request: HttpRequest, **parts: Any) -> HttpResponse:
            request.api = self.name  # type: ignore[attr-defined]
            try:
                response = self._answer(request, methods, is_open, parts)
                self.finish(request, response)
            except Exception as error:
                response = self.answer_error(request, error)
            if request.method == "HEAD":
                response.setdefault("Content-Length", str(len(response.content)))
                response.content = b""
            return response

        route.methods = sorted(methods)  # type: ignore[attr-defined]
        route.is_open = is_open  # type: ignore[attr-defined]
        return route

    def answer_error(self, request: HttpRequest, error: Exception) -> HttpResponse:
        """The answer to any exception, logged if it is ours."""
        response = self.render_error(request, error)
        if response.status_code >= 500:
            log.error("%s %s %s", request_id(request), request.method, request.path, exc_info=error)
        self.finish(request, response)
        return response

    def _answer(self, request: HttpRequest, methods: dict[str, View], is_open: bool, parts: dict[str, Any]) -> HttpResponse:
        if not is_open:
            # Before the method is looked at: strangers do not learn what is here.
            caller = self.authenticate(request)
        view = methods.get(request.method or "")
        if view is None:
            raise MethodNotAllowed(request.method or "", sorted(methods))
        return view(request, **parts) if is_open else view(request, caller, **parts)
