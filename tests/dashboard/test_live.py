"""The live channel: fragments reach those who may see, and nobody else; and end when the session or the membership does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings
from django.test import Client

from cloudbox.asgi import application
from compute import instances
from dashboard import consumers
from identity import projects
from tests.fixtures import machine_home, plain_static, world  # noqa: F401
from tests.world import World, work

pytestmark = pytest.mark.django_db(transaction=True)


def _sign_in(world: World, who: str) -> Client:  # noqa: F811
    client = Client()
    client.force_login(world.users[who])
    return client


class Page:
    """A page's socket, with the cookies of a browser."""

    def __init__(self, client: Client | None) -> None:
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}" if client else ""
        headers = [(b"host", b"testserver"), (b"origin", b"http://testserver"), (b"cookie", cookie.encode())]
        scope = {"type": "websocket", "path": "/live", "query_string": b"", "headers": headers, "subprotocols": []}
        self.socket = ApplicationCommunicator(application, scope)

    async def open(self) -> bool:
        await self.socket.send_input({"type": "websocket.connect"})
        return bool((await self.socket.receive_output(timeout=5))["type"] == "websocket.accept")

    async def send(self, text: str) -> None:
        await self.socket.send_input({"type": "websocket.receive", "text": text})

    async def subscribe(self, **asked: Any) -> None:
        await self.send(json.dumps({"subscribe": asked}))

    async def until(self, key: str) -> Any:
        """The next message that has the key."""
        while True:
            output = await self.socket.receive_output(timeout=5)
            assert output["type"] == "websocket.send", output
            message = json.loads(output["text"])
            if key in message:
                return message[key]

    async def closed(self) -> int:
        """The code with which the server ends it."""
        while True:
            output = await self.socket.receive_output(timeout=15)
            if output["type"] == "websocket.close":
                return int(output["code"])

    async def leave(self) -> None:
        await self.socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.socket.wait(timeout=5)


def _run(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


_do = database_sync_to_async


def test_rows_follow_their_instances(world: World) -> None:  # noqa: F811
    """A stop and its end arrive as whole rows, rendered by the list's own template; the rest is said in a sentence."""
    instance, client = world.running(), _sign_in(world, "reader")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(instance.id)], since=None)
        await page.until("hello")
        await _do(lambda: instances.stop(world.ctx("member"), instance.id))()
        (fragment,) = await page.until("fragments")
        assert fragment["id"] == f"row-{instance.id}"
        assert 'data-status="stopping"' in fragment["html"]
        await _do(work)()
        while 'data-status="stopped"' not in fragment["html"]:
            (fragment,) = await page.until("fragments")
        assert fragment["say"] == "web is stopped"
        await page.leave()

    _run(scene)


def test_a_new_instance_arrives_and_a_deleted_one_leaves(world: World) -> None:  # noqa: F811
    client = _sign_in(world, "member")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[], since=None)
        await page.until("hello")
        (instance,) = await _do(world.launch)()
        (fragment,) = await page.until("fragments")
        assert fragment["fresh"] is True
        await _do(work)()
        await _do(lambda: instances.delete(world.ctx("member"), instance.id))()
        await _do(work)()
        while not fragment.get("gone"):
            (fragment,) = await page.until("fragments")
        assert fragment["id"] == f"row-{instance.id}"
        await page.leave()

    _run(scene)


def test_what_was_missed_is_told_on_coming_back(world: World) -> None:  # noqa: F811
    instance, client = world.running(), _sign_in(world, "member")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(instance.id)], since=0)
        (fragment,) = await page.until("fragments")
        assert 'data-status="running"' in fragment["html"]
        await page.leave()

    _run(scene)


def test_strangers_and_the_signed_out_get_nothing(world: World) -> None:  # noqa: F811
    """A stranger may not listen to the project, not name its instances from their own, and not listen to the box."""
    instance, stranger = world.running(), _sign_in(world, "stranger")

    async def scene() -> None:
        assert not await Page(None).open()
        for project in ("shop", ""):
            page = Page(stranger)
            assert await page.open()
            await page.subscribe(project=project, part="row", ids=[str(instance.id)], since=0)
            assert await page.closed() == consumers.CLOSE_NO_RIGHT
        page = Page(stranger)
        assert await page.open()
        await page.subscribe(project="elsewhere", part="row", ids=[str(instance.id)], since=0)
        await page.until("hello")
        await _do(lambda: instances.stop(world.ctx("member"), instance.id))()
        assert await page.socket.receive_nothing(timeout=0.8)
        await page.subscribe(project="elsewhere", part="none", metrics=str(instance.id))
        assert await page.closed() == consumers.CLOSE_NO_RIGHT

    _run(scene)


def test_it_ends_with_the_membership(world: World) -> None:  # noqa: F811
    """Taken out of the project: the next change is not rendered, the socket is closed."""
    instance, client = world.running(), _sign_in(world, "reader")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(instance.id)], since=None)
        await page.until("hello")
        await _do(lambda: projects.remove_member(world.ctx("owner"), world.users["reader"].id))()
        await _do(lambda: instances.stop(world.ctx("member"), instance.id))()
        assert await page.closed() == consumers.CLOSE_NO_RIGHT

    _run(scene)


def test_it_ends_with_the_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.2)
    client = _sign_in(world, "member")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="page")
        await page.until("hello")
        await _do(client.logout)()
        assert await page.closed() == consumers.CLOSE_SIGNED_OUT

    _run(scene)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"subscribe": 1}', '{"subscribe": {"ids": "all"}}', '{"subscribe": {"part": "row", "ids": ["x"]}}', "x" * 70000],
)
def test_nonsense_is_closed(world: World, text: str) -> None:  # noqa: F811
    client = _sign_in(world, "member")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.send(text)
        assert await page.closed() == consumers.CLOSE_NONSENSE

    _run(scene)
