"""User data that a project keeps, to launch instances with."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from identity.models import Project, User


class Snippet(models.Model):
    """A text for the first boot: cloud-config or a script. Instances take a copy: what is changed here changes none of them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="snippets")
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    content = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("project", Lower("name"), name="snippet_name_unique")]

    def __str__(self) -> str:
        return self.name
