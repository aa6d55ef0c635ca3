"""The small cloud with passwords, and a client that signs in."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from tests.fixtures import machine_home, plain_static, world
from tests.world import World

__all__ = ["fresh_counters", "keystone", "machine_home", "plain_static", "world"]

PASSWORD = "correct horse 17"


@pytest.fixture(autouse=True)
def fresh_counters() -> None:
    """Wrong tries of another test do not count."""
    cache.clear()


class Keystone:
    """Asks as somebody: `call` gives the answer, `ok` its body."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = Client(raise_request_exception=False)
        self.tokens: dict[str, str] = {}
        for user in world.users.values():
            user.set_password(PASSWORD)
            user.save(update_fields=["password"])

    def sign_in(self, who: str, scope: Any = None, **more: Any) -> Any:
        """The answer to a sign-in with the password."""
        user = {"name": f"{who}@example.org", "domain": {"id": "default"}, "password": PASSWORD} | more
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}} | ({"scope": scope} if scope else {})
        return self.post({"auth": auth})

    def post(self, body: Any, **headers: str) -> Any:
        return self.client.post("/identity/v3/auth/tokens", body, content_type="application/json", headers=headers)

    def token(self, who: str) -> str:
        """In the shop; of the stranger in their own project, of the administrator and support for the system."""
        if who not in self.tokens:
            scope: Any = {"project": {"name": "Shop", "domain": {"name": "Default"}}}
            if who == "stranger":
                scope = {"project": {"id": self.world.other.id.hex}}
            if who in ("admin", "support"):
                scope = {"system": {"all": True}}
            answer = self.sign_in(who, scope)
            assert answer.status_code == 201, answer.content
            self.tokens[who] = answer["X-Subject-Token"]
        return self.tokens[who]

    def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {"X-Auth-Token": self.token(who) if who else ""} | headers
        return self.client.generic(method, f"/identity/v3/{path}", _json(body), content_type="application/json", headers=sent)

    def ok(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.call(who, method, path, body, **headers)
        assert answer.status_code < 300, (answer.status_code, answer.content)
        return answer.json() if answer.content else None


def _json(body: Any) -> str:
    import json

    return json.dumps(body) if body is not None else ""


@pytest.fixture
def keystone(world: World) -> Keystone:
    return Keystone(world)
