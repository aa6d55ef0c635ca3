"""`pin`: compile requirements/*.in into pinned versions with hashes, by uv in an environment thrown away afterwards."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from cloudbox.box.paths import CHECKOUT, Box
from cloudbox.box.shell import Word, run

# The oldest Python of the supported distributions; `--universal` adds markers for the newer ones.
PYTHON = "3.11"


def pin(box: Box, args: argparse.Namespace) -> None:
    requirements = CHECKOUT / "requirements"
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        run(["/usr/bin/python3", "-m", "venv", venv], log=print)
        run([venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], log=print)
        for name in ("box", "dev"):
            compile_: list[Word] = [venv / "bin" / "uv", "pip", "compile", "--universal", "--python-version", PYTHON, "--generate-hashes"]
            run([*compile_, "--no-emit-index-url", "--quiet", f"{name}.in", "-o", f"{name}.txt"], log=print, cwd=requirements)
            print(f"requirements/{name}.txt is up to date")
