"""Schemathesis reads the OpenAPI document and asks what it allows and what it does not: the answers are as documented, never a 5xx.

In process, through WSGI, as the person who may do most at each door. The fast profile of tests/plugin.py draws fewer requests and
leaves out the walk through every edge of every field, which is thousands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from dashboard.api.reference import schema as document
from storage import configurations, keys
from tests.world import World

SHARE = hypothesis_settings.default.max_examples / 100
EXAMPLES = int(16 * SHARE)


def no_fault_of_ours(ctx: Any, response: Any, case: Any) -> None:
    """Never a 5xx, with one exception: these tests have no object store, so that what must ask it says that it is not there."""
    if response.status_code >= 500:
        asks_the_store = "/buckets/" in case.path or "/backup-vaults" in case.path
        no_store = asks_the_store and response.status_code == 503 and response.json()["code"] == "unavailable"
        assert no_store, f"{response.status_code}: {response.text[:500]}"


CHECKS = [no_fault_of_ours, status_code_conformance, content_type_conformance, response_schema_conformance, negative_data_rejection]

schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document())))
schema.app = get_wsgi_application()
schema.config.phases.coverage.enabled = SHARE >= 1


@pytest.fixture
def known(world: World, hub: None) -> Iterator[dict[str, Any]]:
    """Values that exist, so that the requests get past the door. The test's transaction must survive them, so its connection stays."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield _values(world)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _values(world: World) -> dict[str, Any]:
    instance = world.running(name="probe")
    configurations.create(world.ctx("owner"), name="probe")
    key = keys.create(world.ctx("owner"), name="probe")
    return {
        "project": "shop",
        "name": "probe",
        "slug": "elsewhere",
        "id": {
            "instances": instance.id,
            "images": world.image.id,
            "networks": world.network.id,
            "users": world.users["stranger"].id,
            "encryption-keys": key.id,
        },
        "headers": {"Authorization": f"Bearer {world.token('owner')}"},
        "admin": _admin_headers(world),
    }


def _admin_headers(world: World) -> dict[str, str]:
    """The admin console's part of the API takes a browser session, with its CSRF token."""
    from django.test import Client

    client = Client()
    client.force_login(world.users["admin"])
    cookies = {settings.SESSION_COOKIE_NAME: client.cookies[settings.SESSION_COOKIE_NAME].value, settings.CSRF_COOKIE_NAME: "a" * 32}
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), "X-CSRFToken": "a" * 32}


@schema.parametrize()
@hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_documented(case: Any, known: dict[str, Any]) -> None:
    """One test an operation; each draws its requests from the document. What is drawn to be wrong stays wrong."""
    if not _is_wrong(case, ParameterLocation.PATH):
        noun = case.path.split("/")[5 if "{project}" in case.path else 4] if "{id}" in case.path else ""
        values = {name: known[name] for name in ("project", "slug", "name")}
        values |= {"id": str(known["id"].get(noun, case.path_parameters.get("id")))}
        case.path_parameters = {name: values.get(name, value) for name, value in case.path_parameters.items()}
    if _is_wrong(case, ParameterLocation.HEADER) and "Authorization" in case.headers:
        headers: dict[str, str] = {}
    else:
        headers = known["admin"] if case.path.startswith("/api/v1/admin/") else known["headers"]
    case.call_and_validate(headers=headers, checks=CHECKS)


def _is_wrong(case: Any, where: ParameterLocation) -> bool:
    part = case.meta.components.get(where) if case.meta else None
    return part is not None and part.mode == GenerationMode.NEGATIVE
