"""The catalogue's entries: cloud images that an administrator of the box may fetch."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common import outbound
from compute import image_catalogue
from compute.models import Image
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import compute as render

LIST = "A list of checksums that the publisher puts beside the file, instead of `checksum`."
EXAMPLE = {"name": "Debian", "version": "12", "url": "https://images.example.org/debian-12.qcow2", "checksum": "0" * 64}


class EntryChange(Input):
    """What is left out stays."""

    name = Text(max_length=64, required=False)
    version = Text(max_length=32, required=False, allow_blank=True)
    os = Text(max_length=32, required=False, allow_blank=True)
    architecture = Text(max_length=16, required=False)
    description = Text(required=False, allow_blank=True)
    url = Text(max_length=outbound.URL_MAX, required=False)
    checksum = Text(max_length=128, required=False, allow_blank=True, help_text="SHA-256 or SHA-512 of the file.")
    checksums_url = Text(max_length=outbound.URL_MAX, required=False, allow_blank=True, help_text=LIST)
    min_disk_gib = Whole(max_value=65536, required=False)
    min_memory_mib = Whole(max_value=16 * 2**20, required=False)
    disk_bus = serializers.ChoiceField(Image.DiskBus.values, required=False)
    nic_model = serializers.ChoiceField(Image.NicModel.values, required=False)


class EntryCreate(EntryChange):
    """With one of `checksum` and `checksums_url`."""

    name = Text(max_length=64)
    url = Text(max_length=outbound.URL_MAX)


class CatalogueView(ApiView):
    @listing("admin_image_catalogue_list", "Cloud images that can be fetched", of=render.CatalogueEntryShape, tag="admin")
    def get(self, request: Request) -> Response:
        return self.list_page(image_catalogue.list(self.ctx), render.CatalogueEntryShape, self.query(PageQuery))

    @operation(
        "admin_image_catalogue_create",
        "Put a cloud image into the catalogue",
        answer=render.CatalogueEntryShape,
        status=201,
        body=EntryCreate,
        example=EXAMPLE,
        creates=True,
        tag="admin",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        row = image_catalogue.create(self.ctx, **self.body(EntryCreate))
        return self.show(row, render.CatalogueEntryShape, status=201, location=f"{request.path}/{row.id}")


class CatalogueEntryView(ApiView):
    @operation("admin_image_catalogue_get", "One entry of the catalogue", answer=render.CatalogueEntryShape, tag="admin")
    def get(self, request: Request, id: UUID) -> Response:
        return self.show(image_catalogue.get(self.ctx, id), render.CatalogueEntryShape)

    @operation(
        "admin_image_catalogue_update",
        "Change an entry of the catalogue",
        answer=render.CatalogueEntryShape,
        body=EntryChange,
        example={"version": "12.5"},
        tag="admin",
    )
    def patch(self, request: Request, id: UUID) -> Response:
        return self.show(image_catalogue.update(self.ctx, id, **self.body(EntryChange)), render.CatalogueEntryShape)

    @operation("admin_image_catalogue_delete", "Delete an entry; images that were fetched stay", status=204, tag="admin")
    def delete(self, request: Request, id: UUID) -> Response:
        image_catalogue.delete(self.ctx, id)
        return self.nothing()


class FetchView(ApiView):
    @operation("admin_image_catalogue_fetch", "Fetch it, and make it a public image", answer=render.ImageShape, status=202, tag="admin")
    def post(self, request: Request, id: UUID) -> Response:
        self.body(Input)
        return self.show(image_catalogue.fetch(self.ctx, id), render.ImageShape, status=202)
