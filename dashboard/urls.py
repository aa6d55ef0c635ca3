"""The portal, the admin console and the account pages."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("dashboard.account.urls")),
    path("p/<slug:project>", include("dashboard.portal.urls")),
    path("admin", include("dashboard.admin.urls")),
]
