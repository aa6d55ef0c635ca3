"""How a person likes to look at the lists of a project."""

from __future__ import annotations

import uuid

from django.db import models

from identity.models.people import Project, User


class SavedView(models.Model):
    """The query of a list under a name. The one without a name is how the list opens when its address does not say."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="saved_views")
    noun = models.CharField(max_length=32)
    name = models.CharField(max_length=40, blank=True)
    query = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "project", "noun", "name"], name="saved_view_name_unique")]
