"""The pages of a project; every noun brings its own routes."""

from __future__ import annotations

from dashboard.portal import overview

urlpatterns = [
    *overview.urlpatterns,
]
