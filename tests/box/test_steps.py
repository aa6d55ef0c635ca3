"""The table of steps: order, what is done already, what happens when one fails."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from cloudbox.box.shell import Failed, run
from cloudbox.box.steps import Step, explain, run_steps


def note(name: str, into: list[str]) -> Step:
    return Step(name, name, lambda log: into.append(name))


def test_steps_run_after_what_they_need(tmp_path: Path) -> None:
    """c needs b needs a: they run in that order, whatever the number of workers."""
    ran: list[str] = []
    steps = [
        Step("a", "a", lambda log: ran.append("a")),
        Step("b", "b", lambda log: ran.append("b"), needs=("a",)),
        Step("c", "c", lambda log: ran.append("c"), needs=("a", "b")),
    ]
    outcomes = run_steps(steps, log_path=tmp_path / "log", out=io.StringIO())
    assert ran == ["a", "b", "c"]
    assert [outcome.state for outcome in outcomes] == ["done"] * 3


def test_independent_steps_run_side_by_side(tmp_path: Path) -> None:
    """Two steps that wait for one another can only end when both run at once."""
    meeting = threading.Barrier(2, timeout=5)
    steps = [Step(name, name, lambda log: meeting.wait() and None) for name in "ab"]
    assert {outcome.state for outcome in run_steps(steps, log_path=tmp_path / "log", out=io.StringIO())} == {"done"}


def test_what_is_done_is_left_alone(tmp_path: Path) -> None:
    """A step whose look says done does nothing, and the table shows it with "="."""
    ran: list[str] = []
    out = io.StringIO()
    outcomes = run_steps([Step("a", "The thing", lambda log: ran.append("a"), done=lambda: True)], log_path=tmp_path / "log", out=out)
    assert ran == []
    assert outcomes[0].state == "already"
    assert "= The thing" in out.getvalue()


def test_after_a_failure_nothing_new_begins_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """b fails at first: c does not run. Mended, the second run does b and c, but not a again."""
    done: set[str] = set()
    broken = [True]

    def do(name: str) -> None:
        if name == "b" and broken[0]:
            raise Failed("the cable is out", tail=["line one", "line two"])
        done.add(name)

    def table() -> list[Step]:
        return [
            Step("a", "A", lambda log: do("a"), done=lambda: "a" in done),
            Step("b", "B", lambda log: do("b"), done=lambda: "b" in done, needs=("a",), remedy="plug it in"),
            Step("c", "C", lambda log: do("c"), done=lambda: "c" in done, needs=("b",)),
        ]

    first = run_steps(table(), log_path=tmp_path / "log", out=io.StringIO())
    assert [(each.name, each.state) for each in first] == [("a", "done"), ("b", "failed")]
    text = explain(table(), first, log_path=tmp_path / "log", again="bin/cloudbox up")
    for part in ("B failed: the cable is out", "line two", "What to do: plug it in", "Then run bin/cloudbox up again"):
        assert part in text
    broken[0] = False
    second = run_steps(table(), log_path=tmp_path / "log", out=io.StringIO())
    assert [(each.name, each.state) for each in second] == [("a", "already"), ("b", "done"), ("c", "done")]


def test_the_unforeseen_ends_in_a_sentence(tmp_path: Path) -> None:
    """An exception nobody planned for is a failed step, not a traceback."""
    outcomes = run_steps([Step("a", "A", lambda log: print(1 / 0))], log_path=tmp_path / "log", out=io.StringIO())
    assert outcomes[0].error is not None
    assert "division by zero" in outcomes[0].error.message


def test_a_table_cannot_need_what_comes_later(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run_steps([Step("a", "A", lambda log: None, needs=("b",))], log_path=tmp_path / "log")


def test_a_failing_program_brings_its_last_words(tmp_path: Path) -> None:
    """The error of a program holds its status and its last lines."""
    with pytest.raises(Failed) as caught:
        run(["/bin/sh", "-c", "echo before; echo the disk is full >&2; exit 4"], log=lambda line: None)
    assert "status 4" in caught.value.message
    assert caught.value.tail == ["before", "the disk is full"]


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(Failed, match="did not end within"):
        run(["/bin/sleep", "30"], log=lambda line: None, timeout_seconds=0.3)
