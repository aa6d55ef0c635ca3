"""The box's worker, made to fail at one point: `python -m tests.probe.crashing_worker KIND:STEP:before|amid|after:worker|libvirtd|qemu`.

`before`: the step is written down as begun, nothing of it is done. `after`: all of it is done, nothing of that is written down.
`amid`, of a step that starts a machine: it is started, paused, and about to be resumed.
Killed with SIGKILL there: the worker itself, or the daemon or the guest's process that it was talking to (once; then it goes on).
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from cloudbox.common.jobs import Run, registry  # noqa: E402
from compute import host  # noqa: E402
from compute.jobs import switching  # noqa: E402


def pids(victim: str) -> list[int]:
    """Who is to die."""
    if victim == "worker":
        return [os.getpid()]
    if victim == "libvirtd":
        return [int(os.environ["PROBE_LIBVIRTD_PID"])]
    home = os.environ["CLOUDBOX_HOME"]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"qemu-system" in words[0] and any(home.encode() in word for word in words):
                found.append(int(entry.name))
    return found


def arm(point: str) -> None:
    kind, step, when, victim = point.split(":")
    fired = False

    def strike() -> None:
        nonlocal fired
        if not fired:
            fired = True
            print(f"probe: {point}", flush=True)
            for pid in pids(victim):
                os.kill(pid, signal.SIGKILL)

    def blow(do: Callable[[Run], None]) -> Callable[[Run], None]:
        def wrapped(run: Run) -> None:
            if when == "after":
                do(run)
            strike()
            if when == "before":
                do(run)

        return wrapped

    if when == "amid":
        hypervisor = host.hypervisor()
        resume = hypervisor.resume

        def struck_resume(id: UUID) -> None:
            strike()
            resume(id)

        hypervisor.resume = struck_resume  # type: ignore[method-assign]
        return

    old = registry.kinds[kind]
    steps = [dataclasses.replace(s, do=blow(s.do)) if number == int(step) else s for number, s in enumerate(old.steps)]
    registry.kinds[kind] = dataclasses.replace(old, steps=tuple(steps))


if __name__ == "__main__":
    # The probe's guests are blank: none hears the power button, and a minute for each would be an hour for all.
    switching.STOP_SECONDS = 1
    if len(sys.argv) > 1:
        arm(sys.argv[1])
    call_command("worker")
