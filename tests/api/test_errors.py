"""Errors are problems (RFC 9457), whoever finds them: views, REST framework, Django, or nobody at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cloudbox.common import errors
from dashboard.api.errors import TABLE, look_up
from tests.world import World

Speak = Callable[..., Any]


def _check(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(answer.content)
    assert found["code"] == code
    assert found["status"] == status
    assert found["request_id"] == answer["X-Request-Id"]
    assert found["type"] == f"/api/v1/docs#problem-{code}"
    assert found["detail"]
    return found


def test_every_meaning_has_a_problem() -> None:
    """All subclasses of CloudError, now and later, have a code of their own or that of a class above."""
    todo = [errors.CloudError]
    for kind in todo:
        todo += kind.__subclasses__()
        code, status, title = look_up(kind.__new__(kind))  # the class decides; what it wants to be told is its own affair
        assert code
        assert title
        assert 400 <= status < 600
    assert len({code for code, _, _ in TABLE.values()}) >= 15


@pytest.mark.parametrize(
    "address", ["/api/v1/nothing", "/api/v1/", "/api/v1/me/", "/api/v1/projects/shop/instances/not-a-uuid", "/api/v2/x"]
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_unknown_addresses(db: None, address: str, method: str) -> None:
    _check(getattr(Client(), method)(f"/api/{address}"), 404, "not-found")


def test_anonymous(db: None) -> None:
    answer = Client().get("/api/v1/me")
    _check(answer, 401, "unauthenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer cbx_x", "Bearer", "Bearer cbx_" + "0" * 32 + "_" + "a" * 43, "Bearer \xff", "bearer  "])
def test_bad_tokens(db: None, header: str) -> None:
    _check(Client().get("/api/v1/me", headers={"Authorization": header}), 401, "unauthenticated")


def test_method_and_media_type(world: World, speak: Speak) -> None:
    api = speak("member")
    answer = api.put("/instances", {})
    _check(answer, 405, "method-not-allowed")
    assert answer["Allow"] == "GET, HEAD, POST"
    token = {"Authorization": f"Bearer {api.token}"}
    for kind in ("application/xml", "multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded", "?"):
        _check(Client().post("/api/v1/projects/shop/networks", "name=x", content_type=kind, headers=token), 415, "unsupported-media-type")
    _check(api.options("/instances"), 405, "method-not-allowed")


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff\xfe",
        b'{"name": "a", "name": "b"}',
        b'{"name": NaN}',
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"na\\udfffme": "x"}',
        b"[" * 100_000,
        b'{"a":' * 50 + b"1" + b"}" * 50,
        b'{"name": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        b'{"name": "x"} {}',
    ],
    ids=range(12),
)
def test_broken_json(world: World, raw: bytes) -> None:
    headers = {"Authorization": f"Bearer {world.token('member', 'member')}"}
    answer = Client().post("/api/v1/projects/shop/networks", raw, content_type="application/json", headers=headers)
    _check(answer, 400, "malformed")


def test_too_large(world: World, speak: Speak) -> None:
    _check(speak("member").post("/networks", {"name": "x" * 1_100_000}), 413, "too-large")


@pytest.mark.parametrize("raw", ["%00", "%ff", "%1b[2J", "%ed%a0%80"])
def test_hostile_addresses(world: World, speak: Speak, raw: str) -> None:
    _check(speak("member").get(f"/instances?q={raw}"), 400, "malformed")
    answer = speak("member").client.get(f"/api/v1/projects/{raw}/instances")
    assert answer.status_code in (400, 401, 404)
    assert answer["Content-Type"] == "application/problem+json"


def test_fields_are_named(world: World, speak: Speak) -> None:
    """Shape errors name every field, verbs' errors theirs; a field that was not sent is not named."""
    api = speak("member")
    found = _check(api.post("/instances", {"name": 5, "image_id": "x", "colour": "red"}), 422, "invalid")
    assert found["errors"] == [{"field": "colour", "message": "There is no such field."}]
    found = _check(api.post("/instances", {"name": 5, "image_id": "x"}), 422, "invalid")
    assert {each["field"] for each in found["errors"]} == {"name", "image_id", "flavor_id"}
    found = _check(api.post("/networks", {"name": "n", "cidr": "8.8.8.0/24"}), 422, "invalid")
    assert found["field"] == "cidr"
    assert "field" not in _check(api.get("/networks/6f0c5d3e-3f0b-4c55-9a51-0d2f5a1c7e10"), 404, "not-found")
    _check(api.get("/instances?limit=0"), 422, "invalid")
    _check(api.get("/instances?colour=red"), 422, "invalid")
    _check(api.get("/instances?cursor=aaaa"), 422, "invalid")


def test_throttle(world: World, speak: Speak, settings: Any) -> None:
    """The sixth request of a project within the period waits; another project does not."""
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"project": "5/day"}}
    api, stranger = speak("reader"), speak("stranger")
    assert [api.get("/quotas").status_code for _ in range(5)] == [200] * 5
    answer = api.get("/quotas")
    _check(answer, 429, "throttled")
    assert int(answer["Retry-After"]) > 0
    assert stranger.get("/api/v1/projects/elsewhere/quotas").status_code == 200


def test_without_redis(world: World, speak: Speak, settings: Any) -> None:
    """Redis gone: the caller is told to try again, and how soon."""
    api = speak("reader")
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "unix:///nowhere/redis.sock"}}
    answer = api.get("/quotas")
    _check(answer, 503, "unavailable")
    assert answer["Retry-After"] == "2"


def test_a_bug_is_a_problem_too(world: World, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    from identity import quotas

    monkeypatch.setattr(quotas, "lines", lambda ctx: 1 / 0)
    found = _check(speak("reader").get("/quotas"), 500, "internal")
    assert "division" not in json.dumps(found)
