"""What collector, compactor, auditor and repairer have in common: a round is bounded, and says what it did and what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Wait = Callable[[int], None]  # Called after so many bytes were read or written, to keep a round from taking the drives for itself.


def at_once(_: int) -> None:
    """No throttle."""


@dataclass
class Progress:
    """One round. Bytes are those read or written for it; `notes` are sentences for the log and the admin console."""

    what: str
    done: int = 0  # Things looked at or dealt with,
    left: int = 0  # and known to be waiting.
    bytes: int = 0
    bytes_left: int = 0  # Where that is known.
    mended: int = 0
    lost: int = 0  # Things of which no good copy is left.
    notes: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        return not self.done
