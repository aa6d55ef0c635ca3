"""Sizes, images and key pairs: what instances are made from."""

from __future__ import annotations

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common import outbound
from compute import flavors, image_exports, image_members, images, keypairs
from compute.models import ConfigDrive, Image, ImageExport, ImageMember
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Id, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import compute as render


class FlavorsView(ApiView):
    @listing("flavors_list", "Sizes on offer", of=render.FlavorShape)
    def get(self, request: Request) -> Response:
        return self.list_page(flavors.list(self.ctx), render.FlavorShape, self.query(PageQuery))


class FlavorView(ApiView):
    @operation("flavors_get", "One size", answer=render.FlavorShape)
    def get(self, request: Request, id: UUID) -> Response:
        return self.show(flavors.get(self.ctx, id), render.FlavorShape)


class ImageCreate(Input):
    """Of raw, qcow2, VMDK, VHD, VHDX, VDI, OVA and ISO; what it is, is seen in the file."""

    name = Text(max_length=64)
    url = Text(max_length=outbound.URL_MAX, required=False, help_text="Where it is fetched from, by http or https.")
    bucket = Text(max_length=63, required=False, help_text="A bucket of the project, with `key`, instead of `url`.")
    key = Text(max_length=1024, required=False)
    snapshot_id = Id(required=False, help_text="A snapshot of a volume of the project, instead of these.")
    instance_snapshot_id = Id(required=False, help_text="A snapshot of an instance: its root disk.")
    checksum = Text(max_length=128, required=False, help_text="SHA-256 or SHA-512 of the file, if it is to be compared.")
    description = Text(required=False)
    os = Text(max_length=32, required=False)
    min_disk_gib = Whole(max_value=65536, required=False)
    min_memory_mib = Whole(max_value=16 * 2**20, required=False)


class ImageQuery(PageQuery):
    visibility = serializers.ChoiceField(Image.Visibility.values, required=False, help_text="Those of the community are listed only so.")
    member_status = serializers.ChoiceField(
        ImageMember.Status.values,
        required=False,
        help_text="Images of others that were offered to this project, and to which it said that.",
    )


