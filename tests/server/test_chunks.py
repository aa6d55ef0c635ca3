"""The chunked coding by itself, cut in every way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from storage.server.chunks import ChunkDecoder


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=30), st.lists(st.integers(1, 9), min_size=1, max_size=80)
)
def test_pieces_and_what_follows_them(chunks: list[bytes], after: bytes, cuts: list[int]) -> None:
    wire = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nA: b\r\n\r\n" + after
    decoder, got, rest = ChunkDecoder(), b"", b""
    while wire:
        size = cuts.pop(0) if cuts else len(wire)
        piece, wire = wire[:size], wire[size:]
        if decoder.ended:
            rest += piece
            continue
        pieces, more = decoder.feed(piece)
        got += b"".join(pieces)
        rest += more
        assert decoder.ended or not more
    assert (got, rest, decoder.ended) == (b"".join(chunks), after, True)
