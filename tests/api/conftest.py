"""A client that speaks as anybody of the world, by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.fixtures import hub, machine_home, plain_static, world  # noqa: F401
from tests.world import World


class Api:
    """`api.get("/instances")` in the world's project; an address that begins with /api is taken as it is."""

    def __init__(self, token: str, slug: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.token, self.slug = token, slug

    def __call__(self, method: str, address: str, body: Any = None, **headers: str) -> Any:
        address = address if address.startswith("/api") else f"/api/v1/projects/{self.slug}{address}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            named["Authorization"] = f"Bearer {self.token}"
        more = {} if method == "get" else {"data": "" if body is None else body, "content_type": "application/json"}
        return getattr(self.client, method)(address, headers=named, **more)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda address, body=None, **headers: self(method, address, body, **headers)


@pytest.fixture
def speak(world: World) -> Callable[..., Api]:  # noqa: F811
    """`speak("member")`: a client with a token of that person."""

    def as_(who: str, role: str = "admin") -> Api:
        allowed = {"owner": "admin", "stranger": "admin", "admin": "admin", "member": "member"}.get(who, "reader")
        return Api(world.token(who, min(role, allowed, key=["reader", "member", "admin"].index)), world.project.slug)

    return as_


@pytest.fixture
def browser(world: World) -> Callable[[str], Client]:  # noqa: F811
    """`browser("admin")`: a signed-in browser that, like a real one, is checked for CSRF when asked to be."""

    def as_(who: str, *, csrf: bool = False) -> Client:
        client = Client(enforce_csrf_checks=csrf, raise_request_exception=False)
        client.force_login(world.users[who])
        return client

    return as_
