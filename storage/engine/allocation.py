"""How this process gets memory for blocks: from what it has already, instead of fresh pages from the kernel for each.

A block that is read or coded is a new object of 256 KiB to 1 MiB. The C library maps such sizes anew each time and gives them back, and
the kernel's zeroing of their pages costs more than to read and check them.
"""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # As mallopt(3) calls them, in malloc.h of glibc.
KEPT_BYTES = 64 << 20  # What may stay free at the end of the heap,
MAPPED_BYTES = 8 << 20  # and what is large enough to be mapped by itself.


@cache
def keep_freed() -> None:
    """For the whole process, once. Another C library than glibc goes on as it does."""
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
        library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """All that is free to the kernel: after a time without large bodies."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
