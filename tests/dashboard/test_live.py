"""The live channel: fragments reach those who may see, and nobody else; none is lost; it ends when the session or the membership does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection, transaction
from django.test import Client

from cloudbox.asgi import application
from cloudbox.common import events
from compute import instances
from dashboard import consumers, live
from dashboard.live_board import KEPT_SECONDS, Board, Rendering
from identity import activity, projects, users
from identity.context import SYSTEM
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
        return (await self.message(key))[key]

    async def message(self, key: str) -> dict[str, Any]:
        """The next whole message that has the key."""
        while True:
            output = await self.socket.receive_output(timeout=5)
            assert output["type"] == "websocket.send", output
            message: dict[str, Any] = json.loads(output["text"])
            if key in message:
                return message

    async def row(self, wanted: str) -> dict[str, Any]:
        """The next fragment whose HTML has the text."""
        while True:
            for fragment in await self.until("fragments"):
                if wanted in fragment.get("html", ""):
                    return dict(fragment)

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
        await page.until("beat")
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
    [
        "", "[]", "{", '{"subscribe": 1}', '{"subscribe": {"ids": "all"}}', '{"subscribe": {"part": "row", "ids": ["x"]}}', "x" * 70000,
        '{"subscribe": {"project": "shop", "part": "everything"}}', '{"subscribe": {"project": 7}}',
        '{"subscribe": {"project": "shop", "part": ["row"]}}', '{"subscribe": {"project": "sh\\u0000op", "part": "row"}}',
        '{"subscribe": {"project": "shop", "part": "row", "since": true}}', '{"subscribe": {"project": "shop", "since": -1}}',
        '{"subscribe": {"project": "shop", "moving": {}}}', json.dumps({"subscribe": {"project": "shop", "ids": [str(uuid4())] * 201}}),
    ],
)  # fmt: skip
def test_nonsense_is_closed(world: World, text: str) -> None:  # noqa: F811
    client = _sign_in(world, "member")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.send(text)
        assert await page.closed() == consumers.CLOSE_NONSENSE

    _run(scene)


# --- nothing is lost


def _place() -> int:
    events.seal()
    return activity.place()


def test_a_page_that_drops_before_it_is_told_is_told_on_coming_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The socket knows of a change and looks several times, but falls before it has told: no `at` may have run ahead of the telling."""
    instance, client = world.running(), _sign_in(world, "member")
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.05)

    async def scene() -> None:
        since = await _do(_place)()
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(instance.id)], since=since)
        assert (await page.message("at"))["at"] == since
        monkeypatch.setattr(consumers, "FIRST_SECONDS", 60)
        await _do(lambda: instances.update(world.ctx("member"), instance.id, name="renamed"))()
        assert await _do(_place)() > since
        for _ in range(5):
            assert (await page.message("beat")).get("at", since) == since
        await page.leave()
        monkeypatch.setattr(consumers, "FIRST_SECONDS", 0.01)
        again = Page(client)
        assert await again.open()
        await again.subscribe(project="shop", part="row", ids=[str(instance.id)], since=since)
        message = await again.message("fragments")
        assert "renamed" in message["fragments"][0]["html"]
        assert message["at"] == await _do(_place)()
        await again.leave()

    _run(scene)


