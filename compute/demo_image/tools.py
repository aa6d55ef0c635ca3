"""Running the host's programs, and the one error of this package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# Where Debian keeps mke2fs; the path of a plain user lacks it.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class BuildError(Exception):
    """The image cannot be built; the text says why, in a sentence."""


def require(programs: Sequence[str], packages: Sequence[str]) -> None:
    """All programs at once, rather than one by one in the middle of the work."""
    missing = [program for program in programs if not shutil.which(program, path=PATH)]
    if missing:
        raise BuildError(f"The demo image needs {', '.join(missing)}. Install them with: apt-get install {' '.join(packages)}")


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """What it printed. A failure says what the program said, without translation."""
    words = [str(word) for word in command]
    settings = {**os.environ, "PATH": PATH, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **(env or {})}
    done = subprocess.run(words, cwd=cwd, env=settings, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise BuildError(f"{words[0]} ended with {done.returncode}: {said or 'it said nothing'}")
    return done.stdout
