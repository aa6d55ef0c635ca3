"""Renderings that the pages of many people share: a row is made once for all who may see it in the same way, not once a socket."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

RENDERINGS_MAX = 500
KEPT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The fragments of one instance as (id, HTML). `began` is when its row was about to be read, on the monotonic clock."""

    began: float
    project_id: UUID
    name: str
    status: str
    word: str
    is_moving: bool
    fragments: tuple[tuple[str, str], ...]


class Board:
    """What was made lately. A rendering is good for whoever heard of the change before it began: it read what they heard of.

    So nothing has to be invalidated, and no clock or number of another process is trusted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[Hashable, UUID], Rendering] = OrderedDict()

    def take(self, view: Hashable, wanted: Mapping[UUID, float]) -> dict[UUID, Rendering]:
        """Those of the wanted (id: when its change was heard of) that are here and new enough, as this view shows them."""
        with self._lock:
            found = {key: self._made.get((view, key)) for key in wanted}
        return {key: made for key, made in found.items() if made is not None and made.began >= wanted[key]}

    def put(self, view: Hashable, made: Mapping[UUID, Rendering]) -> None:
        with self._lock:
            for key, rendering in made.items():
                self._made[view, key] = rendering
                self._made.move_to_end((view, key))
            stale = monotonic() - KEPT_SECONDS
            while self._made and (len(self._made) > RENDERINGS_MAX or next(iter(self._made.values())).began < stale):
                self._made.popitem(last=False)
