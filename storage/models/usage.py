"""What buckets held over time: the facts that bills are made of; and what was asked of them."""

from __future__ import annotations

from django.db import models

from identity.models import Project


class BucketTraffic(models.Model):
    """What was asked of a bucket in one hour (traffic.py). It outlives the bucket, whose name stands here as it was last."""

    bucket_id = models.UUIDField()
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=256)
    hour = models.DateTimeField()
    reads = models.PositiveBigIntegerField(default=0)  # GET and HEAD of objects,
    lists = models.PositiveBigIntegerField(default=0)  # the same of the bucket: listings and settings.
    writes = models.PositiveBigIntegerField(default=0)
    deletes = models.PositiveBigIntegerField(default=0)
    sent_bytes = models.PositiveBigIntegerField(default=0)  # Of bodies, to clients,
    received_bytes = models.PositiveBigIntegerField(default=0)  # and from them, as they announced it.

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bucket_id", "hour"], name="bucket_traffic_unique")]
        indexes = [models.Index(fields=["project", "hour"], name="bucket_traffic_project")]


class BucketHour(models.Model):
    """A bucket in one hour. It outlives the bucket, whose name stands here as it was last."""

    bucket_id = models.UUIDField()
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=256)
    storage_class = models.CharField(max_length=24)
    hour = models.DateTimeField()
    byte_seconds = models.DecimalField(max_digits=36, decimal_places=3, default=0)  # Of all versions and unfinished uploads.
    bytes = models.PositiveBigIntegerField(default=0)  # When it was last looked at in this hour,
    objects_count = models.PositiveBigIntegerField(default=0)  # and how many objects it had then.

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bucket_id", "hour"], name="bucket_hour_unique")]
        indexes = [models.Index(fields=["project", "hour"], name="bucket_hour_project")]
