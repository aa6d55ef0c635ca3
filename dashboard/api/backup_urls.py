"""Routes of backups, below a project."""

from __future__ import annotations

from django.urls import path

from dashboard.api.views import backups

urlpatterns = [
    path("backup-vaults", backups.VaultsView.as_view()),
    path("backup-vaults/<uuid:id>", backups.VaultView.as_view()),
    path("backup-vaults/<uuid:id>/refresh", backups.RefreshView.as_view()),
    path("backups", backups.BackupsView.as_view()),
    path("backups/<uuid:id>", backups.BackupView.as_view()),
    *(path(f"backups/<uuid:id>/{key}", backups.action_view(key)) for key in ("cancel", "verify")),
    path("backups/<uuid:id>/files", backups.FilesView.as_view()),
    path("backups/<uuid:id>/file", backups.FileView.as_view()),
    path("backups/<uuid:id>/restore-volume", backups.RestoreVolumeView.as_view()),
    path("backups/<uuid:id>/restore-over", backups.RestoreOverView.as_view()),
    path("backups/<uuid:id>/restore-instance", backups.RestoreInstanceView.as_view()),
    path("backup-schedules", backups.SchedulesView.as_view()),
    path("backup-schedules/<uuid:id>", backups.ScheduleView.as_view()),
    path("backup-schedules/<uuid:id>/run", backups.RunScheduleView.as_view()),
]
