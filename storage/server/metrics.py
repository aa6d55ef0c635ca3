"""Counters that every worker keeps in a file of its own, and anybody can add up: Prometheus text over all workers.

A file is a small mapped array: counting is one addition in memory, and a worker's numbers outlive it. Workers that have ended are
folded into one file (`fold`), so totals never go back. Each file says what its numbers mean, so workers of an older release, which
are still draining, and newer ones can be added up all the same.
"""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import json
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "COPY", "PATCH")
_ENDED = "ended"
_PREFIX = struct.Struct("<8sQ")
_MAGIC = b"CbxMetr1"


class Series(NamedTuple):
    """One number: its name, its labels as Prometheus writes them, what kind it is, and by what it is divided when shown."""

    name: str
    labels: str
    kind: str  # counter | gauge | histogram
    scale: int = 1


class Counter:
    """A number of one worker."""

    __slots__ = ("_array", "_index")

    def __init__(self, array: memoryview, index: int) -> None:
        self._array = array
        self._index = index

    def add(self, count: int = 1) -> None:
        self._array[self._index] += count

    @property
    def value(self) -> int:
        return int(self._array[self._index])


HELP = {
    "cloudbox_http_requests_total": "Requests answered, by method and class of status.",
    "cloudbox_http_request_seconds": "Time from a request's head to the end of its answer.",
    "cloudbox_http_received_bytes_total": "Bytes of requests, heads included.",
    "cloudbox_http_sent_bytes_total": "Bytes of bodies of answers.",
    "cloudbox_http_connections": "Connections that are open.",
    "cloudbox_http_connections_total": "Connections that were accepted.",
    "cloudbox_http_refused_total": "Requests whose head could not be served, by status.",
    "cloudbox_http_timeouts_total": "Connections that were too slow, by what was waited for.",
    "cloudbox_http_answers_cut_total": "Answers that could not be completed.",
}
_REFUSED = (400, 408, 413, 414, 417, 431, 501, 503, 505)


class Metrics:
    """The numbers of one worker. Without a folder they are kept in memory only."""

    def __init__(self, folder: Path | None = None, *, name: str = "", more: Iterable[Series] = ()) -> None:
        series: list[Series] = []
        series += [
            Series("cloudbox_http_requests_total", f'method="{method}",status="{status}xx"', "counter")
            for method in METHODS
            for status in range(1, 6)
        ]
        self._at_seconds = len(series)
        for le in (*(f"{s:g}" for s in SECONDS), "+Inf"):
            series.append(Series("cloudbox_http_request_seconds_bucket", f'le="{le}"', "histogram"))
        series.append(Series("cloudbox_http_request_seconds_sum", "", "histogram", 1_000_000))
        series.append(Series("cloudbox_http_request_seconds_count", "", "histogram"))
        start = len(series)
        series += [
            Series("cloudbox_http_received_bytes_total", "", "counter"),
            Series("cloudbox_http_sent_bytes_total", "", "counter"),
            Series("cloudbox_http_connections", "", "gauge"),
            Series("cloudbox_http_connections_total", "", "counter"),
            Series("cloudbox_http_answers_cut_total", "", "counter"),
            *(Series("cloudbox_http_timeouts_total", f'waiting_for="{what}"', "counter") for what in ("head", "body", "client")),
        ]
        self._at_refused = len(series)
        series += [Series("cloudbox_http_refused_total", f'status="{status}"', "counter") for status in _REFUSED]
        at_more = len(series)
        more = tuple(more)
        series += more
        self._file = folder / f"{name or os.getpid()}.metrics" if folder else None
        self.array = _create(self._file, series)
        counters = [Counter(self.array, start + i) for i in range(8)]
        self.received, self.sent, self.connections, self.accepted, self.answers_cut = counters[:5]
        self.timeouts_head, self.timeouts_body, self.timeouts_write = counters[5:]
        self.more = {(item.name, item.labels): Counter(self.array, at_more + i) for i, item in enumerate(more)}
        self._at_method = {method: 5 * i - 1 for i, method in enumerate(METHODS)}

    def request(self, method: str, status: int, seconds: float) -> None:
        array = self.array
        array[self._at_method[method] + status // 100] += 1
        at = self._at_seconds
        array[at + bisect.bisect_left(SECONDS, seconds)] += 1
        array[at + len(SECONDS) + 1] += int(seconds * 1_000_000)

    def refused(self, status: int) -> None:
        self.array[self._at_refused + _REFUSED.index(status)] += 1


def _create(path: Path | None, series: list[Series]) -> memoryview:
    size = 8 * len(series)
    if path is None:
        return memoryview(bytearray(size)).cast("q")
    text = json.dumps(series).encode()
    start = (_PREFIX.size + len(text) + 7) // 8 * 8
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(_PREFIX.pack(_MAGIC, len(text)) + text)
        file.truncate(start + size)
    with beside.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    beside.rename(path)
    return memoryview(mapped)[start:].cast("q")


def _read(path: Path) -> Iterator[tuple[Series, int]]:
    data = path.read_bytes()
    magic, length = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        return
    names = [Series(*item) for item in json.loads(data[_PREFIX.size : _PREFIX.size + length])]
    start = (_PREFIX.size + length + 7) // 8 * 8
    yield from zip(names, memoryview(data)[start:].cast("q"), strict=False)


def totals(folder: Path) -> dict[Series, int]:
    """The sums over all workers."""
    with _locked(folder):
        return _totals(sorted(folder.glob("*.metrics")))


def _totals(paths: Iterable[Path]) -> dict[Series, int]:
    sums: dict[Series, int] = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError, struct.error):  # A file that is just being made, or damaged, counts nothing.
            for series, value in _read(path):
                if not (series.kind == "gauge" and path.stem == _ENDED):
                    sums[series] = sums.get(series, 0) + value
    return sums


def fold(folder: Path, alive: Iterable[str]) -> None:
    """Add the numbers of workers that have ended to one file, and remove theirs. `alive` are the names of the others."""
    names = {*alive, _ENDED}
    with _locked(folder):
        ended = [path for path in folder.glob("*.metrics") if path.stem not in names]
        if not ended:
            return
        sums = _totals([*ended, *folder.glob(f"{_ENDED}.metrics")])
        kept = [series for series in sums if series.kind != "gauge"]
        array = _create(folder / "ended.part", kept)
        for i, series in enumerate(kept):
            array[i] = sums[series]
        (folder / "ended.part").rename(folder / f"{_ENDED}.metrics")
        for path in ended:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def text(sums: dict[Series, int], help: dict[str, str] = HELP) -> str:
    """Prometheus' text format (version 0.0.4)."""
    lines: list[str] = []
    seen = ""
    running = 0
    for series, value in sums.items():
        base = series.name
        if series.kind == "histogram":
            base = base.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        if base != seen:
            seen, running = base, 0
            if base in help:
                lines.append(f"# HELP {base} {help[base]}")
            lines.append(f"# TYPE {base} {series.kind}")
        if series.name.endswith("_bucket") and series.kind == "histogram":
            running = value = running + value  # Workers count each request in one bucket; Prometheus wants them cumulative.
        elif series.name.endswith("_count") and series.kind == "histogram":
            value = running
        number = f"{value / series.scale:.6f}" if series.scale != 1 else str(value)
        lines.append(f"{series.name}{{{series.labels}}} {number}" if series.labels else f"{series.name} {number}")
    return "\n".join(lines) + "\n"
