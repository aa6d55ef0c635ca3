"""Segments are filled with zeros ahead of use, which must never harm what is written to them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from storage.engine.records import SEGMENT_HEADER_BYTES
from storage.engine.segments import OpenSegment, fill


class SlowFile:
    """Its first write stays under way until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.bytes = bytearray(8 << 20)

    def write(self, buffers: Sequence[Any], offset: int, *, durable: bool = False) -> None:
        self.begun.set()
        self.go_on.wait(10)
        for buffer in buffers:
            self.bytes[offset : offset + len(buffer)] = buffer
            offset += len(buffer)

    def sync(self) -> None: ...


def test_zeros_under_way_do_not_land_on_the_first_record() -> None:
    """A segment is wanted while its first MiB of zeros is being written: `end_filling` returns only after that write."""
    file = SlowFile()
    segment = OpenSegment(1, 0, 8 << 20, [(None, file)])  # type: ignore[list-item]
    filler = threading.Thread(target=fill, args=(segment,), kwargs={"pause": 0})
    filler.start()
    assert file.begun.wait(10)
    ended = threading.Event()

    def take() -> None:
        segment.end_filling()
        ended.set()

    taker = threading.Thread(target=take)
    taker.start()
    assert not ended.wait(0.1)
    file.go_on.set()
    assert ended.wait(10)
    file.write([b"record"], SEGMENT_HEADER_BYTES, durable=True)
    filler.join(10)
    taker.join(10)
    assert not filler.is_alive()
    assert file.bytes[SEGMENT_HEADER_BYTES : SEGMENT_HEADER_BYTES + 6] == b"record"
