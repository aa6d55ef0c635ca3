"""The console's WebSocket with the real hub behind it: what the page is told besides the guest's bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter

from cloudbox.common.errors import Forbidden, Invalid
from cloudbox.common.models import Event
from compute import consoles, host
from compute.agent.console_hub import ConsoleHub
from compute.routing import websocket_urlpatterns
from tests.world import World


def _page(link: str) -> ApplicationCommunicator:
    scope = {"type": "websocket", "path": link, "headers": [], "query_string": b"", "subprotocols": []}
    return ApplicationCommunicator(URLRouter(websocket_urlpatterns), scope)


async def _connect(page: ApplicationCommunicator) -> None:
    await page.send_input({"type": "websocket.connect"})
    assert (await page.receive_output(5))["type"] == "websocket.accept"


async def _leave(page: ApplicationCommunicator) -> None:
    await page.send_input({"type": "websocket.disconnect", "code": 1000})
    await page.wait(5)


# Committed rows: the socket's own thread, not the test's, reads them.
@pytest.mark.django_db(transaction=True)
def test_watchers(world: World, tmp_path: Path, settings: Any) -> None:
    """First what one got, then the number of open consoles, and again at each change; VNC counts, and gets no text frames."""
    settings.RUN_DIR = tmp_path
    instance, hypervisor = world.running(), host.hypervisor()
    links = [consoles.open(world.ctx("member"), instance.id, kind).path for kind in ("serial", "vnc", "serial")]

    async def scene() -> None:
        hub = ConsoleHub(tmp_path / "console.sock", log_of=hypervisor.console_log)
        await hub.start()
        places = {"serial": hypervisor.serial_socket(instance.id), "vnc": hypervisor.vnc_socket(instance.id)}
        await hub.watch(instance.id, log=hypervisor.console_log(instance.id), **places)
        serial, vnc, second = (_page(link) for link in links)

        async def told(page: ApplicationCommunicator) -> dict[str, object]:
            """The next control frame; the guest's bytes come in between."""
            while True:
                frame = await page.receive_output(5)
                assert frame["type"] == "websocket.send"
                if frame.get("text"):
                    return dict(json.loads(frame["text"]))

        async def told_number(page: ApplicationCommunicator, number: int) -> None:
            """It may be told of another number on the way: who opens and who counts are two connections."""
            while (await told(page)) != {"watchers": number}:
                pass

        await _connect(serial)
        first = await told(serial)
        assert (first["kind"], first["write"]) == ("serial", True)
        await told_number(serial, 1)
        await _connect(vnc)
        await told_number(serial, 2)
        await _connect(second)
        await told_number(serial, 3)
        assert (await told(second))["kind"] == "serial"
        await told_number(second, 3)
        await _leave(second)
        await told_number(serial, 2)
        while not await vnc.receive_nothing(0.1):
            assert not (await vnc.receive_output()).get("text")
        await _leave(vnc)
        await told_number(serial, 1)
        await _leave(serial)
        await hub.close()

    async_to_sync(scene)()


@pytest.mark.django_db(transaction=True)
def test_to_watch(world: World, tmp_path: Path, settings: Any) -> None:
    """Who may read the log may watch the line: what they send reaches no machine, and the audit log says that they only watched."""
    settings.RUN_DIR = tmp_path
    instance, hypervisor = world.running(), host.hypervisor()
    reader = world.ctx("reader")
    with pytest.raises(Forbidden):
        consoles.open(reader, instance.id, "serial")
    with pytest.raises(Invalid):
        consoles.open(reader, instance.id, "vnc", write=False)
    link = consoles.open(reader, instance.id, "serial", write=False).path
    assert Event.objects.filter(verb="watch-console", actor="reader@example.org", detail="serial").exists()

    async def scene() -> None:
        hub = ConsoleHub(tmp_path / "console.sock", log_of=hypervisor.console_log)
        await hub.start()
        places = {"serial": hypervisor.serial_socket(instance.id), "vnc": hypervisor.vnc_socket(instance.id)}
        await hub.watch(instance.id, log=hypervisor.console_log(instance.id), **places)
        page = _page(link)
        await _connect(page)
        hello = await page.receive_output(5)
        while not hello.get("text"):
            hello = await page.receive_output(5)
        assert json.loads(hello["text"])["write"] is False
        sent: list[bytes] = []
        for machine in hub._machines.values():
            assert machine.line is not None
            machine.line.write = sent.append  # type: ignore[method-assign,assignment]
        await page.send_input({"type": "websocket.receive", "bytes": b"rm -rf /\r"})
        await page.send_input({"type": "websocket.receive", "text": "x"})
        await _leave(page)
        await hub.close()
        assert sent == []

    async_to_sync(scene)()