class ImagesView(ApiView):
    @listing(
        "images_list", "The project's images, the public ones, and those of others that it accepted", of=render.ImageShape, query=ImageQuery
    )
    def get(self, request: Request, project: str) -> Response:
        query = self.query(ImageQuery)
        if status := query.get("member_status"):
            rows = images.offered(self.ctx, status)
        else:
            rows = images.list(self.ctx, visibility=query.get("visibility", ""))
        return self.list_page(rows, render.ImageShape, query)

    @operation(
        "images_create",
        "Make an image: from an address, an object in a bucket, or a snapshot of a volume or an instance",
        answer=render.ImageShape,
        status=202,
        body=ImageCreate,
        example={"name": "Debian 12", "url": "https://images.example.org/debian-12.qcow2", "os": "debian"},
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        return self.show(images.create(self.ctx, **self.body(ImageCreate)), render.ImageShape, status=202)


class ImageChange(Input):
    """What is left out stays."""

    name = Text(max_length=64, required=False)
    description = Text(required=False)
    os = Text(max_length=32, required=False)
    visibility = serializers.ChoiceField(Image.Visibility.values, required=False, help_text="Public: by administrators of the box only.")
    is_protected = Flag(required=False)
    min_disk_gib = Whole(max_value=65536, required=False)
    min_memory_mib = Whole(max_value=16 * 2**20, required=False)
    disk_bus = serializers.ChoiceField(Image.DiskBus.values, required=False)
    nic_model = serializers.ChoiceField(Image.NicModel.values, required=False)
    config_drive = serializers.ChoiceField(["", *ConfigDrive.values], required=False, allow_blank=True, help_text="Empty: none.")


class ImageView(ApiView):
    @operation("images_get", "One image", answer=render.ImageShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(images.get(self.ctx, id), render.ImageShape)

    @operation("images_update", "Change an image", answer=render.ImageShape, body=ImageChange, example={"disk_bus": "sata"})
    def patch(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(images.update(self.ctx, id, **self.body(ImageChange)), render.ImageShape)

    @operation("images_delete", "Delete an image that no instance stands on", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        images.delete(self.ctx, id)
        return self.nothing()


class ImageDeactivateView(ApiView):
    @operation("images_deactivate", "No new instances from this image", answer=render.ImageShape, status=202)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(images.deactivate(self.ctx, id), render.ImageShape, status=202)


class ImageReactivateView(ApiView):
    @operation("images_reactivate", "Offer this image again", answer=render.ImageShape, status=202)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(images.reactivate(self.ctx, id), render.ImageShape, status=202)


class ImageOffer(Input):
    project_id = Id(help_text="Its people find it in the project's settings.")


class ImageMembersView(ApiView):
    @listing("image_members_list", "The projects that an image was offered to", of=render.ImageMemberShape, query=None)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.list_all(image_members.list(self.ctx, id), render.ImageMemberShape)

    @operation(
        "image_members_offer",
        "Offer an image to another project",
        answer=render.ImageMemberShape,
        status=201,
        body=ImageOffer,
        example={"project_id": "0b7c6f5e-4f0f-4f0e-9d1c-2f3a4b5c6d7e"},
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(image_members.offer(self.ctx, id, **self.body(ImageOffer)), render.ImageMemberShape, status=201)


class ImageMemberView(ApiView):
    @operation("image_members_withdraw", "Withdraw an image from a project; what it launched keeps running", status=204)
    def delete(self, request: Request, project: str, id: UUID, project_id: UUID) -> Response:
        image_members.withdraw(self.ctx, id, project_id=project_id)
        return self.nothing()


class ImageAcceptView(ApiView):
    @operation("images_accept", "Accept an image that was offered to this project", answer=render.ImageMemberShape, writes=True)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(image_members.accept(self.ctx, id), render.ImageMemberShape)


class ImageRejectView(ApiView):
    @operation("images_reject", "Turn down an image that was offered to this project", answer=render.ImageMemberShape, writes=True)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        return self.show(image_members.reject(self.ctx, id), render.ImageMemberShape)


class ImageExportCreate(Input):
    format = serializers.ChoiceField(ImageExport.Format.values)
    bucket = Text(max_length=63, help_text="A bucket of the project.")


class ImageExportsView(ApiView):
    @listing("image_exports_list", "An image's files in buckets of the project, and those on their way", of=render.ImageExportShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        rows = image_exports.list(self.ctx, images.get(self.ctx, id).id)
        return self.list_page(rows, render.ImageExportShape, self.query(PageQuery))

    @operation(
        "image_exports_create",
        "Put an image into a bucket as a file that others read",
        answer=render.ImageExportShape,
        status=202,
        body=ImageExportCreate,
        example={"format": "vmdk", "bucket": "disks"},
    )
    @idempotent
    def post(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(image_exports.create(self.ctx, id, **self.body(ImageExportCreate)), render.ImageExportShape, status=202)


class ImageExportView(ApiView):
    @operation("image_exports_get", "One export", answer=render.ImageExportShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(image_exports.get(self.ctx, id), render.ImageExportShape)

    @operation("image_exports_delete", "Cancel an export, or forget one that is done: its file stays", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        image_exports.delete(self.ctx, id)
        return self.nothing()


class KeypairCreate(Input):
    name = Text(max_length=64)
    kind = serializers.ChoiceField(["ed25519", "rsa"], default="ed25519")


class KeypairImport(Input):
    name = Text(max_length=64)
    public_key = Text(max_length=keypairs.PUBLIC_KEY_LENGTH_MAX, help_text="The one line of a .pub file.")


class KeypairsView(ApiView):
    @listing("keypairs_list", "Key pairs of the project", of=render.KeypairShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(keypairs.list(self.ctx), render.KeypairShape, self.query(PageQuery))

    @operation(
        "keypairs_create",
        "Make a key pair; the private key is told once",
        answer=render.KeypairCreated,
        status=201,
        body=KeypairCreate,
        example={"name": "laptop", "kind": "ed25519"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row, private = keypairs.create(self.ctx, **self.body(KeypairCreate))
        return self.show(row, render.KeypairShape, status=201, location=f"{request.path}/{row.id}", private_key=private)


class KeypairImportView(ApiView):
    @operation(
        "keypairs_import",
        "Bring a public key",
        answer=render.KeypairShape,
        status=201,
        body=KeypairImport,
        example={
            "name": "laptop",
            "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9b1yAE7Ae1Wi1pY9H9dIRK0Y5BtVg2YdB8SF2gKXpW me@laptop",
        },
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = keypairs.import_key(self.ctx, **self.body(KeypairImport))
        return self.show(row, render.KeypairShape, status=201, location=request.path.removesuffix("import") + str(row.id))


class KeypairView(ApiView):
    @operation("keypairs_get", "One key pair", answer=render.KeypairShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(keypairs.get(self.ctx, id), render.KeypairShape)

    @operation("keypairs_delete", "Delete a key pair; instances that have it keep it", status=204)
    def delete(self, request: Request, project: str, id: UUID) -> Response:
        keypairs.delete(self.ctx, id)
        return self.nothing()
