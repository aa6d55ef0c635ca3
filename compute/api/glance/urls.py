"""Every address of the dialect."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path, re_path

from compute.api.glance.errors import glance
from compute.api.glance.views import images

Routes = list[URLPattern | URLResolver]


def _nothing_here(request: HttpRequest) -> HttpResponse:
    raise Http404


no_route = glance.open(**dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), _nothing_here))

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
    path("image/v2/images/<str:id>/members", images.members),
    path("image/v2/schemas/<str:name>", images.schema),
    re_path("^image/.*$", no_route),
]
