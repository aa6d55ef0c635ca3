"""Who calls: a program with an API token, or the portal's own pages with the browser's session."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.request import Request

from cloudbox.common.errors import Forbidden
from identity.authn import tokens
from identity.context import Context
from identity.models import User


class ApiTokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer cbx_…`; `request.auth` is the token's Context."""

    def authenticate(self, request: Request) -> tuple[User, Context] | None:
        ctx = tokens.context_for(request._request)
        if ctx is None:
            return None
        assert ctx.user is not None
        return ctx.user, ctx

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="cloudbox"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session; what changes something must carry the CSRF token in `X-CSRFToken`."""

    def enforce_csrf(self, request: Request) -> None:
        refusal: list[str] = []
        check = authentication.CSRFCheck(lambda _request: refusal.append(""))  # type: ignore[arg-type,return-value]
        check.process_request(request)
        reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]
        if reason:
            raise Forbidden("A request with a browser session needs the header X-CSRFToken. Programs use an API token instead.")


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "dashboard.api.authentication.ApiTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token, made under Credentials. It stands for one user in one project.",
        }


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "dashboard.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        from django.conf import settings

        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The portal's own session. Requests that change something also need the header X-CSRFToken.",
        }
