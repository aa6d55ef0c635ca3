"""Snippets of user data, the check of any user data, and how a first boot went."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import cloud_config, first_boot, snippets
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Input, Text
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation

CONTENT_MAX = cloud_config.BYTES_MAX
EXAMPLE = "#cloud-config\npackages: [nginx]\n"
_ANYWAY = "Keep it even if cloud-init would not do all that it says."


class SnippetShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    content = serializers.CharField()
    is_shipped = serializers.SerializerMethodField(help_text="It comes with the box, and is not changed.")
    created_at = serializers.DateTimeField(allow_null=True)
    changed_at = serializers.DateTimeField(allow_null=True)

    def get_is_shipped(self, row: object) -> bool:
        return getattr(row, "project_id", None) is None


class SnippetCreate(Input):
    name = Text(max_length=64)
    content = Text(max_length=CONTENT_MAX, help_text="cloud-config or a script; at most 65,535 bytes.")
    description = Text(default="", allow_blank=True)
    anyway = Flag(default=False, help_text=_ANYWAY)


class SnippetChange(Input):
    """What is left out stays."""

    name = Text(max_length=64, required=False)
    content = Text(max_length=CONTENT_MAX, required=False)
    description = Text(required=False, allow_blank=True)
    anyway = Flag(default=False, help_text=_ANYWAY)


class UserData(Input):
    content = Text(max_length=CONTENT_MAX, allow_blank=True)


class FindingShape(serializers.Serializer):
    line = serializers.IntegerField(help_text="From 1.")
    message = serializers.CharField()
    is_error = serializers.BooleanField(help_text="It stops the guest from doing what was meant.")


class VerdictShape(serializers.Serializer):
    kind = serializers.ChoiceField([*cloud_config.WORDS], help_text="Empty: nothing.")
    findings = FindingShape(many=True)


class LineShape(serializers.Serializer):
    text = serializers.CharField()
    is_trouble = serializers.BooleanField()


class FirstBootShape(serializers.Serializer):
    status = serializers.ChoiceField(["silent", "running", "done", "trouble"])
    sentence = serializers.CharField()
    version = serializers.CharField(help_text="Of cloud-init.")
    datasource = serializers.CharField(help_text="Where it had read.")
    seconds = serializers.FloatField(allow_null=True, help_text="From the start of the machine until it was done.")
    lines = LineShape(many=True, help_text="What it said since the last start.")


class SnippetsView(ApiView):
    @listing("snippets_list", "Snippets of user data of the project", of=SnippetShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(snippets.list(self.ctx), SnippetShape, self.query(PageQuery))

    @operation(
        "snippets_create",
        "Keep a text to launch with",
        answer=SnippetShape,
        status=201,
        body=SnippetCreate,
        example={"name": "web", "content": EXAMPLE},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = snippets.create(self.ctx, **self.body(SnippetCreate))
        return self.show(row, SnippetShape, status=201, location=f"{request.path}/{row.id}")


class ShippedSnippetsView(ApiView):
    @listing("snippets_shipped", "Snippets that come with the box", of=SnippetShape, query=None)
    def get(self, request: Request, project: str) -> Response:
        return self.list_all(snippets.shipped(self.ctx), SnippetShape)


class SnippetView(ApiView):
    @operation("snippets_get", "One snippet", answer=SnippetShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(snippets.get(self.ctx, id), SnippetShape)

    @operation("snippets_update", "Change a snippet", answer=SnippetShape, body=SnippetChange, example={"description": "nginx"})
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(snippets.update(self.ctx, id, **self.body(SnippetChange)), SnippetShape)

    @operation("snippets_delete", "Delete a snippet; instances that were launched with it keep theirs", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        snippets.delete(self.ctx, id)
        return self.nothing()


class CheckUserDataView(ApiView):
    @operation(
        "snippets_check",
        "Ask what cloud-init would make of a text",
        answer=VerdictShape,
        body=UserData,
        example={"content": "#cloud-config\npackage_updates: true\n"},
    )
    def post(self, request: Request, project: str) -> Response:
        return self.show(snippets.check(self.ctx, self.body(UserData)["content"]), VerdictShape)


class FirstBootView(ApiView):
    @operation("instances_first_boot", "How its first boot went, as cloud-init told", answer=FirstBootShape, tag="instances")
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(first_boot.of(self.ctx, id), FirstBootShape)
