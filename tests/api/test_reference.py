"""The OpenAPI document and the page made from it."""

from __future__ import annotations

import json

import yaml
from django.conf import settings
from django.test import Client
from jsonschema_rs import meta

from dashboard.api.errors import TABLE
from dashboard.api.reference import schema
from tests.operations import operations
from tests.world import World


def test_the_document_is_one(db: None) -> None:
    """JSON and YAML say the same, OpenAPI 3.1, readable without a login; every operation has an id, problems and a way in."""
    document = json.loads(Client().get("/api/v1/openapi.json").content)
    assert document["openapi"].startswith("3.1")
    assert yaml.safe_load(Client().get("/api/v1/openapi.yaml").content) == document
    assert document["components"]["securitySchemes"].keys() == {"token", "session"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["security"] == [{"token": []}, {"session": []}], path
            assert {"401", "403", "404", "429"} <= operation["responses"].keys()
    for part in document["components"]["schemas"].values():
        meta.validate(part)


def test_ids_and_examples() -> None:
    ids = [operation.id for operation in operations()]
    assert len(ids) == len(set(ids)) > 80
    for operation in operations():
        if operation.body is not None and operation.body.get("required"):
            assert operation.example, f"{operation.id} has no example"


def test_inputs_say_that_they_are_strict() -> None:
    for name, part in schema()["components"]["schemas"].items():
        if name.endswith("Request"):
            assert part["additionalProperties"] is False, name


def test_the_page(world: World) -> None:
    """Every operation and every problem is there to point to; anonymous people sign in first; nothing comes from elsewhere."""
    assert Client().get("/api/v1/docs")["Location"] == "/sign-in?next=/api/v1/docs"
    client = Client()
    client.force_login(world.users["reader"])
    answer = client.get("/api/v1/docs")
    html = answer.content.decode()
    assert answer.status_code == 200
    for operation in operations():
        assert f'id="{operation.id}"' in html
    for code, _, _ in TABLE.values():
        assert f'id="problem-{code}"' in html
    assert settings.PUBLIC_URL in html
    assert 'src="http' not in html
    assert "script-src 'self'" in answer["Content-Security-Policy"]
