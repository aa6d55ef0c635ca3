"""`test`: makes sure of what the checks need, then runs them all, and ends with one line for each.

The quick tests run on all cores, each worker of pytest in a home of its own (tests/plugin.py). Tests of real machines run one after
another, since they share what a host has one of, and those of the browser do so beside them: machines mostly wait, a browser computes.
What takes minutes by itself is marked `long`, and runs when it is named: `test tests/life`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cloudbox.box import environments, packages
from cloudbox.box.paths import CACHE, CHECKOUT, Box
from cloudbox.box.shell import Failed, Log
from cloudbox.box.steps import Step, explain, run_steps

LINES_SHOWN = 60
WORKERS_MAX = 8
QUICK, MACHINES, BROWSER = "not machines and not browser", "machines and not long", "browser and not machines"
FAST = ["-m", f"{QUICK} and not slow", "--hypothesis-profile", "fast"]
SLOWEST = ["--durations", "20", "--durations-min", "5"]  # So that a run that takes too long says where.


@dataclass(frozen=True)
class Result:
    """How one part went. `text` is shown when it failed; of pytest it has been shown already."""

    name: str
    good: bool
    seconds: float
    text: str = ""

    def __str__(self) -> str:
        return f"  {'+' if self.good else '!'} {self.name:<34} {self.seconds:7.1f} s"


def test(box: Box, args: argparse.Namespace) -> int:
    """Exit status 0 only when every check passed. All are run, so that one run tells everything."""
    if os.geteuid() != 0:
        raise Failed(
            "the tests start services under their own accounts and make network namespaces, which needs root",
            remedy="sudo bin/cloudbox test …",
        )
    words = [word for word in args.words if word != "--"]
    CACHE.mkdir(parents=True, exist_ok=True)
    if not _make_sure():
        return 1
    venv = environments.venv_folder(dev=True)
    if words:
        return _pytest(venv, [*(FAST if args.fast else []), *words])
    results = _checks(venv, fast=args.fast)
    workers = min(WORKERS_MAX, len(os.sched_getaffinity(0)))
    which = FAST if args.fast else ["-m", QUICK, *SLOWEST]
    results.append(_tests(venv, f"tests, {workers} at a time", ["-n", str(workers), "--dist", "worksteal", *which]))
    if not args.fast:
        results += _beside(venv, {"tests of machines": ["-m", MACHINES, *SLOWEST], "tests of the browser": ["-m", BROWSER, *SLOWEST]})
    print("", *results, sep="\n", flush=True)
    failed = [result.name for result in results if not result.good]
    print(f"\nFailed: {'; '.join(failed)}" if failed else "\nAll is well.", flush=True)
    return 1 if failed else 0


def _make_sure() -> bool:
    """System packages, the development environment, the browser packages: the slow part once, then nothing."""
    log_path = CACHE / "test-setup.log"
    wanted = packages.wanted(packages.distribution(), tests=True)
    steps = [
        Step("packages", "System packages", lambda log: packages.install(wanted, log=log), done=lambda: not packages.missing(wanted)),
        Step(
            "python",
            "Python environment (dev)",
            lambda log: environments.build_venv(log=log, dev=True),
            done=lambda: environments.is_complete(environments.venv_folder(dev=True)),
            needs=("packages",),
        ),
        Step("browser", "Browser packages (npm ci)", _node, done=_node_is_there, needs=("packages",)),
    ]
    outcomes = run_steps(steps, log_path=log_path)
    if any(outcome.state == "failed" for outcome in outcomes):
        print(explain(steps, outcomes, log_path=log_path, again="bin/cloudbox test"), file=sys.stderr)
        return False
    return True


def _node_is_there() -> bool:
    return (CHECKOUT / "node_modules").exists() and ((CHECKOUT / "node_modules").is_symlink() is False or _linked_right())


def _linked_right() -> bool:
    return (CHECKOUT / "node_modules").resolve() == environments.node_folder() / "node_modules"


def _node(log: Log) -> None:
    """In the checkout a link to the cache; a developer's own folder stays as it is."""
    if not environments.is_complete(environments.node_folder()):
        environments.build_node(log=log)
    environments.publish(environments.node_folder() / "node_modules", CHECKOUT / "node_modules")


def _checks(venv: Path, *, fast: bool) -> list[Result]:
    """All that needs no test home, at the same time; each is told of when all are done."""
    program = venv / "bin"
    checks: dict[str, list[str]] = {
        "ruff format": [str(program / "ruff"), "format", "--check", "--quiet", "."],
        "ruff check": [str(program / "ruff"), "check", "--quiet", "--output-format", "concise", "."],
        "mypy": [str(program / "mypy")],
        "import contracts": [str(program / "lint-imports"), "--no-logo"],
    }
    if not fast and shutil.which("vagrant"):
        checks["vagrant validate"] = ["vagrant", "validate", "--ignore-provider"]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda item: _check(*item), checks.items()))
    for result in results:
        print(result, *([result.text] if result.text else []), sep="\n", flush=True)
    return results


def _check(name: str, argv: Sequence[str]) -> Result:
    """Run one check; silent when it passes."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, env=_environment(), check=False)
    lines = (done.stdout + done.stderr).splitlines() if done.returncode else []
    if len(lines) > LINES_SHOWN:
        lines[LINES_SHOWN:] = [f"… and {len(lines) - LINES_SHOWN} more lines: {' '.join(argv)}"]
    return Result(name, done.returncode == 0, time.monotonic() - began, "\n".join(lines))


def _tests(venv: Path, name: str, words: Sequence[str]) -> Result:
    began = time.monotonic()
    print(f"\n{name}: pytest {shlex.join(words)}", flush=True)
    code = _pytest(venv, words)
    return Result(name, code == 0, time.monotonic() - began)


def _beside(venv: Path, parts: dict[str, Sequence[str]]) -> list[Result]:
    """All at the same time. The first shows what it does as it goes; what the others say follows when it has ended."""

    def run(name: str, out: IO[bytes] | None) -> Result:
        began = time.monotonic()
        code = _pytest(venv, parts[name], out=out)
        return Result(name, code == 0, time.monotonic() - began)

    first, *others = parts
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())
        files = {name: stack.enter_context(tempfile.TemporaryFile()) for name in others}
        waiting = {name: pool.submit(run, name, file) for name, file in files.items()}
        print(f"\n{first}: pytest {shlex.join(parts[first])}", flush=True)
        results = [run(first, None)]
        for name, file in files.items():
            results.append(waiting[name].result())
            file.seek(0)
            print(f"\n{name}: pytest {shlex.join(parts[name])}\n{file.read().decode(errors='replace')}", flush=True)
    return results


def _pytest(venv: Path, words: Sequence[str], *, out: IO[bytes] | None = None) -> int:
    """pytest, which makes its homes itself, and so must be let finish when Ctrl-C has told both of us to stop."""
    environment = _environment(PATH=f"{venv / 'bin'}:{os.environ.get('PATH', '')}")
    process = subprocess.Popen([venv / "bin" / "python", "-m", "pytest", *words], cwd=CHECKOUT, env=environment, stdout=out, stderr=out)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def _environment(**more: str) -> dict[str, str]:
    """Compiled files are kept, unlike those of a box: half a run's start is compiling what has not changed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(CHECKOUT), "VAGRANT_CHECKPOINT_DISABLE": "1"} | more
