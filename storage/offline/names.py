"""What people call the buckets. The store itself knows them by ids; names lie in PostgreSQL, and a copy of them on every drive.

The copy is `names.json`, kept by the data plane (storage/drive_rounds.py): {"format": 1, "written": ISO time, "buckets": [{"id", "name",
"project", "project_name"}], "keys": [{"id", "number", "name", "sealed"}]}. `keys` are the versions of the projects' encryption keys
(SSE-KMS), sealed with the box's master key: with that key alone, which is a file to be kept elsewhere, encrypted objects can be read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from storage import expirations, outbox
from storage.drive_list import NAMES as NAME
from storage.engine.drives import Drive

FORMAT = 1
# The store's own queues (storage/expirations.py, storage/outbox.py): buckets that are in no table, and nobody's.
OWN = {expirations.QUEUE: "(objects that end by themselves)", outbox.QUEUE: "(events on their way)"}


@dataclass(frozen=True, slots=True)
class Names:
    """Buckets and keys by id. Without a name a bucket is called by its id."""

    buckets: Mapping[UUID, Mapping[str, Any]] = field(default_factory=dict)
    keys: Mapping[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)

    def of(self, bucket: UUID) -> str:
        known = self.buckets.get(bucket)
        return str(known["name"]) if known else OWN.get(bucket, str(bucket))

    def called(self, name: str) -> set[UUID]:
        """The buckets of that name or id."""
        return {id for id, known in self.buckets.items() if known["name"] == name} | _as_id(name)


def _as_id(text: str) -> set[UUID]:
    try:
        return {UUID(text)}
    except ValueError:
        return set()


def parsed(raw: bytes) -> tuple[str, Names]:
    """When they were written, and the names. Raises ValueError for what is no such file."""
    document = json.loads(raw)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"this is no {NAME} of a format that is known here")
    buckets = {UUID(one["id"]): one for one in document["buckets"]}
    keys = {(str(UUID(one["id"])), int(one["number"])): one for one in document.get("keys", ())}
    return str(document.get("written", "")), Names(buckets, keys)


def from_drives(drives: Iterable[Drive]) -> Names:
    """The newest copy that can be read; no names if there is none."""
    best: tuple[str, Names] = ("", Names())
    for drive in drives:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            raw = drive.load(NAME)
            if raw is not None:
                best = max(best, parsed(raw), key=lambda found: found[0])
    return best[1]


def from_file(path: Path) -> Names:
    """A copy that somebody has kept, or a plain {"id": "name"}. Raises OSError, ValueError."""
    raw = path.read_bytes()
    document = json.loads(raw)
    if isinstance(document, dict) and "format" not in document:
        return Names({UUID(id): {"id": id, "name": str(name)} for id, name in document.items()})
    return parsed(raw)[1]
