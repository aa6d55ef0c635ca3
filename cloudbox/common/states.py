"""A state machine as data: the allowed moves, one guarded move, an explicit hook. Nobody assigns a status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from cloudbox.common import events
from cloudbox.common.errors import Conflict
from cloudbox.common.events import Actor


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The life of one noun. `moves` maps a status to those that may follow; `on_move` runs in the same transaction."""

    noun: str
    model: type[models.Model]
    moves: Mapping[str, frozenset[str]]
    on_move: Callable[[Any, str, str], None]

    def sources(self, to: str) -> list[str]:
        """The statuses from which `to` may be reached."""
        return [status for status, targets in self.moves.items() if to in targets]

    def move(self, obj: Any, to: str, *, actor: Actor, verb: str | None = None, detail: str = "", **fields: Any) -> None:
        """Bring the row to `to`, with further fields, if it stands where that is allowed; else Conflict.

        One conditional UPDATE decides, so two callers cannot both win. Already there: nothing happens.
        """
        with transaction.atomic():
            row = self.model._default_manager.select_for_update(of=("self",)).get(pk=obj.pk)
            before: str = row.status  # type: ignore[attr-defined]
            if before != to:
                if to not in self.moves.get(before, frozenset()):
                    label = row.get_status_display().lower()  # type: ignore[attr-defined]
                    raise Conflict(f"{row} is {label} and cannot become {to} now.", resource=str(row.pk))
                for name, value in (fields | {"status": to}).items():
                    setattr(row, name, value)
                row.save()
                self.on_move(row, before, to)
                events.publish(actor, verb or to, self.noun, row, detail=detail)
        for field in row._meta.concrete_fields:
            setattr(obj, field.attname, getattr(row, field.attname))
