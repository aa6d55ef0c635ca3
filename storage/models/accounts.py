"""What Swift keeps with an account, which is a project to everybody else."""

from __future__ import annotations

from django.db import models

from identity.models import Project


class AccountSettings(models.Model):
    """What Swift keeps of an account; no row: nothing.

    {"meta": {name: value}, "quota_bytes": n, "quota_objects": n, "quota_bytes <storage class>": n, "access": {"read-only": [element]},
    "rfc_etags": true}
    """

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="account_settings")
    documents = models.JSONField(default=dict)
