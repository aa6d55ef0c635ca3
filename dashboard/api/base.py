"""The view shell of the dialect: the context, strict input, rendering, pages."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cloudbox.common.errors import NotFound
from dashboard.api import pages
from dashboard.api.fields import Input
from dashboard.api.parsing import StrictJSONParser
from identity.authn import session
from identity.context import Context


class AlwaysJSON(BaseContentNegotiation):
    """Answers are JSON, whatever a client says it would like."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        given = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == given), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class PageQuery(Input):
    """What every list takes."""

    limit = serializers.IntegerField(min_value=1, max_value=pages.LIMIT_MAX, default=pages.LIMIT_DEFAULT, help_text="How many at most.")
    cursor = serializers.CharField(max_length=2000, default="", allow_blank=True, help_text="`next_cursor` of the page before.")


class ApiView(APIView):
    content_negotiation_class = AlwaysJSON
    parser_classes = [StrictJSONParser]
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @cached_property
    def ctx(self) -> Context:
        """Who asks, in which project. A token knows its project; any other is NotFound to it."""
        slug = self.kwargs.get("project")
        if isinstance(self.request.auth, Context):
            ctx = self.request.auth
            if slug is None or (ctx.project is not None and slug == ctx.project.slug):
                return ctx
            if ctx.box_role:  # a token that reaches the box reaches its projects, as its user does
                return replace(session.context_of(ctx.needed_user, slug, api="rest"), address=ctx.address, request_id=ctx.request_id)
            raise NotFound(f"There is no project {slug}.")
        return session.context_for(self.request._request, slug, api="rest")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.user is not None:
            _ = self.ctx  # a stranger's project ends here, before a body is read

    def body(self, kind: type[serializers.Serializer]) -> dict[str, Any]:
        """The body in the shape of `kind`, or ValidationError."""
        parsed = kind(data=self.request.data)
        parsed.is_valid(raise_exception=True)
        return dict(parsed.validated_data)

    def query(self, kind: type[serializers.Serializer]) -> dict[str, Any]:
        parsed = kind(data=self.request.query_params.dict())
        parsed.is_valid(raise_exception=True)
        return dict(parsed.validated_data)

    def show(self, row: Any, kind: type[serializers.Serializer], *, status: int = 200, location: str = "", **more: Any) -> Response:
        """Render one thing; `more` is put in beside what the row says (a secret told once)."""
        data = kind(row, context=self.rendering([row])).data
        return Response({**data, **more}, status=status, headers={"Location": location} if location else None)

    def list_all(self, rows: Any, kind: type[serializers.Serializer]) -> Response:
        """A list that is short by its nature."""
        return Response({"items": kind(rows, many=True, context=self.rendering(rows)).data, "next_cursor": None})

    def list_page(self, rows: QuerySet[Any], kind: type[serializers.Serializer], query: dict[str, Any]) -> Response:
        found, cursor = pages.page(rows, limit=query["limit"], cursor=query["cursor"])
        headers = {}
        if cursor:
            params = self.request.query_params.dict() | {"cursor": cursor}
            headers["Link"] = f'<{self.request.path}?{urlencode(params)}>; rel="next"'
        return Response({"items": kind(found, many=True, context=self.rendering(found)).data, "next_cursor": cursor}, headers=headers)

    def rendering(self, rows: Any) -> dict[str, Any]:
        """What a renderer may need besides the row; asked once for all rows."""
        return {"ctx": self.ctx}

    def nothing(self) -> Response:
        return Response(status=204)
