"""Erasure-coded extents: fragments of stripes over as many drives as the code has, readable from any `data` of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudbox.common.errors import Unavailable

if TYPE_CHECKING:
    from storage.engine.reader import OpenExtent, Reader


def read_range(reader: Reader, id: bytes, extent: OpenExtent, start: int, length: int) -> bytes:
    raise Unavailable("Erasure-coded bodies are not read yet.")
