"""Trials that every job must pass: fail at each step, before and after it has happened; run each step twice; die at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from cloudbox.common import jobs
from cloudbox.common.errors import Conflict
from cloudbox.common.jobs import Run, Step

Wrapper = Callable[[Callable[[Run], None]], Callable[[Run], None]]


class Killed(BaseException):
    """The worker dies: nothing of ours catches this."""


@contextmanager
def changed(kind: str, wrap: Wrapper, *, step: int | None = None) -> Iterator[None]:
    """While it lasts, the step (or every step) of this kind of job is wrapped."""
    before = jobs.registry.kinds[kind]
    steps = tuple(replace(each, do=wrap(each.do)) if step in (None, number) else each for number, each in enumerate(before.steps))
    jobs.registry.kinds[kind] = replace(before, steps=steps)
    try:
        yield
    finally:
        jobs.registry.kinds[kind] = before


def fail_before(do: Callable[[Run], None]) -> Callable[[Run], None]:
    def broken(run: Run) -> None:
        raise Conflict("The trial made this step fail.")

    return broken


def fail_after(do: Callable[[Run], None]) -> Callable[[Run], None]:
    """The step has happened, and its answer was lost."""

    def broken(run: Run) -> None:
        do(run)
        raise RuntimeError("the trial lost the answer of this step")

    return broken


def twice(do: Callable[[Run], None]) -> Callable[[Run], None]:
    def again(run: Run) -> None:
        do(run)
        do(run)

    return again


def die_once(do: Callable[[Run], None]) -> Callable[[Run], None]:
    """The worker is killed after the step, before anybody wrote that it is done."""
    died = False

    def killed(run: Run) -> None:
        nonlocal died
        do(run)
        if not died:
            died = True
            raise Killed

    return killed


def steps_of(kind: str) -> tuple[Step, ...]:
    return jobs.registry.kinds[kind].steps
