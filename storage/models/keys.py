"""Named keys that objects are encrypted with (SSE-KMS). Their secrets are sealed with the box's master key."""

from __future__ import annotations

import uuid

from django.db import models

from identity.models import Project


class EncryptionKey(models.Model):
    """A key of a project. Rotation adds a version; older versions stay to read what they encrypted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="encryption_keys")
    name = models.CharField(max_length=128)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="encryption_key_name_unique")]

    def __str__(self) -> str:
        return self.name


class EncryptionKeyVersion(models.Model):
    """The secret of a key from one rotation to the next."""

    key = models.ForeignKey(EncryptionKey, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    sealed_secret = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "number"], name="encryption_key_version_unique")]
