"""Running other programs: output into a log, its last lines into the error."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Log = Callable[[str], None]
Word = str | os.PathLike[str]
LINES_KEPT = 12


class Failed(Exception):
    """Something could not be done: what happened, and what a person can do about it ("" when a step knows better)."""

    def __init__(self, message: str, *, remedy: str = "", tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.tail = list(tail)


def run(
    argv: Sequence[Word],
    *,
    log: Log,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    stdin: str | None = None,
    timeout_seconds: float = 1800,
) -> str:
    """Run to the end, each line to `log`; return the output, raise Failed with its last lines on a bad exit."""
    words = [os.fspath(word) for word in argv]
    log("$ " + " ".join(words))
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd or "/",
            env={**os.environ, **env} if env else None,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    except FileNotFoundError as error:
        raise Failed(f"{words[0]} is not there") from error
    assert process.stdout is not None
    if stdin is not None and process.stdin is not None:
        process.stdin.write(stdin)
        process.stdin.close()
    late = threading.Timer(timeout_seconds, process.kill)
    late.start()
    tail: deque[str] = deque(maxlen=LINES_KEPT)
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            tail.append(line.rstrip())
            log(line.rstrip())
        code = process.wait()
    finally:
        in_time = late.is_alive()
        late.cancel()
    if code:
        why = f"ended with status {code}" if in_time else f"did not end within {timeout_seconds:.0f} s"
        raise Failed(f"{Path(words[0]).name} {why}", tail=[line for line in tail if line])
    return "".join(lines)


def output(argv: Sequence[Word], *, timeout_seconds: float = 10) -> str | None:
    """The output of a quick look, or None when it cannot be had."""
    try:
        done = subprocess.run([os.fspath(word) for word in argv], capture_output=True, text=True, timeout=timeout_seconds, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
