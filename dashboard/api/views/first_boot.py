"""What an instance is told when it boots: how its metadata is asked for."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute import instances, metadata_options
from compute.models import ConfigDrive
from dashboard.api.base import ApiView
from dashboard.api.fields import Flag, Input, Whole
from dashboard.api.openapi import operation


class MetadataOptionsShape(serializers.Serializer):
    tokens_required = serializers.BooleanField(help_text="Is nothing told without a token of IMDSv2?")
    token_hops = serializers.IntegerField(help_text="How many hops an answer with a token travels.")
    config_drive = serializers.ChoiceField(["", *ConfigDrive.values], help_text="The disk that tells the same; empty: none.")


class MetadataOptions(Input):
    tokens_required = Flag()
    token_hops = Whole(default=1, min_value=1, max_value=metadata_options.HOPS_MAX, help_text="2 for containers inside.")
    config_drive = serializers.ChoiceField(
        ["", *ConfigDrive.values], allow_null=True, allow_blank=True, default=None, help_text="From its next start on; null: as it is."
    )


class MetadataOptionsView(ApiView):
    @operation("instances_metadata_options", "How its metadata is asked for", answer=MetadataOptionsShape, tag="instances")
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(instances.get(self.ctx, id), MetadataOptionsShape)

    @operation(
        "instances_set_metadata_options",
        "Say how its metadata is asked for",
        answer=MetadataOptionsShape,
        body=MetadataOptions,
        example={"tokens_required": True},
        tag="instances",
    )
    def put(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(metadata_options.set(self.ctx, id, **self.body(MetadataOptions)), MetadataOptionsShape)
