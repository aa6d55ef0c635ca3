"""Roles beside reader, member and admin: names that others give a meaning to (an ACL of Swift's, say)."""

from __future__ import annotations

import uuid

from django.db import models

from identity.models.people import Project, User


class CustomRole(models.Model):
    """A role that an administrator of the box made up. To Cloudbox itself it means nothing; ResellerAdmin does to the object store."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=64, unique=True)
    description = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return self.name


class CustomGrant(models.Model):
    """A custom role of a user in a project."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="custom_grants")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="custom_grants")
    role = models.ForeignKey(CustomRole, on_delete=models.CASCADE, related_name="grants")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "project", "role"], name="custom_grant_unique")]
