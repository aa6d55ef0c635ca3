"""Spare segments: the files of segments that nothing needs any more, kept to become new ones.

Their blocks have been written before, so a durable write into them needs no commit of the file system's journal, and nobody has to fill
them with zeros first. Records that still lie in one name the segment it was, and never match the one it becomes.

A spare lies in the folder `spares` of its drive, named after the moment at which it was put there. It is left alone for a while: a
process that has just looked up a body in the segment that it was may be about to read it (and finds by its checksum that it is gone), or
to put a bad copy right. Spares are few, and there are none on a drive that is getting full.
"""

from __future__ import annotations

import contextlib
import logging

from storage.engine.clock import Clock
from storage.engine.drives import File
from storage.engine.members import Bay, Members

log = logging.getLogger(__name__)

FOLDER = "spares"
KEPT_MAX = 4  # On each drive.
QUIET_SECONDS = 60.0
ROOM_FACTOR = 16  # There must be free so many times what one holds.
WRITTEN_SHARE = 0.9  # Of its blocks that have been written: else a new file, filled with zeros, is as good.


class Spares:
    """Those of all drives, as one worker sees them; other workers take from the same folders."""

    def __init__(self, members: Members, clock: Clock, *, kept_max: int = KEPT_MAX, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._members, self._clock = members, clock
        self._kept_max, self._quiet = kept_max, int(quiet_seconds * 1e9)

    def retire(self, bay: Bay, path: str, *, capacity: int, written: int) -> None:
        """Take a segment's file away, into the spares if it is fit for one. No error if it is not there. Raises OSError."""
        if capacity and written >= WRITTEN_SHARE * capacity and self._room(bay, capacity):
            try:
                if bay.drive.open(path).size() == capacity:
                    bay.drive.move(path, f"{FOLDER}/{self._clock.stamp():016x}")
                    return
            except FileNotFoundError:
                pass  # Then there is nothing to remove either, unless the drive is gone, which `remove` finds.
        bay.drive.remove(path)

    def _room(self, bay: Bay, capacity: int) -> bool:
        return bay.space()[0] >= ROOM_FACTOR * capacity and len(bay.drive.names(FOLDER)) < self._kept_max

    def take(self, bay: Bay, path: str, capacity: int) -> File | None:
        """The oldest spare of that capacity, under its new name; None if there is none. What lies in it is old."""
        try:
            for name in sorted(bay.drive.names(FOLDER)):
                if self._clock.stamp() - int(name.rpartition("/")[2], 16) < self._quiet:
                    break
                with contextlib.suppress(FileNotFoundError):  # Another worker was faster.
                    bay.drive.move(name, path)
                    file = bay.drive.open(path, write=True)
                    if file.size() == capacity:
                        return file
                    file.close()
                    bay.drive.remove(path)
        except (OSError, ValueError) as error:
            log.info("drive %s gave no spare segment: %s", bay.label, error)
        return None

    def release(self, *, all: bool = False) -> int:
        """Give the room back on drives that are getting full, or on `all`; how many were removed."""
        removed = 0
        for bay in list(self._members.bays.values()):
            with contextlib.suppress(OSError):
                for name in bay.drive.names(FOLDER):
                    file = bay.drive.open(name)
                    if all or bay.space()[0] < ROOM_FACTOR * file.size():
                        file.close()
                        bay.drive.remove(name)
                        removed += 1
        return removed
