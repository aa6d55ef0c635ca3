"""Running a program of the host: no shell, a deadline, and a meaning when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from cloudbox.common.errors import Unavailable

TIMEOUT_SECONDS = 60
ERROR_CHARACTERS = 500

runs = 0  # How many were run: the tests hold `apply` to a constant number of commands.


class CommandFailed(Unavailable):
    """A program of the host ended badly, or not in time; its own words are in the message, for the log."""


def run(argv: Sequence[str], *, input: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> str:
    """Run it to the end and return what it printed."""
    global runs
    runs += 1
    name = next((word for word in argv if not word.startswith("-")), "command").rsplit("/", 1)[-1]
    try:
        done = subprocess.run(
            list(argv),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"The program {name} is not installed on this host.") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"The program {name} did not finish in {timeout_seconds:g} seconds.") from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")[-ERROR_CHARACTERS:]
        raise CommandFailed(f"The program {name} failed: {words}")
    return done.stdout


def works(argv: Sequence[str], *, input: str | None = None) -> bool:
    """Whether it ended well; for questions and for undoing what may not be there."""
    try:
        run(argv, input=input)
    except CommandFailed:
        return False
    return True
