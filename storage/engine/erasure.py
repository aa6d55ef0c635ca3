"""Erasure codes: a body as k data and m parity fragments, any k of which give it back. Reed-Solomon with Cauchy matrices, by ISA-L.

A body is cut into stripes of k blocks of 256 KiB: block n of a stripe lies in fragment n, so a range is read from the fragments that hold
it. The last stripe has shorter blocks, whole pages of equal length, filled up with zeros. All fragments are therefore of one length.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache

from pyeclib.ec_iface import ECDriver

from storage.engine.extents import BLOCK_BYTES, padded

# ISA-L is reached by a library that puts a header on each fragment. It says nothing but number and length, so we leave it out on drives.
_HEADER_BYTES = 80


class Code:
    """`data` + `parity` fragments. Thread-safe."""

    def __init__(self, data: int, parity: int) -> None:
        self.data, self.parity, self.fragments = data, parity, data + parity
        self.stripe_bytes = data * BLOCK_BYTES
        # Cauchy matrices can be inverted for every choice of fragments; Vandermonde ones cannot.
        self._driver = ECDriver(k=data, m=parity, ec_type="isa_l_rs_cauchy")
        self._headers = cache(self._make_headers)

    def _make_headers(self, unit: int) -> list[bytes]:
        return [fragment[:_HEADER_BYTES] for fragment in self._driver.encode(bytes(self.data * unit))]

    def unit(self, length: int) -> int:
        """Bytes per fragment of a stripe that holds so many bytes of the body."""
        return BLOCK_BYTES if length >= self.stripe_bytes else padded(-(-length // self.data))

    def fragment_bytes(self, size: int) -> int:
        """Of each fragment of a body."""
        whole, rest = divmod(size, self.stripe_bytes)
        return whole * BLOCK_BYTES + self.unit(rest)

    def stripes(self, size: int) -> Iterator[tuple[int, int]]:
        """Where each stripe of so many bytes begins, and its unit."""
        for start in range(0, size, self.stripe_bytes):
            yield start, self.unit(min(self.stripe_bytes, size - start))

    def encode(self, stripe: bytes) -> list[memoryview]:
        """The parity blocks of a stripe, of `data` units."""
        return [memoryview(fragment)[_HEADER_BYTES:] for fragment in self._driver.encode(stripe)[self.data :]]

    def rebuild(self, blocks: Mapping[int, bytes], wanted: Collection[int]) -> dict[int, bytes]:
        """Those wanted blocks of a stripe, from at least `data` of them by number."""
        missing = [number for number in wanted if number not in blocks]
        found = {number: blocks[number] for number in wanted if number in blocks}
        if missing:
            unit = len(next(iter(blocks.values())))
            headers = self._headers(unit)
            known = [headers[number] + block for number, block in sorted(blocks.items())[: self.data]]
            for number, fragment in zip(missing, self._driver.reconstruct(known, missing), strict=True):
                found[number] = fragment[_HEADER_BYTES:]
        return found


@cache
def code(data: int, parity: int) -> Code:
    return Code(data, parity)
