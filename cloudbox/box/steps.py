"""A table of steps and what runs it: in order of need, several at a time, each shown with its time.

A step that is already done is skipped, so that running the table again changes nothing and takes seconds, and a run
that failed half way goes on where it stopped.
"""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cloudbox.box.shell import Failed, Log


@dataclass(frozen=True)
class Step:
    """One thing `up` makes true. `done` looks and answers at once; `do` may take long and may say in a few words what it found."""

    name: str
    title: str
    do: Callable[[Log], str | None]
    done: Callable[[], bool] = field(default=lambda: False)
    needs: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class Outcome:
    name: str
    state: str  # done | already | failed
    seconds: float
    error: Failed | None = None


class Report:
    """Prints as steps go: a line for each that ends and, on a terminal, one for what is under way."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self.out = out
        self.quiet = quiet
        self.live = out.isatty() and not quiet
        self.lock = threading.Lock()
        self.running: dict[str, float] = {}

    def started(self, step: Step) -> None:
        with self.lock:
            self.running[step.title] = time.monotonic()
            self._show_running()

    def ended(self, step: Step, outcome: Outcome, note: str) -> None:
        with self.lock:
            self.running.pop(step.title, None)
            mark = {"done": "+", "already": "=", "failed": "!"}[outcome.state]
            self._line(f"  {mark} {step.title:<34} {outcome.seconds:7.1f} s  {note}".rstrip())
            self._show_running()

    def tick(self) -> None:
        with self.lock:
            self._show_running()

    def _line(self, text: str) -> None:
        if not self.quiet:
            self.out.write(("\r\033[K" if self.live else "") + text + "\n")
            self.out.flush()

    def _show_running(self) -> None:
        if self.live:
            now = time.monotonic()
            text = ", ".join(f"{title} ({now - since:.0f} s)" for title, since in self.running.items())
            self.out.write(f"\r\033[K  … {text[:110]}" if text else "\r\033[K")
            self.out.flush()


class LogFile:
    """Everything the steps print, one line at a time, with the step's name in front."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a", errors="replace")
        self.lock = threading.Lock()

    def named(self, name: str) -> Log:
        def log(line: str) -> None:
            with self.lock:
                self.file.write(f"{time.strftime('%H:%M:%S')} {name}: {line}\n")
                self.file.flush()

        return log


def run_steps(steps: Sequence[Step], *, log_path: Path, workers: int = 3, out: TextIO | None = None, quiet: bool = False) -> list[Outcome]:
    """Run the table; after a failure nothing new is begun. The outcomes come in the order in which steps ended."""
    _check(steps)
    report, log_file = Report(out or sys.stdout, quiet=quiet), LogFile(log_path)
    waiting = list(steps)
    finished: set[str] = set()
    outcomes: list[Outcome] = []
    under_way: dict[concurrent.futures.Future[Outcome], Step] = {}
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        while waiting or under_way:
            failed = any(outcome.state == "failed" for outcome in outcomes)
            if failed and not under_way:
                break
            ready = [] if failed else [step for step in waiting if finished.issuperset(step.needs)]
            for step in ready[: workers - len(under_way)]:
                waiting.remove(step)
                under_way[pool.submit(_one, step, report, log_file.named(step.name))] = step
            ended, _ = concurrent.futures.wait(under_way, timeout=1, return_when=concurrent.futures.FIRST_COMPLETED)
            report.tick()
            for future in ended:
                under_way.pop(future)
                outcome = future.result()
                outcomes.append(outcome)
                if outcome.state != "failed":
                    finished.add(outcome.name)
    return outcomes


def _one(step: Step, report: Report, log: Log) -> Outcome:
    began = time.monotonic()
    report.started(step)

    def outcome(state: str, error: Failed | None = None) -> Outcome:
        return Outcome(step.name, state, time.monotonic() - began, error)

    note = ""
    try:
        if step.done():
            result = outcome("already")
        else:
            note = step.do(log) or ""
            result = outcome("done")
    except Failed as error:
        result, note = outcome("failed", Failed(error.message, remedy=error.remedy or step.remedy, tail=error.tail)), "failed"
    except Exception as error:  # what no step foresaw must still end in a sentence
        log(f"unexpected {error!r}")
        result, note = outcome("failed", Failed(f"{type(error).__name__}: {error}", remedy=step.remedy)), "failed"
    report.ended(step, result, note)
    return result


def _check(steps: Sequence[Step]) -> None:
    """A table may only need what stands above it."""
    seen: set[str] = set()
    for step in steps:
        assert step.name not in seen, f"two steps are called {step.name}"
        assert seen.issuperset(step.needs), f"{step.name} needs what does not stand above it"
        seen.add(step.name)


def explain(steps: Sequence[Step], outcomes: Sequence[Outcome], *, log_path: Path, again: str) -> str:
    """What failed, why, what to do: for a person."""
    titles = {step.name: step.title for step in steps}
    lines = []
    for outcome in outcomes:
        if outcome.error is None:
            continue
        lines += ["", f"{titles[outcome.name]} failed: {outcome.error.message}"]
        lines += [f"    {line}" for line in outcome.error.tail]
        if outcome.error.remedy:
            lines.append(f"What to do: {outcome.error.remedy}")
    return "\n".join([*lines, "", f"The whole output is in {log_path}. Then run {again} again: it goes on from here."])
