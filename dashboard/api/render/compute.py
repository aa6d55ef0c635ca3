"""Instances, and what they are made of and connected by."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compute import actions, image_catalogue, images, lifecycle, security_groups
from compute.models import CatalogueEntry, ConfigDrive, Image, ImageExport, ImageMember

STATUSES = sorted(map(str, lifecycle.MOVES))
# What people may ask for here; the others of the table (rename, console) have addresses of their own.
ACTION_KEYS = ["start", "stop", "reboot", "reset", "pause", "resume", "suspend", "lock", "unlock", "protect", "unprotect"]
CHANGE_KEYS = ["confirm-resize", "revert-resize", "undo-rebuild", "drop-old-disk", "unrescue", "shelve", "unshelve"]
_TOLD = [*ACTION_KEYS, "resize", "rebuild", "rescue", "nics", "password", *CHANGE_KEYS, "console", "rename", "tag", "delete"]


class Named(serializers.Serializer):
    """A thing as others point to it."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class OuterAddress(serializers.Serializer):
    """The floating IP of a card."""

    id = serializers.UUIDField()
    address = serializers.CharField()


class Nic(serializers.Serializer):
    """A network card of an instance."""

    id = serializers.UUIDField(help_text="The port.")
    network = Named()
    mac = serializers.CharField()
    ip = serializers.CharField()
    ip6 = serializers.CharField(help_text="Empty: its network has no IPv6.")
    floating_ip = OuterAddress(allow_null=True, default=None, help_text="By which it is reached from outside.")
    security_groups = serializers.SerializerMethodField()

    @extend_schema_field(Named(many=True))
    def get_security_groups(self, row: Any) -> Any:
        return Named(row.security_groups.all(), many=True).data


class PairShape(serializers.Serializer):
    ip = serializers.CharField(help_text="An address or a range.")
    mac = serializers.CharField(help_text="Empty: the card's own.")


class PortShape(Nic):
    """A network card, with the instance that it belongs to."""

    instance = Named(allow_null=True)
    name = serializers.CharField()
    description = serializers.CharField()
    is_reserved = serializers.BooleanField(help_text="Keeps its address when its instance goes.")
    dns_name = serializers.CharField(help_text="Empty: its instance's host name.")
    port_security = serializers.BooleanField(help_text="Off: it may send what it likes, and no rule guards it.")
    allowed_pairs = PairShape(many=True, help_text="What it may send from besides its own address.")
    rate_in_kbps = serializers.IntegerField(allow_null=True, help_text="To the instance, in 1,000 bits a second; null: no cap.")
    rate_out_kbps = serializers.IntegerField(allow_null=True, help_text="From the instance.")
    created_at = serializers.DateTimeField()


class ProgressShape(serializers.Serializer):
    sentence = serializers.CharField()
    percent = serializers.IntegerField()
    retrying = serializers.CharField(allow_blank=True)


class ReversalShape(serializers.Serializer):
    """A change that can still be taken back."""

    kind = serializers.ChoiceField(["resize", "rebuild"])
    until = serializers.DateTimeField(allow_null=True, help_text="Then it is final; null: it is under way.")
    flavor = Named(allow_null=True, help_text="The size from before (while it is under way, the one to come).")
    image = Named(allow_null=True, help_text="The image from before (while it is under way, the one to come).")


class InstanceShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    description = serializers.CharField()
    hostname = serializers.CharField()
    status = serializers.ChoiceField(STATUSES)
    intended = serializers.CharField(help_text="What was asked for; `status` is what is.")
    error = serializers.CharField()
    flavor = Named()
    image = Named()
    keypair = Named(allow_null=True)
    vcpus = serializers.IntegerField()
    memory_mib = serializers.IntegerField()
    disk_gib = serializers.IntegerField()
    tags = serializers.DictField(child=serializers.CharField())
    metadata = serializers.DictField(child=serializers.CharField(), help_text="Pairs that its guest can read.")
    rescue_image = Named(allow_null=True, help_text="It boots from a copy of this image, with its own disk as the second.")
    shelved_at = serializers.DateTimeField(allow_null=True)
    config_drive = serializers.ChoiceField(["", *ConfigDrive.values], help_text="The disk that tells what the metadata service does.")
    reversals = ReversalShape(many=True, help_text="Changes that can still be taken back.")
    is_protected = serializers.BooleanField()
    locked_by = serializers.CharField()
    nics = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField(help_text="The work that is under way; null: none.")
    actions = serializers.SerializerMethodField(help_text="What can be done now: null, or the sentence that says why not.")
    created_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(Nic(many=True))
    def get_nics(self, row: Any) -> Any:
        return Nic(row.ports.all(), many=True).data

    @extend_schema_field(ProgressShape(allow_null=True))
    def get_progress(self, row: Any) -> Any:
        found = self.context["progress"].get(row.id)
        return ProgressShape(found).data if found else None

    @extend_schema_field(
        {
            "type": "object",
            "properties": {key: {"type": ["string", "null"]} for key in _TOLD},
            "required": _TOLD,
            "additionalProperties": False,
        }
    )
    def get_actions(self, row: Any) -> dict[str, str | None]:
        return {key: actions.why_not(self.context["ctx"], row, key) or None for key in _TOLD}


class ConsoleShape(serializers.Serializer):
    path = serializers.CharField(help_text="The path of the WebSocket on this host; good once, within a minute.")
    token = serializers.CharField()
    expires_at = serializers.DateTimeField()


class ConsoleLog(serializers.Serializer):
    text = serializers.CharField()


class Metrics(serializers.Serializer):
    """Times and values, of equal length; null: no sample."""

    def get_fields(self) -> dict[str, serializers.Field]:
        fields: dict[str, serializers.Field] = {
            "at": serializers.ListField(child=serializers.IntegerField(), help_text="Seconds since 1970.")
        }
        for name in ("cpu", "memory", "disk_iops", "disk_read", "disk_write", "net_rx", "net_tx"):
            fields[name] = serializers.ListField(child=serializers.FloatField(allow_null=True))
        return fields


class FlavorShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    vcpus = serializers.IntegerField()
    memory_mib = serializers.IntegerField()
    disk_gib = serializers.IntegerField()
    is_active = serializers.BooleanField(help_text="Is it on offer? A retired size stays with the instances that have it.")


class ImageShape(serializers.Serializer):
    id = serializers.UUIDField()
    project_id = serializers.UUIDField(allow_null=True, help_text="null: of the box's catalogue.")
    name = serializers.CharField()
    description = serializers.CharField()
    os = serializers.CharField()
    status = serializers.CharField()
    visibility = serializers.ChoiceField(Image.Visibility.values)
    is_protected = serializers.BooleanField(help_text="Nobody deletes it until it is unprotected.")
    disk_bus = serializers.ChoiceField(Image.DiskBus.values, help_text="Of the boot disk of machines launched from now on.")
    nic_model = serializers.ChoiceField(Image.NicModel.values)
    config_drive = serializers.ChoiceField(["", *ConfigDrive.values], help_text="Of its machines, unless they say otherwise.")
    concern = serializers.SerializerMethodField(
        help_text="Why its machines may not come up, as far as its first bytes tell; empty: nothing."
    )
    size_bytes = serializers.IntegerField()
    virtual_bytes = serializers.IntegerField()
    min_disk_gib = serializers.IntegerField()
    min_memory_mib = serializers.IntegerField()
    checksum = serializers.CharField(help_text="SHA-256 of the file.")
    format = serializers.CharField(help_text="What was brought: raw, qcow2, vmdk, vhd, vhdx, vdi, ova or iso. Kept as qcow2.")
    progress = serializers.IntegerField(help_text="Percent, while it is importing.")
    error = serializers.CharField(help_text="Why it failed.")
    facts = serializers.JSONField(help_text="What was found in the file: `boot`, how it is likely to boot; `launch`, what its machine had.")
    created_at = serializers.DateTimeField()

    def get_concern(self, row: Any) -> str:
        return images.concern(row)


