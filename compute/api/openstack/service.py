"""One OpenStack service as a Dialect: who calls, in which microversion, and what every answer carries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from cloudbox.common.dialect import Dialect
from cloudbox.common.errors import CloudError, Forbidden, Invalid, NotFound
from cloudbox.common.requests import request_id
from compute.api.openstack import errors
from identity.api.keystone import links
from identity.authn import keystone as authn
from identity.context import Context

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,4})")


class NotAcceptable(CloudError):
    """The client asks for a microversion that is not spoken here."""


@dataclass(frozen=True)
class Microversions:
    """`names`: the service in the header OpenStack-API-Version, the first as answers say it; `legacy`: an older header of one version."""

    names: tuple[str, ...]
    major: int
    low: int
    high: int
    legacy: str = ""

    def read(self, request: HttpRequest) -> int:
        """The minor number that the request asks for; without one the lowest, as clients of old expect."""
        asked = request.headers.get(self.legacy, "").strip() if self.legacy else ""
        for each in request.headers.get("OpenStack-API-Version", "").split(","):
            name, _, version = each.strip().partition(" ")
            if name in self.names:
                asked = version.strip()
        if not asked:
            return self.low
        if asked == "latest":
            return self.high
        found = _VERSION.fullmatch(asked)
        if found is None:
            raise Invalid(f"{asked[:40]!r} is no version. Write it like {self.major}.{self.low}.")
        major, minor = int(found[1]), int(found[2])
        if major != self.major or not self.low <= minor <= self.high:
            raise NotAcceptable(f"Version {asked} is not spoken here: {self.text(self.low)} to {self.text(self.high)} are.")
        return minor

    def text(self, minor: int) -> str:
        return f"{self.major}.{minor}"


@dataclass(frozen=True)
class Caller:
    """Who calls, and in which microversion (its minor number; 0 where a service has none)."""

    ctx: Context
    minor: int = 0

    def since(self, minor: int) -> None:
        """The address came with this microversion: before, there is nothing."""
        if self.minor < minor:
            raise NotFound("There is nothing at this address in this microversion.")

    def until(self, minor: int) -> None:
        """The address went after this microversion."""
        if self.minor > minor:
            raise NotFound("There is nothing at this address in this microversion any more.")


@dataclass(frozen=True)
class Service:
    """`fault(status, message, error)` is the body of an error. `statuses` differ from those that all services share."""

    name: str
    prefix: str
    fault: Callable[[int, str, BaseException], dict[str, Any]]
    statuses: Mapping[type[BaseException], int] = field(default_factory=dict)
    versions: Microversions | None = None

    def dialect(self) -> Dialect:
        return Dialect(self.name, self._authenticate, self._render_error, self._finish)

    def _authenticate(self, request: HttpRequest) -> Caller:
        ctx = authn.context_for(request, api=self.name)
        minor = self.minor(request)
        if ctx.project is None:
            raise Forbidden("The token is about no project. Ask for one that is, by naming a project as you sign in.")
        return Caller(ctx, minor)

    def minor(self, request: HttpRequest) -> int:
        if self.versions is None:
            return 0
        request.microversion = self.versions.read(request)  # type: ignore[attr-defined]
        return int(request.microversion)  # type: ignore[attr-defined]

    def _render_error(self, request: HttpRequest, error: Exception) -> HttpResponse:
        status = 406 if isinstance(error, NotAcceptable) else errors.status_of(error, self.statuses)
        message = errors.message_of(error, status, request_id(request))
        if status == 401:
            # Keystone's middleware answers this one, for every service alike.
            body: dict[str, Any] = {"error": {"code": 401, "title": "Unauthorized", "message": message}}
        else:
            body = self.fault(status, message, error)
        answer = JsonResponse(body, status=status)
        errors.add_headers(answer, error, status, links.identity(request))
        return answer

    def _finish(self, request: HttpRequest, response: HttpResponse) -> None:
        response["X-Openstack-Request-Id"] = request_id(request)
        vary = ["X-Auth-Token"]
        if self.versions is not None:
            text = self.versions.text(getattr(request, "microversion", self.versions.high))
            response["OpenStack-API-Version"] = f"{self.versions.names[0]} {text}"
            vary.append("OpenStack-API-Version")
            if self.versions.legacy:
                response[self.versions.legacy] = text
                response["X-Compute-Request-Id"] = request_id(request)
                vary.append(self.versions.legacy)
        response["Vary"] = ", ".join(vary)

    def address(self, request: HttpRequest, *parts: object) -> str:
        """An absolute address below the service's prefix."""
        return "/".join([f"{links.site(request)}{self.prefix}", *(str(part) for part in parts)])


def answer(shape: Any, *, status: int = 200) -> HttpResponse:
    return JsonResponse(shape, status=status)


def nothing(status: int = 204) -> HttpResponse:
    """No body, and so no type of one."""
    response = HttpResponse(status=status)
    del response["Content-Type"]
    return response
