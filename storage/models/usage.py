"""What buckets held over time: the facts that bills are made of."""

from __future__ import annotations

from django.db import models

from identity.models import Project


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
