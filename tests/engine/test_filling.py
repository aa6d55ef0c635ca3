"""Zeros are laid into a segment ahead of its use: whoever wants it, or wants it away, comes between two steps of that, never into one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

from storage.engine.records import SEGMENT_HEADER_BYTES
from storage.engine.segments import OpenSegment, fill


class Slow:
    """A file whose every operation lets somebody else try to take the segment away first."""

    def __init__(self) -> None:
        self.segment: OpenSegment | None = None
        self.closed = False
        self.wrong: list[str] = []
        self.asked: list[threading.Thread] = []

    def _meanwhile(self, what: str) -> None:
        assert self.segment is not None
        segment = self.segment

        def take_away() -> None:
            segment.end_filling()
            self.closed = True

        if what == "sync":
            self.asked.append(threading.Thread(target=take_away))
            self.asked[-1].start()
            self.asked[-1].join(0.2)  # It has to wait; this only gives it the chance not to.
        if self.closed:
            self.wrong.append(what)

    def write(self, buffers: Sequence[bytes], offset: int) -> None:
        self._meanwhile("write")

    def sync(self) -> None:
        self._meanwhile("sync")


class Bay:
    def __init__(self, id: bytes) -> None:
        self.id = id


def test_no_file_is_closed_while_it_is_synced() -> None:
    files = [Slow(), Slow()]
    pairs = [(cast(Any, Bay(bytes([n]))), cast(Any, file)) for n, file in enumerate(files)]
    segment = OpenSegment(1, 0, SEGMENT_HEADER_BYTES + 4096, pairs)
    for file in files:
        file.segment = segment
    fill(segment, pause=0.0)
    for file in files:
        for thread in file.asked:
            thread.join(10)
        assert not file.wrong
    assert segment.written_before == {bytes([0])}, "the first was through before it was taken away, the second was left alone"
