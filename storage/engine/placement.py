"""Which drives a segment or an extent is put on: weighted, spread over failure domains, at random among equals.

Where something lies is written down (index, and the files themselves), so no function has to be able to compute it again: adding a
drive moves nothing by itself, and the rebalancer moves what it likes.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A drive that could take something. `free` in bytes."""

    id: bytes
    domain: str
    weight: float
    free: int


def pick(
    candidates: Sequence[Candidate], count: int, *, beside: Collection[Candidate] = (), chance: random.Random | None = None
) -> list[Candidate]:
    """Up to `count` different drives, as few as possible in one domain with each other or with those `beside` (which are not chosen).

    The chance of a drive is its weight times its free room.
    """
    chance = chance or random.SystemRandom()
    taken = {c.id for c in beside}
    crowd: dict[str, int] = {}
    for c in beside:
        crowd[_domain(c)] = crowd.get(_domain(c), 0) + 1
    # Weighted sampling without replacement: the largest of u^(1/w) first.
    keys = {c.id: chance.random() ** (1 / max(c.weight * c.free, 1e-9)) for c in candidates if c.id not in taken and c.weight > 0}
    left = [c for c in candidates if c.id in keys]
    chosen: list[Candidate] = []
    while left and len(chosen) < count:
        best = min(left, key=lambda c: (crowd.get(_domain(c), 0), -keys[c.id]))
        left.remove(best)
        chosen.append(best)
        crowd[_domain(best)] = crowd.get(_domain(best), 0) + 1
    return chosen


def _domain(candidate: Candidate) -> str:
    """A drive without a domain is one of its own."""
    return candidate.domain or candidate.id.hex()
