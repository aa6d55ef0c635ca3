"""Where things are: addresses of this API, and the catalogue of the box's services."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

_NAMESPACE = UUID("f7c3a5c0-6f0c-4f6e-8a5b-7d8e2f9b1c44")
INTERFACES = ("public", "internal", "admin")


def site(request: HttpRequest) -> str:
    """The portal's address: as configured, else as the client called it, which works wherever the client stands."""
    configured: str = settings.BOX.get("url", "")
    return configured.rstrip("/") if configured else f"{request.scheme}://{request.get_host()}"


def identity(request: HttpRequest) -> str:
    return f"{site(request)}/identity/v3"


def to(request: HttpRequest, *parts: object) -> str:
    """An address below /v3."""
    return "/".join([identity(request), *(part.hex if isinstance(part, UUID) else str(part) for part in parts)])


def store(request: HttpRequest) -> str:
    """The object store's address: as configured, else its port on the host that the client called, by TLS if both speak it."""
    configured: str = settings.STORE_PUBLIC_URL or settings.BOX.get("store_url", "")
    if configured:
        return configured.rstrip("/")
    called = urlsplit(site(request))
    host = called.hostname or "127.0.0.1"
    secure = called.scheme == "https" and settings.STORE_TLS_PORT is not None
    scheme, port = ("https", settings.STORE_TLS_PORT) if secure else ("http", settings.STORE_PORT)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def account(request: HttpRequest, project: UUID | None) -> str:
    return f"{store(request)}/v1/AUTH_{project.hex if project else '%(project_id)s'}"


def services(request: HttpRequest, project: UUID | None = None) -> list[dict[str, Any]]:
    """What the box serves: (type, name, url); ids are made from the types, so they never change."""
    found = [
        ("identity", "keystone", identity(request)),
        ("compute", "nova", f"{site(request)}/compute/v2.1"),
        ("image", "glance", f"{site(request)}/image"),
        ("network", "neutron", f"{site(request)}/network"),
        ("placement", "placement", f"{site(request)}/placement"),
    ]
    volume = f"{site(request)}/volume/v3/{project.hex if project else '%(project_id)s'}"
    found += [("block-storage", "cinderv3", volume), ("volumev3", "cinderv3", volume)]
    if settings.STORE_PORT is not None:
        found.append(("object-store", "swift", account(request, project)))
    return [{"id": id_of(kind), "type": kind, "name": name, "url": url} for kind, name, url in found]


def id_of(*words: str) -> str:
    return uuid.uuid5(_NAMESPACE, "/".join(words)).hex


def endpoints(request: HttpRequest, project: UUID | None = None) -> list[dict[str, Any]]:
    """Every service at every interface, with `service`, its type."""
    return [
        {
            "id": id_of(service["type"], interface),
            "interface": interface,
            "region": settings.REGION,
            "region_id": settings.REGION,
            "url": service["url"],
            "service": service["type"],
        }
        for service in services(request, project)
        for interface in INTERFACES
    ]


def catalogue(request: HttpRequest, project: UUID | None = None) -> list[dict[str, Any]]:
    """As tokens carry it. What needs a project is left off without one."""
    kept = [service for service in services(request, project) if project is not None or service["type"] == "identity"]
    every = endpoints(request, project)
    return [
        {
            "id": service["id"],
            "type": service["type"],
            "name": service["name"],
            "endpoints": [
                {key: value for key, value in each.items() if key != "service"} for each in every if each["service"] == service["type"]
            ],
        }
        for service in kept
    ]
