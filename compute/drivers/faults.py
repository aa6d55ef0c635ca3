"""Faults on order, for the fakes: a test says which call shall fail and how often, and patches nothing."""

from __future__ import annotations

import threading
from collections import defaultdict

from cloudbox.common.errors import Unavailable


class Faults:
    """Mixed into each fake: `fake.fail("start", times=2)` makes the next two `start` raise."""

    def __init__(self) -> None:
        self._faults: dict[str, list[Exception]] = defaultdict(list)
        self._faults_lock = threading.Lock()

    def fail(self, method: str, *, times: int = 1, error: Exception | None = None) -> None:
        assert callable(getattr(self, method, None)), f"{type(self).__name__} has no {method}"
        with self._faults_lock:
            self._faults[method] += [error or Unavailable(f"The test asked {method} to fail.")] * times

    def _may_fail(self, method: str) -> None:
        with self._faults_lock:
            pending = self._faults.get(method)
            error = pending.pop(0) if pending else None
        if error is not None:
            raise error
