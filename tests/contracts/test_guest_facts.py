"""Whatever a guest's agent tells becomes a small record of clean text, or is left out."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as some

from compute.drivers.guest_facts import LIST_MAX, TEXT_MAX, GuestCard, GuestFacts, GuestFileSystem, parse

TOLD = {
    "hostname": "web",
    "os.pretty-name": "Debian GNU/Linux 12",
    "os.id": "debian",
    "os.kernel-release": "6.1.0",
    "timezone.name": "UTC",
    "fs.count": 1,
    "fs.0.mountpoint": "/",
    "fs.0.name": "vda1",
    "fs.0.fstype": "ext4",
    "fs.0.total-bytes": 1000,
    "fs.0.used-bytes": 10,
    "if.count": 1,
    "if.0.name": "eth0",
    "if.0.hwaddr": "52:54:00:00:00:01",
    "if.0.addr.count": 2,
    "if.0.addr.0.addr": "10.0.0.5",
    "if.0.addr.0.prefix": 24,
    "if.0.addr.1.addr": "fe80::1",
    "if.0.addr.1.prefix": 64,
}


def test_what_an_honest_agent_tells() -> None:
    assert parse(TOLD) == GuestFacts(
        hostname="web",
        os="Debian GNU/Linux 12",
        os_id="debian",
        kernel="6.1.0",
        time_zone="UTC",
        file_systems=(GuestFileSystem(mountpoint="/", type="ext4", disk="vda1", total_bytes=1000, used_bytes=10),),
        cards=(GuestCard(name="eth0", mac="52:54:00:00:00:01", addresses=("10.0.0.5/24", "fe80::1/64")),),
    )


def test_lists_end_and_texts_are_cut() -> None:
    told = {"fs.count": 2**40, "if.count": 10**9, "hostname": "\x1b[2J" + "x" * 10**6, "os.name": "a\u202eb\x00c"}
    told |= {f"fs.{n}.mountpoint": f"/{n}" for n in range(500)} | {f"if.{n}.name": "e" for n in range(500)}
    told |= {"if.0.addr.count": 500, **{f"if.0.addr.{n}.addr": "10.0.0.1" for n in range(500)}, "if.0.addr.0.prefix": 24}
    found = parse(told)
    assert (len(found.file_systems), len(found.cards), len(found.hostname)) == (LIST_MAX, LIST_MAX, TEXT_MAX)
    assert found.os == "abc"
    assert found.cards[0].addresses == ("10.0.0.1/24",)


VALUES = some.none() | some.booleans() | some.integers() | some.text(max_size=200) | some.floats() | some.lists(some.integers(), max_size=2)


@given(some.fixed_dictionaries({}, optional=dict.fromkeys(TOLD, VALUES)))
def test_nothing_breaks_it(told: dict[str, object]) -> None:
    """Any value under any name: a record that JSON and PostgreSQL can hold, smaller than a page."""
    text = json.dumps(parse(told).as_json())
    assert "\\u0000" not in text
    assert len(text) < 8192
