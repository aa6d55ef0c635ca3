"""A table in memory shared by all processes that serve or change buckets: when each name was last changed.

A worker's cache must not serve a bucket's old policy after another worker has answered that the new one is stored. PostgreSQL's notices
come soon, but not before the next request. So whoever has committed a change stamps the name's slot here, and a cached entry is good
only while its slot still shows what it showed when the entry was loaded. A look costs a tenth of a microsecond.
"""

from __future__ import annotations

import mmap
import os
import time
import zlib
from pathlib import Path

SLOTS = 1 << 14  # Names share slots by digest; sharing costs a needless reload, nothing else.
_BYTES = SLOTS * 8


class Generations:
    """One process's view of the table in `path`, which it makes if it is not there."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            if os.fstat(fd).st_size < _BYTES:
                os.ftruncate(fd, _BYTES)
            self._map = mmap.mmap(fd, _BYTES)
        finally:
            os.close(fd)
        self._slots = memoryview(self._map).cast("Q")

    def of(self, name: str) -> int:
        return self._slots[zlib.crc32(name.encode()) & (SLOTS - 1)]

    def bump(self, name: str) -> None:
        """After the commit. Unique, so two changes at once cannot look like one."""
        self._slots[zlib.crc32(name.encode()) & (SLOTS - 1)] = time.monotonic_ns()

    def close(self) -> None:
        self._slots.release()
        self._map.close()
