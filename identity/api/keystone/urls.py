"""Every address of the dialect."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path

from identity.api.keystone.base import keystone
from identity.api.keystone.views import auth, catalogue, credentials, projects, roles, users, v1, versions

Routes = list[URLPattern | URLResolver]


def _tokens(request: HttpRequest) -> HttpResponse:
    """One address: signing in is open, the rest is for who is signed in."""
    return (auth.signing_in if request.method == "POST" else auth.tokens)(request)


_tokens.csrf_exempt = True  # type: ignore[attr-defined]

_auth: Routes = [
    path("tokens", _tokens),
    path("projects", auth.projects),
    path("domains", auth.domains),
    path("catalog", auth.catalogue),
    path("system", auth.system),
]

_v3: Routes = [
    path("auth/", include(_auth)),
    path("users", users.users),
    path("users/<str:id>", users.user),
    path("users/<str:id>/password", users.password),
    path("users/<str:id>/projects", users.projects),
    path("users/<str:id>/groups", users.groups),
    path("users/<str:user>/application_credentials", credentials.application_credentials),
    path("users/<str:user>/application_credentials/<str:id>", credentials.application_credential),
    path("users/<str:user>/access_rules", credentials.access_rules),
    path("users/<str:user>/credentials/OS-EC2", credentials.ec2_credentials),
    path("users/<str:user>/credentials/OS-EC2/<str:access>", credentials.ec2_credential),
    path("groups", users.all_groups),
    path("groups/<str:id>", users.group),
    path("projects", projects.projects),
    path("projects/<str:id>", projects.project),
    path("projects/<str:id>/tags", projects.tags),
    path("projects/<str:project>/users/<str:user>/roles", roles.of_project),
    path("projects/<str:project>/users/<str:user>/roles/<str:role>", roles.in_project),
    path("domains", projects.domains),
    path("domains/<str:id>", projects.domain),
    path("domains/<str:domain>/users/<str:user>/roles", roles.of_box),
    path("domains/<str:domain>/users/<str:user>/roles/<str:role>", roles.in_box),
    path("system/users/<str:user>/roles", roles.of_box),
    path("system/users/<str:user>/roles/<str:role>", roles.in_box),
    path("roles", roles.roles),
    path("roles/<str:id>", roles.role),
    path("roles/<str:id>/implies", roles.implies),
    path("role_inferences", roles.inferences),
    path("role_assignments", roles.assignments),
    path("credentials", credentials.blobs),
    path("credentials/<str:id>", credentials.blob),
    path("s3tokens", credentials.s3tokens),
    path("services", catalogue.services),
    path("services/<str:id>", catalogue.service),
    path("endpoints", catalogue.endpoints),
    path("endpoints/<str:id>", catalogue.endpoint),
    path("regions", catalogue.regions),
    path("regions/<str:id>", catalogue.region),
    path("limits", catalogue.limits),
    path("limits/model", catalogue.limits_model),
    path("registered_limits", catalogue.registered_limits),
]

urlpatterns: Routes = [
    path("auth/v1.0", v1.sign_in),
    path("auth/v1.0/", v1.sign_in),
    path("identity", versions.versions),
    path("identity/", versions.versions),
    path("identity/v3", versions.version),
    path("identity/v3/", versions.version),
    path("identity/v3/", include(_v3)),
    re_path("^identity/.*$", keystone.nowhere()),
]
