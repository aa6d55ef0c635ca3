"""How much a project may use, and how much it uses."""

from __future__ import annotations

from django.db import models

from identity.models.people import Project


class Quota(models.Model):
    """One row a project and resource. `used` changes in the transaction that changes the resource; `limit` null: no limit."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="quotas")
    resource = models.CharField(max_length=24)
    limit = models.PositiveBigIntegerField(null=True)
    used = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "resource"], name="quota_unique")]
