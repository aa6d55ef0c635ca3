"""The rows of the console's list of instances, for its page and for the live channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compute import actions, progress
from identity.context import Context


@dataclass(frozen=True)
class Line:
    """An instance with what its row shows besides."""

    it: Any
    progress: progress.Progress | None
    why_stop: str
    why_delete: str
    url: str


def lines(ctx: Context, found: Sequence[Any]) -> list[Line]:
    """The rows of a page of instances: one query for the work on all of them."""
    moving = progress.of(found)
    return [
        Line(
            it=row,
            progress=moving.get(row.id),
            why_stop=actions.why_not(ctx, row, "stop"),
            why_delete=actions.why_not(ctx, row, "delete"),
            url=f"/p/{row.project.slug}/instances/{row.id}",
        )
        for row in found
    ]
