"""What a program signs in with. A token is kept as a hash; the secret of an access key is sealed, since SigV4 needs it again."""

from __future__ import annotations

import uuid

from django.db import models

from identity.models.people import Project, Role, User


class ApiToken(models.Model):
    """A token for the REST API (an application credential to OpenStack): one user, one project, at most that user's role."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=64)
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.MEMBER)
    reaches_box = models.BooleanField(default=False)  # with its user's role on the box, in every project that this role reaches
    description = models.CharField(max_length=255, blank=True)
    # SHA-256 of a secret of ours, which is random; of a secret that the client chose, a hash as of a password.
    digest = models.CharField(max_length=128)
    # May it make and revoke credentials itself?
    unrestricted = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "project", "name"], name="api_token_name_unique")]


class RevokedToken(models.Model):
    """A token of Keystone's that was given back. Forgotten when it would have expired."""

    audit_id = models.CharField(primary_key=True, max_length=22)
    expires_at = models.DateTimeField(db_index=True)


class AccessKey(models.Model):
    """An access key and its secret, for SigV4 (S3 and EC2)."""

    id = models.CharField(primary_key=True, max_length=20)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_keys")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="access_keys")
    name = models.CharField(max_length=64)
    sealed_secret = models.BinaryField()
    is_active = models.BooleanField(default=True)
    last_used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
