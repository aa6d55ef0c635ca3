"""Shows the console hub with a guest that is a plain unix socket: many viewers, history, read-only, slow viewers, ends."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from compute.agent.console_hub import BEHIND_BYTES_MAX, ConsoleHub


class Stage:
    """A hub, one machine, and the far end of its serial line."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, uuid.uuid4()
        self.hub = ConsoleHub(folder / "hub.sock", log_of=lambda id: folder / f"{id}.log")
        self.line: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def start(self) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.line.put((reader, writer))

        self.server = await asyncio.start_unix_server(accept, path=str(self.folder / "serial"))
        await self.hub.start()
        paths = {"serial": self.folder / "serial", "vnc": self.folder / "vnc", "log": self.folder / "log"}
        await self.hub.watch(self.id, **paths)
        self.guest_reader, self.guest = await asyncio.wait_for(self.line.get(), 5)

    async def view(self, **ask: object) -> tuple[dict[str, object], asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "hub.sock"))
        writer.write(json.dumps({"instance": str(self.id), "kind": "serial", "write": True} | ask).encode() + b"\n")
        return json.loads(await asyncio.wait_for(reader.readline(), 5)), reader, writer


def play(folder: Path, scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def whole() -> None:
        stage = Stage(folder)
        await stage.start()
        try:
            await asyncio.wait_for(scene(stage), 20)
        finally:
            await stage.hub.close()
            stage.server.close()

    asyncio.run(whole())


def test_every_viewer_sees_the_history_and_then_the_same(tmp_path: Path) -> None:
    """Two viewers get the log's end and each later byte; what one types reaches the guest."""
    (tmp_path / "log").write_bytes(b"booted\r\n")

    async def scene(stage: Stage) -> None:
        answer, first, typing = await stage.view()
        assert answer == {"ok": True, "history": 8}
        _, second, _ = await stage.view()
        assert await first.readexactly(8) == await second.readexactly(8) == b"booted\r\n"
        assert stage.hub.watchers(stage.id) == 2
        stage.guest.write(b"login: ")
        assert await first.readexactly(7) == await second.readexactly(7) == b"login: "
        typing.write(b"root\r")
        assert await stage.guest_reader.readexactly(5) == b"root\r"

    play(tmp_path, scene)


def test_how_many_watch(tmp_path: Path) -> None:
    """Told at once and at each change, serial and VNC together; the one who counts is not counted, and is let go with the machine."""

    async def scene(stage: Stage) -> None:
        async def screen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        vnc = await asyncio.start_unix_server(screen, path=str(stage.folder / "vnc"))
        answer, numbers, _ = await stage.view(kind="watchers")
        assert answer == {"ok": True}

        async def told() -> int:
            return int(json.loads(await asyncio.wait_for(numbers.readline(), 5))["watchers"])

        assert await told() == 0
        _, _, first = await stage.view()
        assert await told() == 1
        _, _, second = await stage.view(kind="vnc")
        assert await told() == 2
        assert stage.hub.watchers(stage.id) == 2
        first.close()
        assert await told() == 1
        second.close()
        assert await told() == 0
        await stage.hub.unwatch(stage.id)
        assert await asyncio.wait_for(numbers.read(), 5) == b""
        vnc.close()

    play(tmp_path, scene)


def test_who_may_only_look_types_in_vain(tmp_path: Path) -> None:
    """The bytes of a read-only viewer stop at the hub; those of another pass."""

    async def scene(stage: Stage) -> None:
        _, _, looking = await stage.view(write=False)
        looking.write(b"rm -rf /\r")
        await looking.drain()
        _, _, typing = await stage.view()
        typing.write(b"ok\r")
        assert await stage.guest_reader.readexactly(3) == b"ok\r"

    play(tmp_path, scene)


def test_a_viewer_that_does_not_read_is_let_go_and_the_others_go_on(tmp_path: Path) -> None:
    """One viewer never reads while the guest floods; another gets every byte."""

    async def scene(stage: Stage) -> None:
        _, _idle, _kept = await stage.view()  # referenced, for a forgotten reader would be drained
        _, reader, _ = await stage.view()
        total = 4 * BEHIND_BYTES_MAX

        async def flood() -> None:
            for _ in range(total // 65536):
                stage.guest.write(b"x" * 65536)
                await stage.guest.drain()

        _, data = await asyncio.gather(flood(), reader.readexactly(total))
        assert len(data) == total
        assert stage.hub.watchers(stage.id) == 1

    play(tmp_path, scene)


def test_the_line_comes_back_after_a_restart(tmp_path: Path) -> None:
    """The guest's end closes; the hub connects again, and its viewer never left."""

    async def scene(stage: Stage) -> None:
        _, reader, _ = await stage.view()
        stage.guest.close()
        _, again = await asyncio.wait_for(stage.line.get(), 5)
        again.write(b"back")
        assert await reader.readexactly(4) == b"back"

    play(tmp_path, scene)


def test_a_mark_goes_to_the_log_and_to_viewers(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\r\n")

    async def scene(stage: Stage) -> None:
        _, reader, _ = await stage.view()
        await stage.hub.mark(stage.id, "Started")
        await reader.readuntil(b"--- Started ---")
        assert b"--- Started ---" in (tmp_path / "log").read_bytes()

    play(tmp_path, scene)


def test_a_machine_that_goes_off_ends_its_viewers(tmp_path: Path) -> None:
    async def scene(stage: Stage) -> None:
        _, reader, _ = await stage.view()
        await stage.hub.unwatch(stage.id)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        answer, _, _ = await stage.view()
        assert answer["ok"] is False
        assert "off" in str(answer["error"])

    play(tmp_path, scene)


def test_the_log_of_a_machine_that_is_off_can_be_read(tmp_path: Path) -> None:
    """Its end comes, from the start of a line, and then the connection ends."""
    off = uuid.uuid4()
    (tmp_path / f"{off}.log").write_bytes(b"first\nsecond\nthird\n")

    async def scene(stage: Stage) -> None:
        answer, reader, _ = await stage.view(instance=str(off), kind="log", bytes=15)
        assert answer == {"ok": True, "history": 13}
        assert await reader.read() == b"second\nthird\n"

    play(tmp_path, scene)


@pytest.mark.parametrize("hello", [b"\n", b"{}\n", b"[1]\n", b'{"instance": "x", "kind": "serial"}\n', b"\xff\xfe\n", b"a" * 5000])
def test_nonsense_ends_the_connection_and_nothing_else(tmp_path: Path, hello: bytes) -> None:
    async def scene(stage: Stage) -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "hub.sock"))
        writer.write(hello)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        answer, _, _ = await stage.view()
        assert answer["ok"] is True

    play(tmp_path, scene)
