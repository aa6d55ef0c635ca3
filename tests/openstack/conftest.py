"""The small cloud, and a client that speaks with a token of a project."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures import machine_home, plain_static, world
from tests.identity.keystone.conftest import Keystone, fresh_counters
from tests.world import World

__all__ = ["fresh_counters", "machine_home", "plain_static", "world"]


class Cloud(Keystone):
    """`call` and `ok` take whole addresses; everybody is in the shop, the stranger in their own project."""

    def token(self, who: str) -> str:
        if who not in self.tokens:
            project = self.world.other if who == "stranger" else self.world.project
            answer = self.sign_in(who, {"project": {"id": project.id.hex}})
            assert answer.status_code == 201, answer.content
            self.tokens[who] = answer["X-Subject-Token"]
        return self.tokens[who]

    def call(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        kind = headers.pop("type", "application/json")
        sent = {"X-Auth-Token": self.token(who) if who else ""} | headers
        text = body if isinstance(body, bytes | str) else json.dumps(body) if body is not None else ""
        return self.client.generic(method, path, text, content_type=kind, headers=sent)

    def nova(self, method: str, path: str, body: Any = None, *, who: str = "member", at: str = "") -> Any:
        """A good answer's JSON; of `at`, the microversion."""
        headers = {"OpenStack-API-Version": f"compute {at}"} if at else {}
        return self.ok(who, method, f"/compute/v2.1/{path}", body, **headers)

    def cinder(self, method: str, path: str, body: Any = None, *, who: str = "member", at: str = "3.0") -> Any:
        """As `nova`, below the shop's address."""
        headers = {"OpenStack-API-Version": f"volume {at}"}
        return self.ok(who, method, f"/volume/v3/{self.world.project.id.hex}/{path}", body, **headers)

    def refused(self, method: str, path: str, body: Any = None, *, who: str = "member", at: str = "3.0") -> int:
        """The status of an answer that is no good one."""
        headers = {"OpenStack-API-Version": f"volume {at}"}
        answer = self.call(who, method, f"/volume/v3/{self.world.project.id.hex}/{path}", body, **headers)
        assert answer.status_code >= 400, answer.content
        return int(answer.status_code)


@pytest.fixture
def cloud(world: World) -> Cloud:
    return Cloud(world)
