"""Buckets, and what they hold as of the last count."""

from __future__ import annotations

import uuid

from django.db import models

from identity.models import Project


class Bucket(models.Model):
    """A bucket (a container to Swift). S3 knows those by name alone that are `shared_name`; Swift finds it within its project.

    `documents` holds its configurations by kind ("policy", "acl", "cors"…), each validated by the verb that stored it.
    """

    class Versioning(models.TextChoices):
        OFF = "off", "Off"
        ENABLED = "enabled", "Enabled"
        SUSPENDED = "suspended", "Suspended"

    class Ownership(models.TextChoices):
        """Who owns an object that another project wrote, and whether ACLs count. S3's names are said in api/s3."""

        WRITER = "writer", "The project that wrote it"
        PREFERRED = "preferred", "The bucket's project, if the writer lets it"
        ENFORCED = "enforced", "The bucket's project; ACLs are off"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="buckets")
    name = models.CharField(max_length=256)
    shared_name = models.BooleanField(default=True)
    region = models.CharField(max_length=32, blank=True)
    storage_class = models.CharField(max_length=24, default="replicated-3")
    versioning = models.CharField(max_length=9, choices=Versioning.choices, default=Versioning.OFF)
    ownership = models.CharField(max_length=9, choices=Ownership.choices, default=Ownership.WRITER)
    object_lock = models.BooleanField(default=False)
    documents = models.JSONField(default=dict)
    quota_bytes = models.PositiveBigIntegerField(null=True)
    quota_objects = models.PositiveBigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=models.Q(shared_name=True), name="bucket_shared_name_unique"),
            models.UniqueConstraint(fields=["project", "name"], name="bucket_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class BucketUsage(models.Model):
    """What a bucket held when it was last counted; the index always knows the present figures."""

    bucket = models.OneToOneField(Bucket, on_delete=models.CASCADE, primary_key=True, related_name="usage")
    objects_count = models.PositiveBigIntegerField(default=0)
    versions_count = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    uploads_count = models.PositiveBigIntegerField(default=0)
    upload_bytes = models.PositiveBigIntegerField(default=0)
    counted_at = models.DateTimeField()
    accrued_at = models.DateTimeField(null=True)  # Until then it is summed up in hours (usage.py).
