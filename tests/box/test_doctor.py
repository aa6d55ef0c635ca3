"""The doctor, with healthy and with simulated sick hosts; and the checks of the home that `up` shares with it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from cloudbox.box import doctor, host, packages
from cloudbox.box.paths import CHECKOUT, Box
from cloudbox.box.shell import Failed


def finding(box: Box, name: str, port: int | None = None) -> doctor.Finding:
    return next(each for each in doctor.examine(box, port) if each.name == name)


def test_every_remark_has_a_remedy(tmp_path: Path) -> None:
    """Whatever this host is like, what is not good says what to do about it."""
    for each in doctor.examine(Box(tmp_path)):
        assert each.level in ("good", "slow", "stops")
        assert each.text
        assert bool(each.remedy) == (each.level != "good"), each


def test_a_taken_port_stops_and_names_its_holder(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        seen = finding(Box(tmp_path), "port", port)
        assert seen.level == "stops"
        assert f"{port} is taken" in seen.text
        assert "--port" in seen.remedy
        with pytest.raises(Failed, match="is taken"):
            host.choose_port(Box(tmp_path), port)


def test_a_long_home_stops() -> None:
    """A Unix socket's path has room for 107 bytes."""
    seen = finding(Box(Path("/srv/" + "long" * 15)), "home")
    assert seen.level == "stops"
    assert "too long" in seen.text


def test_a_closed_home_stops() -> None:
    """A home below a folder that others may not enter: the web's user would not get there."""
    with tempfile.TemporaryDirectory() as closed, pytest.raises(Failed, match="closed to other users"):
        host.check_home(Box(Path(closed) / "home"))


def test_a_home_with_a_space_stops() -> None:
    with pytest.raises(Failed, match="space or a comma"):
        host.check_home(Box(Path("/srv/my box")))


def test_a_full_disk_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**12, 10**12, 10**9))
    assert finding(Box(tmp_path), "disk").level == "stops"


def test_a_kernel_without_bridges_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One feature that cannot be made is named."""
    if os.geteuid():
        pytest.skip("only root can look")
    monkeypatch.setitem(doctor.KERNEL, "bridges", "ip link add name x type no_such_kind")
    seen = finding(Box(tmp_path), "kernel")
    assert seen.level == "stops"
    assert "lacks bridges" in seen.text
    assert "modprobe" in seen.remedy


def test_apt_out_of_reach_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda names: ["redis-server"])
    monkeypatch.setattr(packages, "apt_reachable", lambda: "no answer from the archive")
    seen = finding(Box(tmp_path), "packages")
    assert seen.level == "stops"
    assert "no answer" in seen.text


def test_a_check_that_breaks_is_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that raises is reported; the other checks go on."""

    def broken(box: Box, port: int | None) -> doctor.Finding:
        raise RuntimeError("no such file")

    monkeypatch.setattr(doctor, "CHECKS", (broken, doctor._disk))
    names = [(each.name, each.level) for each in doctor.examine(Box(tmp_path))]
    assert names[0] == ("broken", "slow")
    assert names[1][0] == "disk"


def test_exit_status_and_json(tmp_path: Path) -> None:
    """`doctor --json` is data, and its exit status says whether something would stop a box."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        argv = [CHECKOUT / "bin" / "cloudbox", "doctor", "--json", "--home", str(tmp_path), "--port", str(other.getsockname()[1])]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert any(each["name"] == "port" and each["level"] == "stops" for each in json.loads(done.stdout))


def test_a_host_that_uses_the_box_s_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carrier-grade NAT addresses on the host: the way out has no room; a box's own routes do not count."""

    def routes(*rows: dict[str, str]) -> None:
        monkeypatch.setattr(doctor, "output", lambda argv: json.dumps([{"dst": "default", "dev": "eth0"}, *rows]))

    for rows, level in (
        ([], "good"),
        ([{"dst": "100.127.0.0/16", "dev": "cbx-up"}, {"dst": "100.127.4.0/30", "dev": "eth1"}], "good"),
        ([{"dst": "100.126.0.0/16", "dev": "eth1"}], "slow"),
        ([{"dst": "100.64.0.0/10", "dev": "wan0"}], "stops"),
    ):
        routes(*rows)
        assert finding(Box(tmp_path), "addresses").level == level, rows
    assert "100.64.0.0/10 on wan0" in finding(Box(tmp_path), "addresses").text