def test_what_could_not_be_rendered_is_told_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The database fails under the first rendering: the change waits, and what comes meanwhile is told with it."""
    instance, client = world.running(), _sign_in(world, "member")
    monkeypatch.setattr(consumers, "RETRY_SECONDS", 0.05)
    whole, failed = live.render, threading.Event()

    def fails_once(*args: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise ConnectionError("the database went away")
        return whole(*args)

    monkeypatch.setattr(live, "render", fails_once)

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(instance.id)], since=await _do(_place)())
        await page.until("beat")
        await _do(lambda: instances.update(world.ctx("member"), instance.id, name="renamed"))()
        assert (await page.row("renamed"))["id"] == f"row-{instance.id}"
        assert failed.is_set()
        await page.leave()

    _run(scene)


@pytest.mark.parametrize(("part", "told"), [("row", "fragments"), ("detail", "fragments"), ("page", "refresh"), ("log", "news")])
def test_what_the_channel_layer_lost_is_found(world: World, monkeypatch: pytest.MonkeyPatch, part: str, told: str) -> None:  # noqa: F811
    """Redis drops every message: the socket looks at the log again and again, and finds what nobody told it."""
    instance, client = world.running(), _sign_in(world, "member")
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(events, "send_to", lambda group, message: None)

    async def scene() -> None:
        since = await _do(_place)() if part != "log" else (await _do(lambda: activity.list(world.ctx("member"))[0].id)())
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part=part, ids=[str(instance.id)], since=since)
        await page.until("beat")
        await _do(lambda: instances.update(world.ctx("member"), instance.id, name="renamed"))()
        assert await page.until(told)
        await page.leave()

    _run(scene)


def test_an_event_that_is_committed_late_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A slow transaction took its event's id before a quick one: when it commits, the page's place is beyond that id, and it is told."""
    slow, quick, client = world.running(name="slow"), world.running(name="quick"), _sign_in(world, "member")
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(events, "send_to", lambda group, message: None)
    written, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        try:
            with transaction.atomic():
                instances.update(world.ctx("member"), slow.id, name="slow-renamed")
                written.set()
                assert go_on.wait(10)
        finally:
            connection.close()

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(slow.id), str(quick.id)], since=await _do(_place)())
        thread = threading.Thread(target=slowly)
        thread.start()
        assert await asyncio.to_thread(written.wait, 10)
        await _do(lambda: instances.update(world.ctx("member"), quick.id, name="quick-renamed"))()
        await page.row("quick-renamed")
        place = await _do(_place)()
        while (await page.message("at"))["at"] < place:
            pass
        go_on.set()
        await asyncio.to_thread(thread.join)
        await page.row("slow-renamed")
        await page.leave()

    _run(scene)


def test_after_a_storm_all_tabs_show_the_truth(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Three tabs, one of which drops in the middle; four writers rename as fast as they can; every tab ends with the truth."""
    rows, client = world.launch(count=8), _sign_in(world, "member")
    work()
    ids = [str(one.id) for one in rows]
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.5)

    def rename(writer: int) -> None:
        try:
            for turn in range(20):
                for one in rows[writer * 2 : writer * 2 + 2]:
                    instances.update(world.ctx("member"), one.id, name=f"{str(one.id)[:8]}-{turn}")
        finally:
            connection.close()

    async def follow(tab: int, since: int) -> dict[str, str]:
        page, shown = Page(client), dict.fromkeys(ids, "")
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=ids, since=since)
        while not all(html and f"{id[:8]}-19" in html for id, html in shown.items()):
            message = await page.message("fragments")
            since = message.get("at", since)
            shown |= {fragment["id"].removeprefix("row-"): fragment["html"] for fragment in message["fragments"]}
            if tab == 2:  # drops after its first telling, and comes back later
                await page.leave()
                page, tab = Page(client), 0
                assert await page.open()
                await page.subscribe(project="shop", part="row", ids=ids, since=since)
        await page.leave()
        return shown

    async def scene() -> None:
        since = await _do(_place)()
        tabs = [asyncio.create_task(follow(tab, since)) for tab in range(3)]
        threads = [threading.Thread(target=rename, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        for shown in await asyncio.wait_for(asyncio.gather(*tabs), 30):
            assert all(f">{id[:8]}-19</a>" in html for id, html in shown.items())

    _run(scene)


def test_too_much_to_tell_means_loading_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    rows, client = world.launch(count=3), _sign_in(world, "member")
    monkeypatch.setattr(live, "MISSED_MAX", 3)

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(one.id) for one in rows], since=0)
        assert await page.until("reload") is True
        await page.leave()

    _run(scene)


def test_work_that_a_page_shows_is_read_again(world: World) -> None:  # noqa: F811
    """How far work is leaves no event. A page that shows an instance at work is told where it stands on coming back."""
    instance, client = world.running(), _sign_in(world, "member")

    async def scene() -> None:
        page, since = Page(client), await _do(_place)()
        assert await page.open()
        await page.subscribe(project="shop", part="row", ids=[str(instance.id)], since=since)
        assert "at" in await page.message("beat")
        await page.subscribe(project="shop", part="row", ids=[str(instance.id)], moving=[str(instance.id)], since=since)
        assert 'data-status="running"' in (await page.until("fragments"))[0]["html"]
        await page.leave()

    _run(scene)


# --- who sees what


def test_a_reader_is_not_shown_what_a_member_may_press(world: World) -> None:  # noqa: F811
    """Both look at the same instance at the same time; what is rendered for one is not what the other gets."""
    instance = world.running()

    async def scene() -> None:
        pages = {who: Page(_clients[who]) for who in ("member", "reader", "member2")}
        for page in pages.values():
            assert await page.open()
            await page.subscribe(project="shop", part="detail", ids=[str(instance.id)], since=await _do(_place)())
            await page.until("hello")
        await _do(lambda: instances.update(world.ctx("member"), instance.id, name="renamed"))()
        heads = {who: await page.row("renamed") for who, page in pages.items()}
        assert heads["member"]["html"] == heads["member2"]["html"]
        assert "/do/reboot" in heads["member"]["html"]
        assert "/do/reboot" not in heads["reader"]["html"]
        assert "This needs the role member; yours is reader." in heads["reader"]["html"]
        for page in pages.values():
            await page.leave()

    _clients = {"member": _sign_in(world, "member"), "member2": _sign_in(world, "member"), "reader": _sign_in(world, "reader")}
    _run(scene)


def test_a_rendering_is_shared_by_those_who_heard_before_it_began() -> None:
    board, key, now = Board(), uuid4(), monotonic()
    made = Rendering(
        began=now, project_id=uuid4(), name="web", status="running", word="running", is_moving=False, fragments=(("row", "<tr>"),)
    )
    board.put(("row", "member"), {key: made})
    assert board.take(("row", "member"), {key: now - 1}) == {key: made}
    assert board.take(("row", "member"), {key: now + 0.001}) == {}, "it may not have seen what was heard of later"
    assert board.take(("row", "reader"), {key: now - 1}) == {}, "another right is another view"
    old = Rendering(**{**vars(made), "began": now - KEPT_SECONDS - 1})
    board.put(("row", "member"), {key: old})
    assert board.take(("row", "member"), {key: now - 60}) == {}, "nothing is kept for long"


def test_it_ends_with_the_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Suspended by an administrator while looking at the box: the console's channel hears of it and closes at once."""
    client = _sign_in(world, "support")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="", part="page", since=0)
        await page.until("hello")
        await _do(lambda: users.suspend(SYSTEM, world.users["support"]))()
        assert await page.closed() == consumers.CLOSE_SIGNED_OUT

    assert consumers.CHECK_SECONDS < 10, "what no event tells of must end within ten seconds"
    _run(scene)


