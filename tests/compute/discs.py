"""A reader of discs for tests, which knows of ECMA-119, Rock Ridge and Joliet what it needs to find every file again."""

from __future__ import annotations

import struct

SECTOR = 2048


def read(disc: bytes, *, joliet: bool) -> tuple[str, dict[str, bytes]]:
    """Its label and its files, by their Rock Ridge or their Joliet names."""
    wanted = 2 if joliet else 1
    head = next(disc[at : at + SECTOR] for at in range(16 * SECTOR, len(disc), SECTOR) if disc[at] == wanted)
    assert head[1:6] == b"CD001"
    assert struct.unpack_from("<I", head, 80)[0] * SECTOR == len(disc)
    _check_path_table(disc, head, joliet=joliet)
    label = head[40:72].decode("utf-16-be" if joliet else "ascii").strip()
    return label, dict(_walk(disc, head[156:190], "", joliet))


def _both(data: bytes, at: int) -> int:
    little, big = struct.unpack_from("<I", data, at)[0], struct.unpack_from(">I", data, at + 4)[0]
    assert little == big
    return int(little)


def _check_path_table(disc: bytes, head: bytes, *, joliet: bool) -> None:
    """Every entry names a directory whose first record points at itself, in both byte orders."""
    size, little, big = _both(head, 132), struct.unpack_from("<I", head, 140)[0], struct.unpack_from(">I", head, 148)[0]
    for order, place in (("<", little), (">", big)):
        table, at, parents = disc[place * SECTOR : place * SECTOR + size], 0, []
        while at < len(table):
            length = table[at]
            extent, parent = struct.unpack_from(f"{order}IH", table, at + 2)
            parents.append(parent)
            assert _both(disc, extent * SECTOR + 2) == extent
            at += 8 + length + length % 2
        assert parents == sorted(parents)
        assert parents[0] == 1


def _walk(disc: bytes, record: bytes, path: str, joliet: bool):  # type: ignore[no-untyped-def]
    start, size = _both(record, 2) * SECTOR, _both(record, 10)
    at = start
    while at < start + size:
        length = disc[at]
        if not length:
            at += SECTOR - at % SECTOR
            continue
        assert at % SECTOR + length <= SECTOR
        one = disc[at : at + length]
        at += length
        name = one[33 : 33 + one[32]]
        if name in (b"\x00", b"\x01"):
            continue
        is_directory = bool(one[25] & 2)
        text = name.decode("utf-16-be").removesuffix(";1") if joliet else _rock_ridge(one[33 + one[32] + (one[32] % 2 == 0) :])
        if is_directory:
            yield from _walk(disc, one, f"{path}{text}/", joliet)
        else:
            place = _both(one, 2) * SECTOR
            yield path + text, disc[place : place + _both(one, 10)]


def _rock_ridge(extra: bytes) -> str:
    while len(extra) >= 4:
        if extra[:2] == b"NM":
            return extra[5 : extra[2]].decode()
        extra = extra[extra[2] :]
    raise AssertionError("A record without its name.")
