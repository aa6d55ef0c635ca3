"""What Swift keeps with an account, which is a project to everybody else."""

from __future__ import annotations

from django.db import models

from identity.models import Project


class AccountSettings(models.Model):
    """Metadata and keys of an account: {"meta": {name: value}, "quota_bytes": number}. No row: there are none."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="account_settings")
    documents = models.JSONField(default=dict)