# --- the admin console


def test_the_console_follows_all_projects(world: World) -> None:  # noqa: F811
    """The rows are the console's own, with its dialogs; what support may not press says so."""
    instance = world.running()
    clients = {who: _sign_in(world, who) for who in ("admin", "support")}

    async def scene() -> None:
        for who, client in clients.items():
            page = Page(client)
            assert await page.open()
            await page.subscribe(project="", part="row", ids=[str(instance.id)], since=await _do(_place)())
            await page.until("beat")
            await _do(lambda who=who: instances.update(world.ctx("member"), instance.id, name=f"for-{who}"))()
            row = await page.row(f"for-{who}")
            assert row["id"] == f"row-{instance.id}"
            assert "/admin/projects/shop" in row["html"]
            assert ("Your role may look only." in row["html"]) == (who == "support")
            assert (f'action="/admin/instances/{instance.id}/stop"' in row["html"]) == (who == "admin")
            await page.leave()

    _run(scene)


def test_a_page_of_the_console_hears_of_jobs(world: World) -> None:  # noqa: F811
    """Progress is no event, but the console's pages show what moves."""
    (instance,), client = world.launch(), _sign_in(world, "admin")

    async def scene() -> None:
        page = Page(client)
        assert await page.open()
        await page.subscribe(project="", part="page", since=await _do(_place)())
        assert "at" in await page.message("beat")
        await _do(lambda: events.touch("instance", instance.id, instance.project_id))()
        assert await page.until("refresh") is True
        await page.leave()

    _run(scene)


def test_a_log_tells_how_much_is_new(world: World) -> None:  # noqa: F811
    """Counted from its newest row, also after coming back; events only, no progress."""
    instance, client = world.running(), _sign_in(world, "admin")

    async def scene() -> None:
        newest = await _do(lambda: activity.list(world.box(), all_projects=True)[0].id)()
        for expected in (1, 2):
            page = Page(client)
            assert await page.open()
            await page.subscribe(project="", part="log", since=newest)
            if expected == 2:
                assert await page.until("news") == 1
            else:
                await page.until("beat")
            await _do(lambda: events.touch("instance", instance.id, instance.project_id))()
            await _do(lambda n=expected: instances.update(world.ctx("member"), instance.id, name=f"name-{n}"))()
            assert await page.until("news") == expected
            await page.leave()

    _run(scene)
