"""The supervisor, with real processes: it restarts, it pauses, it stops in order, and it never signals a stranger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cloudbox.box import control, proc
from cloudbox.box.supervisor import rotate
from tests.box.conftest import Supervised


def program(name: str, script: str = "exec sleep 600", **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": ["/bin/sh", "-c", script], **more}


def test_a_killed_child_runs_again(supervised: Supervised) -> None:
    """kill -9 of a child: another process stands in its place, and the restart is counted."""
    supervised.begin(program("one"))
    control.ask(supervised.box, "start", ["one"])
    first = supervised.until(lambda: supervised.of("one")["pid"])
    os.kill(first, signal.SIGKILL)
    supervised.until(lambda: supervised.running("one") and supervised.of("one")["pid"] != first)
    record = supervised.of("one")
    assert record["restarts"] == 1
    assert record["last_exit"] == "killed by signal 9"


def test_pauses_grow(supervised: Supervised) -> None:
    """A program that ends at once is tried after 0.5 s, then 1 s, then 2 s: three tries take at least 1.5 s."""
    began = time.monotonic()
    supervised.begin(program("bad", "exit 3"))
    control.ask(supervised.box, "start", ["bad"])
    supervised.until(lambda: supervised.of("bad")["restarts"] >= 3)
    assert time.monotonic() - began >= 1.5
    assert "again in 0.5 s" in supervised.log()
    assert "again in 1.0 s" in supervised.log()
    assert supervised.of("bad")["last_exit"] == "exited with 3"


def test_what_cannot_be_run_waits(supervised: Supervised) -> None:
    """A program that is not there leaves the supervisor alive and says why."""
    supervised.begin({"name": "none", "argv": ["/no/such/program"]}, program("one"))
    control.ask(supervised.box, "start", ["none", "one"])
    supervised.until(lambda: supervised.running("one"))
    assert supervised.of("none")["state"] == "waiting"
    assert "No such file" in supervised.of("none")["last_exit"]


def test_stops_downwards_through_the_order(supervised: Supervised) -> None:
    """The database (order 0) is asked to end only after the web (order 2) has ended."""
    script = "trap 'echo {0} >>{1}; exit 0' TERM; : >{1}-{0}; while :; do sleep 0.05; done"
    list_ = supervised.box.home / "ended"
    traps = [supervised.box.home / f"ended-{name}" for name in ("database", "web")]
    supervised.begin(
        program("database", script.format("database", list_), order=0),
        program("web", script.replace("echo", "sleep 0.4; echo").format("web", list_), order=2),
    )
    control.ask(supervised.box, "start", ["database", "web"])
    supervised.until(lambda: supervised.running("database") and supervised.running("web") and all(trap.exists() for trap in traps))
    assert control.quit_supervisor(supervised.box, timeout_seconds=10)
    assert list_.read_text().split() == ["web", "database"]


def test_a_deaf_child_is_killed_at_its_deadline(supervised: Supervised) -> None:
    """Who ignores SIGTERM is killed after its stop_seconds."""
    trap = supervised.box.home / "trap"
    supervised.begin(program("deaf", f"trap '' TERM; : >{trap}; while :; do sleep 0.1; done", stop_seconds=0.5))
    control.ask(supervised.box, "start", ["deaf"])
    supervised.until(lambda: supervised.running("deaf") and trap.exists())
    control.ask(supervised.box, "stop", ["deaf"])
    supervised.until(lambda: supervised.of("deaf")["state"] == "stopped")
    assert "did not end within" in supervised.log()
    assert supervised.of("deaf")["last_exit"] == "killed by signal 9"


def test_children_of_a_dead_leader_end_too(supervised: Supervised) -> None:
    """A main process that was killed leaves no worker behind to hold its port."""
    supervised.begin(program("web", "sleep 612 & echo $! >$0.pid; wait".replace("$0", str(supervised.box.home / "inner"))))
    control.ask(supervised.box, "start", ["web"])
    file = supervised.box.home / "inner.pid"
    inner = int(supervised.until(lambda: file.exists() and file.read_text().strip()))
    leader = supervised.of("web")["pid"]
    os.kill(leader, signal.SIGKILL)
    supervised.until(lambda: proc.start_ticks(inner) is None)


def test_children_survive_where_they_should(supervised: Supervised) -> None:
    """group=False, as for libvirtd: what the killed daemon started (guests) goes on."""
    file = supervised.box.home / "inner.pid"
    supervised.begin(program("libvirtd", f"sleep 5 & echo $! >{file}; wait", group=False))
    control.ask(supervised.box, "start", ["libvirtd"])
    inner = int(supervised.until(lambda: file.exists() and file.read_text().strip()))
    leader = supervised.of("libvirtd")["pid"]
    os.kill(leader, signal.SIGKILL)
    supervised.until(lambda: supervised.of("libvirtd")["restarts"] == 1)
    assert proc.start_ticks(inner) is not None
    os.kill(inner, signal.SIGKILL)


@pytest.mark.slow
def test_what_is_left_behind_is_taken_in(supervised: Supervised) -> None:
    """A daemon's child outlives it and becomes the supervisor's; it is buried when it ends. When the supervisor quits, another such
    child goes too, a deaf one as well: nothing of the box is left."""
    one, other = supervised.box.home / "one.pid", supervised.box.home / "other.pid"
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    script = f'sleep 614 & echo $! >{one}; setsid sh -c "{deaf}" & echo $! >{other}; wait'
    supervised.begin(program("libvirtd", script, group=False))
    assert supervised.process is not None
    control.ask(supervised.box, "start", ["libvirtd"])
    first = int(supervised.until(lambda: one.exists() and one.read_text().strip()))
    second = int(supervised.until(lambda: other.exists() and other.read_text().strip()))
    leader = supervised.of("libvirtd")["pid"]
    control.ask(supervised.box, "stop", ["libvirtd"])
    supervised.until(lambda: supervised.of("libvirtd")["state"] == "stopped")
    assert not Path(f"/proc/{leader}").exists()
    assert {first, second} <= proc.children(supervised.process.pid)
    os.kill(first, signal.SIGKILL)
    supervised.until(lambda: not Path(f"/proc/{first}").exists())
    assert control.quit_supervisor(supervised.box, timeout_seconds=20)
    assert not Path(f"/proc/{second}").exists()
    assert "left behind" in supervised.log()


def test_a_new_supervisor_takes_over(supervised: Supervised) -> None:
    """kill -9 of the supervisor: its child runs on, the next one knows it again and watches it."""
    supervised.begin(program("one"))
    control.ask(supervised.box, "start", ["one"])
    pid = supervised.until(lambda: supervised.of("one")["pid"])
    assert supervised.process is not None
    supervised.process.kill()
    supervised.process.wait()
    assert proc.start_ticks(pid) is not None
    assert control.recorded(supervised.box)["one"]["state"] == "running"
    supervised.begin(program("one"))
    assert supervised.of("one")["pid"] == pid
    os.kill(pid, signal.SIGKILL)
    supervised.until(lambda: supervised.running("one") and supervised.of("one")["pid"] != pid)


def test_a_stranger_is_never_signalled(supervised: Supervised) -> None:
    """The state file names a living process with another start time, as after a reboot: it is neither adopted nor ended."""
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        record = {
            "state": "running",
            "wanted": True,
            "pid": stranger.pid,
            "ticks": 12345,
            "started_at": 1.0,
            "restarts": 0,
            "last_exit": "",
        }
        (supervised.box.run / "supervisor.json").write_text(json.dumps({"boot": proc.boot(), "components": {"one": record}}))
        assert control.recorded(supervised.box)["one"]["state"] == "stopped"
        supervised.begin(program("one"))
        assert supervised.of("one")["pid"] is None
        control.ask(supervised.box, "stop", ["one"])
        control.quit_supervisor(supervised.box, timeout_seconds=10)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_after_a_reboot_nobody_is_known(supervised: Supervised) -> None:
    """The state file is of another boot: even a process with the very number and start time is a stranger."""
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        record = {"state": "running", "pid": stranger.pid, "ticks": proc.start_ticks(stranger.pid), "started_at": 1.0, "restarts": 0}
        (supervised.box.run / "supervisor.json").write_text(json.dumps({"boot": "another", "components": {"one": record}}))
        assert control.recorded(supervised.box)["one"]["state"] == "stopped"
        supervised.begin(program("one"))
        assert supervised.of("one")["pid"] is None
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_one_supervisor_per_home(supervised: Supervised) -> None:
    """The second ends at once and says so; the first goes on."""
    supervised.begin(program("one"))
    first = supervised.process
    assert first is not None
    supervised.begin(program("one"))
    assert supervised.process is not None
    assert supervised.process.wait(10) == 3
    assert "another supervisor has this home" in supervised.log()
    assert first.poll() is None
    supervised.process = first


def test_nonsense_on_the_socket_is_answered(supervised: Supervised) -> None:
    """A word that is no order is refused; the supervisor goes on."""
    supervised.begin(program("one"))
    answer = control.ask(supervised.box, "start", ["no such component"])
    assert answer is not None
    assert "not understood" in answer["error"]
    assert supervised.of("one")["state"] == "stopped"


def test_long_logs_are_moved_aside(supervised: Supervised) -> None:
    """A log past its size becomes .1, the one before .2, and its writer goes on at the new beginning."""
    log = supervised.box.logs / "web.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 100)
        rotate([log], bytes_max=50)
        writer.write(b"b" * 100)
        rotate([log], bytes_max=50)
        writer.write(b"c")
    assert log.read_bytes() == b"c"
    assert (supervised.box.logs / "web.log.1").read_bytes() == b"b" * 100
    assert (supervised.box.logs / "web.log.2").read_bytes() == b"a" * 100
