"""Fixtures of the dashboard's tests: a small cloud, and browsers signed in to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.fixtures import machine_home, plain_static, world  # noqa: F401
from tests.world import World


@pytest.fixture
def browse(world: World) -> Callable[..., Client]:  # noqa: F811
    """`browse("admin")`: somebody's browser; "" is a stranger's, who has not signed in."""

    def as_(who: str, *, csrf: bool = False) -> Client:
        client = Client(enforce_csrf_checks=csrf, raise_request_exception=True)
        if who:
            client.force_login(world.users[who])
        return client

    return as_
