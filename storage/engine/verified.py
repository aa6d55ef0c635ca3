"""When something was last verified: the auditor goes through everything in order, so it is enough to know when it was where.

Kept in the index: of the reading under way and of the one before, at which moments the auditor had come how far, and which drives were
here then. Moments are never later than the truth: what lies between two of them counts as verified at the earlier one.
"""

from __future__ import annotations

import json
import time
from typing import Any

from storage.engine.index import Index
from storage.engine.members import Members

_NOTE = b"verified"
MARKS_MAX = 400  # Of a reading; when there are more, every second one goes.
_END = ((1 << 64) - 1, "g")  # Behind every segment and every extent.


def note(index: Index, members: Members, state: dict[str, Any]) -> None:
    """After a round of the auditor, which has come as far as `state` says."""
    kept: dict[str, Any] = json.loads(index.note(_NOTE) or b"{}")
    now = kept.setdefault("now", {"began": time.time(), "marks": []})
    done = "finished" in state
    segment, blob = _END if done else (_END[0] if state.get("blob") else int(state.get("segment", 0)), str(state.get("blob", "")))
    now["marks"].append([segment, blob, time.time(), sorted(id.hex() for id in members.bays)])
    if len(now["marks"]) > MARKS_MAX:
        now["marks"] = now["marks"][1::2]
    if done:
        kept = {"before": now}
    index.set_note(_NOTE, json.dumps(kept).encode())


class Verified:
    """What is known at one moment; make one per question or per page."""

    def __init__(self, index: Index) -> None:
        kept: dict[str, Any] = json.loads(index.note(_NOTE) or b"{}")
        self._readings = [kept[name] for name in ("now", "before") if name in kept]

    def segment(self, id: int, drive: bytes) -> float | None:
        """Seconds since 1970, or None if it was not yet verified there."""
        return self._when(lambda mark: mark[0] >= id, id, drive)

    def extent(self, id: bytes, drive: bytes) -> float | None:
        name = id.hex()
        return self._when(lambda mark: mark[1] >= name, int.from_bytes(id[:8], "big"), drive)

    def drive(self, drive: bytes) -> float | None:
        """When all that was on it had last been verified."""
        for reading in self._readings:
            last = reading["marks"][-1]
            if last[1] == _END[1] and all(drive.hex() in mark[3] for mark in reading["marks"]):
                return float(last[2])
        return None

    def _when(self, passed: Any, stamp: int, drive: bytes) -> float | None:
        for reading in self._readings:
            before = float(reading["began"])
            for mark in reading["marks"]:
                if passed(mark):
                    if drive.hex() in mark[3] and before * 1e9 > stamp:
                        return before
                    break
                before = float(mark[2])
        return None