class CatalogueEntryShape(serializers.Serializer):
    """A cloud image that an administrator of the box may fetch."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    version = serializers.CharField()
    os = serializers.CharField()
    architecture = serializers.CharField()
    description = serializers.CharField()
    url = serializers.CharField()
    checksum = serializers.CharField(help_text="SHA-256 or SHA-512 of the file; empty: the list below tells it.")
    checksums_url = serializers.CharField(help_text="A list of checksums beside the file.")
    min_disk_gib = serializers.IntegerField()
    min_memory_mib = serializers.IntegerField()
    disk_bus = serializers.ChoiceField(Image.DiskBus.values)
    nic_model = serializers.ChoiceField(Image.NicModel.values)
    image = serializers.SerializerMethodField(help_text="The one that was fetched last, whatever became of it; null: none.")
    created_at = serializers.DateTimeField()

    @extend_schema_field(ImageShape(allow_null=True))
    def get_image(self, row: CatalogueEntry) -> Any:
        found = image_catalogue.newest([row]).get(row.id)
        return ImageShape(found).data if found else None


class ImageExportShape(serializers.Serializer):
    """An image as a file in a bucket of the project, or on its way there."""

    id = serializers.UUIDField()
    image = Named()
    format = serializers.ChoiceField(ImageExport.Format.values)
    bucket = serializers.CharField()
    key = serializers.CharField(help_text="The object.")
    status = serializers.ChoiceField(ImageExport.Status.values)
    progress = serializers.IntegerField(help_text="Percent.")
    error = serializers.CharField(help_text="Why it failed.")
    size_bytes = serializers.IntegerField(help_text="Of the file, when it is ready.")
    checksum = serializers.CharField(help_text="SHA-256 of the file.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class ImageMemberShape(serializers.Serializer):
    """A project that the image was offered to."""

    project_id = serializers.UUIDField()
    project_name = serializers.CharField(source="project.name")
    status = serializers.ChoiceField(ImageMember.Status.values)
    created_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()


class KeypairShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()
    public_key = serializers.CharField()
    fingerprint = serializers.CharField()
    created_at = serializers.DateTimeField()


class KeypairCreated(KeypairShape):
    private_key = serializers.CharField(read_only=True, help_text="The private key, told once and kept nowhere.")


class RuleShape(serializers.Serializer):
    id = serializers.UUIDField()
    direction = serializers.ChoiceField(["ingress", "egress"])
    ethertype = serializers.CharField(help_text="IPv4 or IPv6; empty: both, or what the range says.")
    protocol = serializers.CharField(help_text="A name (tcp, udp, icmp, gre …) or a number; empty: any.")
    port_min = serializers.IntegerField(allow_null=True, help_text="To icmp, the type.")
    port_max = serializers.IntegerField(allow_null=True, help_text="To icmp, the code.")
    remote_cidr = serializers.CharField()
    remote_group = Named(allow_null=True)
    remote_address_group = Named(allow_null=True)
    description = serializers.CharField()
    hits = serializers.IntegerField(help_text="Connections that it let pass; those open while rules change count once more.")
    hit_at = serializers.DateTimeField(allow_null=True, help_text="When the last of them was counted.")
    sentence = serializers.SerializerMethodField(help_text="The rule as people say it.")
    created_at = serializers.DateTimeField()

    def get_sentence(self, row: Any) -> str:
        return security_groups.sentence(row)


class AddressGroupShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    cidrs = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()


class NameShape(serializers.Serializer):
    """What a port is called in its network."""

    port_id = serializers.UUIDField(source="port.id")
    ip = serializers.CharField(source="port.ip")
    ip6 = serializers.CharField(help_text="Empty: the network has no IPv6.")
    instance = Named(source="port.instance")
    full_name = serializers.CharField(help_text="Empty: it has no name, `why_not` says why.")
    reverse = serializers.CharField(help_text="The name that answers with it, backwards.")
    why_not = serializers.CharField()


class SecurityGroupShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    is_default = serializers.BooleanField()
    rules = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(RuleShape(many=True))
    def get_rules(self, row: Any) -> Any:
        return RuleShape(row.rules.all(), many=True).data
