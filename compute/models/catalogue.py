"""What an instance is made from: sizes, disks to start from, keys to sign in with."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from identity.models import Project, User


class ConfigDrive(models.TextChoices):
    """A small disk that tells a machine at its first boot what the metadata service tells; empty: none."""

    NOCLOUD = "nocloud", "NoCloud (cidata)"
    OPENSTACK = "openstack", "OpenStack config drive (config-2)"


class Flavor(models.Model):
    """A size. Never changed once used: a new size is a new row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64, unique=True)
    vcpus = models.PositiveSmallIntegerField()
    memory_mib = models.PositiveIntegerField()
    disk_gib = models.PositiveIntegerField()
    is_public = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    sort = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["sort", "memory_mib", "name"]

    def __str__(self) -> str:
        return self.name


class CatalogueEntry(models.Model):
    """A cloud image that the box's administrator may fetch: where it is, and the digest that it must have."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64)
    version = models.CharField(max_length=32, blank=True)
    os = models.CharField(max_length=32, blank=True)
    architecture = models.CharField(max_length=16, default="x86_64")
    description = models.CharField(max_length=255, blank=True)
    url = models.CharField(max_length=2048)
    # One of the two: its SHA-256 or SHA-512, or the address of a list in which its publisher tells it.
    checksum = models.CharField(max_length=128, blank=True)
    checksums_url = models.CharField(max_length=2048, blank=True)
    min_disk_gib = models.PositiveIntegerField(default=0)
    min_memory_mib = models.PositiveIntegerField(default=0)
    disk_bus = models.CharField(max_length=8, default="virtio")
    nic_model = models.CharField(max_length=8, default="virtio")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(Lower("name"), "version", "architecture", name="catalogue_entry_unique")]

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


class Image(models.Model):
    """A disk to start from. `project` null: it belongs to the box's catalogue."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        IMPORTING = "importing", "Importing"
        READY = "ready", "Ready"
        DEACTIVATED = "deactivated", "Deactivated"
        FAILED = "failed", "Failed"
        DELETED = "deleted", "Deleted"

    class Visibility(models.TextChoices):
        PUBLIC = "public", "Public"  # in everybody's list
        COMMUNITY = "community", "Community"  # for everybody who asks for it, in nobody's list
        SHARED = "shared", "Shared"  # for its members
        PRIVATE = "private", "Private"

    class DiskBus(models.TextChoices):
        VIRTIO = "virtio", "virtio"
        SCSI = "scsi", "SCSI (virtio)"
        SATA = "sata", "SATA"

    class NicModel(models.TextChoices):
        VIRTIO = "virtio", "virtio"
        E1000E = "e1000e", "Intel e1000e"
        E1000 = "e1000", "Intel e1000"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, related_name="images")
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=255, blank=True)
    os = models.CharField(max_length=32, blank=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    visibility = models.CharField(max_length=12, choices=Visibility.choices, default=Visibility.PRIVATE)
    size_bytes = models.PositiveBigIntegerField(default=0)
    virtual_bytes = models.PositiveBigIntegerField(default=0)
    min_disk_gib = models.PositiveIntegerField(default=0)
    min_memory_mib = models.PositiveIntegerField(default=0)
    is_protected = models.BooleanField(default=False)
    # What the machines that are launched from it get; those that are there keep theirs.
    disk_bus = models.CharField(max_length=8, choices=DiskBus.choices, default=DiskBus.VIRTIO)
    nic_model = models.CharField(max_length=8, choices=NicModel.choices, default=NicModel.VIRTIO)
    config_drive = models.CharField(max_length=10, choices=ConfigDrive.choices, blank=True)
    checksum = models.CharField(max_length=64, blank=True)
    # Where it was brought from, and as what: {"url": …}, {"bucket": …, "key": …}, {"upload": its size and digests}, {"disk": …,
    # "snapshot": …} or {"disk": …, "held": the instance whose disk it is, or ""}; what somebody said its "disk_format" is. And a format of
    # compute.image_formats.
    source = models.JSONField(default=dict)
    # The catalogue's entry that it was fetched by.
    entry = models.ForeignKey(CatalogueEntry, on_delete=models.SET_NULL, null=True, related_name="images")
    format = models.CharField(max_length=16, blank=True)
    # What was found in it: compute.image_formats' facts, "boot" (how it is likely to), "launch" (what its machine had).
    facts = models.JSONField(default=dict)
    # Words to find it by, and pairs of text, as people and programs note them.
    tags = models.JSONField(default=list, blank=True)
    properties = models.JSONField(default=dict, blank=True)
    progress = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def least_disk_gib(self) -> int:
        """How large a disk must be that is made of it: what is inside, or what somebody said of it."""
        return max(self.min_disk_gib, -(-self.virtual_bytes // 2**30))


class ImageCopy(models.Model):
    """The copy of an image's file in the object store, or of the disk of a shelved instance: `id` is the image's, or the instance's."""

    id = models.UUIDField(primary_key=True)
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    # Which bucket of which store; empty: the box's own.
    place = models.CharField(max_length=300, blank=True)
    # Does the host have the file, too? Machines and volumes are made of that.
    is_here = models.BooleanField(default=True)
    stored_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)


class ImageMember(models.Model):
    """A project that a shared image was offered to, and what it said (the words are Glance's)."""

    class Status(models.TextChoices):
        PENDING = "pending", "Offered"
        ACCEPTED = "accepted", "Accepted"
        REJECTED = "rejected", "Turned down"

    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="members")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["image", "project"], name="image_member_unique")]


class ImageExport(models.Model):
    """An image as a file in a bucket of a project, or on its way there."""

    class Status(models.TextChoices):
        EXPORTING = "exporting", "Exporting"
        READY = "ready", "Ready"
        FAILED = "failed", "Failed"

    class Format(models.TextChoices):
        QCOW2 = "qcow2", "qcow2"
        RAW = "raw", "raw"
        VMDK = "vmdk", "VMDK"  # stream-optimized
        VHD = "vhd", "VHD"
        VHDX = "vhdx", "VHDX"
        OVA = "ova", "OVA"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    image = models.ForeignKey(Image, on_delete=models.CASCADE, related_name="exports")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    format = models.CharField(max_length=8, choices=Format.choices)
    bucket = models.CharField(max_length=63)
    key = models.CharField(max_length=255)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.EXPORTING)
    progress = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    size_bytes = models.PositiveBigIntegerField(default=0)
    checksum = models.CharField(max_length=64, blank=True)  # SHA-256 of the file
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["project", "image", "created_at"], name="image_export_list")]


class Keypair(models.Model):
    """A public key, put into new instances. The private half is never kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="keypairs")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="keypairs")
    name = models.CharField(max_length=64)
    kind = models.CharField(max_length=16)
    public_key = models.TextField(max_length=4096)
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="keypair_name_unique")]

    def __str__(self) -> str:
        return self.name
