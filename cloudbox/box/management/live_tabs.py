"""The tabs of `live_bench`, in a process of their own: who writes as fast as it can is no good clock for who reads.

Lines of JSON: in comes what to open, out "ready" when every socket has subscribed; in come the numbers that every row has in the end,
out what each tab was told and when (seconds of the monotonic clock, which all processes of a host share).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass, field

SETTLE_SECONDS = 30
_TAG = re.compile(r">n=(\d+)<")


@dataclass
class Tab:
    """What a tab shows: by instance, the number of the newest change; and when each came."""

    ids: list[str]
    since: int
    shown: dict[str, int] = field(default_factory=dict)
    told: list[tuple[float, str, int]] = field(default_factory=list)
    messages: int = 0
    bytes: int = 0


async def main() -> None:
    asked = json.loads(sys.stdin.readline())
    tabs = [Tab(**tab) for tab in asked.pop("tabs")]
    opened = [asyncio.Event() for _ in tabs]
    followers = [asyncio.create_task(_follow(tab, one, **asked)) for tab, one in zip(tabs, opened, strict=True)]
    async with asyncio.timeout(30):
        await asyncio.gather(*(one.wait() for one in opened))
    print("ready", flush=True)
    numbers = json.loads(await asyncio.to_thread(sys.stdin.readline))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            while any(tab.shown.get(id, 0) != numbers.get(id, 0) for tab in tabs for id in tab.ids):  # noqa: ASYNC110  the tabs tell nobody
                await asyncio.sleep(0.1)
    for follower in followers:
        follower.cancel()
    for ended in await asyncio.gather(*followers, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    print(json.dumps([asdict(tab) for tab in tabs]), flush=True)


async def _follow(tab: Tab, opened: asyncio.Event, *, port: int, cookie: str, project: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        await _shake_hands(reader, writer, port, cookie)
        asked = {"project": project, "part": "row", "ids": tab.ids, "since": tab.since}
        _send(writer, json.dumps({"subscribe": asked}).encode())
        while True:
            raw = await _receive(reader)
            now, message = time.monotonic(), json.loads(raw)
            opened.set()
            tab.messages += 1
            tab.bytes += len(raw)
            for fragment in message.get("fragments", ()):
                number = _TAG.search(fragment.get("html", ""))
                if number:
                    id = fragment["id"].removeprefix("row-")
                    tab.shown[id] = int(number[1])
                    tab.told.append((now, id, int(number[1])))
    finally:
        writer.close()


async def _shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, cookie: str) -> None:
    """RFC 6455, section 4.1."""
    host = f"127.0.0.1:{port}"
    lines = [
        "GET /live HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", f"Cookie: {cookie}", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}", "Sec-WebSocket-Version: 13", "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head.split(b"\r\n", 1)[0], head.decode(errors="replace")


def _send(writer: asyncio.StreamWriter, payload: bytes) -> None:
    """One masked text frame (section 5.2); the mask is of zeros, which is a mask too."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    writer.write(b"\x81" + size + bytes(4) + payload)


async def _receive(reader: asyncio.StreamReader) -> bytes:
    """The next text message; of servers, frames are bare and here never split."""
    while True:
        first, second = await reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        payload = await reader.readexactly(size)
        if first & 0x0F == 8:
            raise ConnectionError(f"the box closed the socket: {payload[:200]!r}")
        if first & 0x0F == 1:
            return payload


if __name__ == "__main__":
    asyncio.run(main())
