"""Stamps: unique, ever growing numbers of nanoseconds, in one order over all workers of the box.

CLOCK_MONOTONIC is the same for all processes of a boot; a base that they share makes stamps of it that lie above all earlier ones.
The low byte is the worker, so no two can draw the same.
"""

from __future__ import annotations

import time

_TICK = 256


class Clock:
    def __init__(self, base: int, worker: int) -> None:
        self._base, self._worker, self._last = base, worker, 0

    def stamp(self) -> int:
        stamp = (time.monotonic_ns() + self._base) & ~(_TICK - 1) | self._worker
        if stamp <= self._last:
            stamp = self._last + _TICK
        self._last = stamp
        return stamp


def base_above(stamp: int) -> int:
    """A base that makes every stamp of this boot greater than that one, and close to the wall clock if that went on normally."""
    return max(time.time_ns(), stamp + 1_000_000_000) - time.monotonic_ns()


def worker_of(stamp: int) -> int:
    return stamp % _TICK
