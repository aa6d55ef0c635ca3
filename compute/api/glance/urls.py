"""Every address of the dialect."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, re_path

from compute.api.glance.errors import glance
from compute.api.glance.views import files, images, members

Routes = list[URLPattern | URLResolver]

urlpatterns: Routes = [
    path("image", images.versions),
    path("image/", images.versions),
    path("image/versions", images.versions),
    path("image/v2", images.versions),
    path("image/v2/", images.versions),
    path("image/v2/images", images.images),
    path("image/v2/images/<str:id>", images.image),
    path("image/v2/images/<str:id>/actions/deactivate", images.deactivate),
    path("image/v2/images/<str:id>/actions/reactivate", images.reactivate),
    path("image/v2/images/<str:id>/file", files.file),
    path("image/v2/images/<str:id>/stage", files.stage),
    path("image/v2/images/<str:id>/import", files.imports),
    path("image/v2/images/<str:id>/tags/<str:tag>", images.tag),
    path("image/v2/images/<str:id>/members", members.members),
    path("image/v2/images/<str:id>/members/<str:project>", members.member),
    path("image/v2/info/stores", images.stores),
    path("image/v2/info/import", images.import_info),
    path("image/v2/schemas/<str:name>", images.schema),
    re_path("^image/.*$", glance.nowhere()),
]
