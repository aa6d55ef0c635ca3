"""Hostile bodies to every operation that takes one: always a 4xx problem, and nothing changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from cloudbox.common.models import Event
from tests.operations import Operation, address, ids_of, operations
from tests.world import World

WRITES = [operation for operation in operations() if operation.body is not None]
NUL, SURROGATE = "a\x00b", "\ud800"
# By JSON type: values that are never right for a field of it.
WRONG: dict[str, list[Any]] = {
    "string": [NUL, SURROGATE, "x" * 70_000, 5, 1.5, True, [], ["x"], {}, {"$ne": ""}],
    "integer": ["5", "x", 1.5, -(10**30), 10**30, 1e400, True, [], {}, NUL],
    "number": ["5", "x", -(10**30), 1e400, True, [], {}, NUL],
    "boolean": ["true", 1, 0, "yes", [], {}, None],
    "array": ["x", 5, {}, ["x"], [5], [None], [[]], ["x"] * 1000, [NUL]],
    "object": ["x", 5, [], [[]], {"a": 5}, {"a": {}}, {NUL: "x"}, {"": "x"}, {"a": "x" * 1000}, {f"k{n}": "v" for n in range(200)}],
}
BODIES = [
    b"",
    b"null",
    b"[]",
    b"5",
    b'"x"',
    b"true",
    b"[[[[]]]]",
    b"{}x",
    b"\x00",
    b"\xff\xff",
    b'{"\\ud800": 1}',
    b'{"__proto__": {}}',
    b'{"": ""}',
]


def _send(client: Client, operation: Operation, where: str, raw: bytes) -> Any:
    return client.generic(operation.method.upper(), where, raw, content_type="application/json")


def _client(world: World) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(world.users["admin"])
    return client


def _check(answer: Any, what: object) -> None:
    assert 400 <= answer.status_code < 500, (what, answer.status_code, answer.content[:300])
    assert answer["Content-Type"] == "application/problem+json", what
    answer.content.decode()  # what is said about hostile text is text


def _type_of(field: dict[str, Any]) -> str:
    kind = field.get("type", "string")
    return next(each for each in kind if each != "null") if isinstance(kind, list) else kind


def _wrong(field: dict[str, Any]) -> list[Any]:
    """What this field may not hold, by its type; a list of numbers may be what it wants."""
    numbers = field.get("items", {}).get("type") == "integer"
    return [one for one in WRONG[_type_of(field)] if one not in field.get("enum", []) and not (numbers and one == [5])]


@pytest.mark.parametrize("operation", WRITES, ids=str)
def test_hostile_bodies(operation: Operation, world: World) -> None:
    client, where = _client(world), address(operation.path, world, ids_of(world))
    before = Event.objects.filter(outcome="ok").count()
    for raw in BODIES:
        if raw == b"" and not operation.body.get("required"):
            continue  # nothing to change is a request, too
        _check(_send(client, operation, where, raw), raw)
    for name, field in operation.body["properties"].items():
        for value in _wrong(field):
            body = json.dumps({**operation.example, name: value}).encode()
            _check(_send(client, operation, where, body), (name, str(value)[:60]))
    for extra in ("id", "project_id", "is_admin", "__class__", "x" * 10_000):
        _check(_send(client, operation, where, json.dumps({**operation.example, extra: "x"}).encode()), extra[:20])
    assert Event.objects.filter(outcome="ok").count() == before


CONTROL = ["\x01", "\x1b[31mred", "a\nb", "a\rb", "\u202edesrever", "\u200b", "\x7f", "\x9b", "\ufeff", "\u2028"]


@pytest.mark.parametrize("operation", [one for one in WRITES if "name" in one.body["properties"]], ids=str)
def test_names_hold_no_control_characters(operation: Operation, world: World) -> None:
    """Where a name goes, no character goes that a terminal, a log or a reader would obey."""
    client, where = _client(world), address(operation.path, world, ids_of(world))
    for text in CONTROL:
        answer = _send(client, operation, where, json.dumps({**operation.example, "name": f"a{text}z"}).encode())
        assert answer.status_code in (404, 422), (text, answer.content)


BAD_IDS = ["x", "0", "%00", "..%2f..", "6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e1", "6F0C5D3E-3F0B-4C55-9A51-0D2F5A1C7E10", "a" * 3000]


@pytest.mark.parametrize("operation", [one for one in operations() if "{id}" in one.path and "/access-keys/" not in one.path], ids=str)
def test_malformed_ids(operation: Operation, db: None) -> None:
    """An id that is none is an address that is none, whoever asks."""
    for id in BAD_IDS:
        where = operation.path.replace("{id}", id).replace("{project}", "shop").replace("{rule_id}", id)
        answer = _send(Client(), operation, where, b"{}")
        assert answer.status_code in (400, 404), id
        assert answer["Content-Type"] == "application/problem+json"
