"""`test`: makes sure of what the checks need, then runs them all; pytest last, so that its summary is the last line."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cloudbox.box import environments, packages, test_home
from cloudbox.box.paths import CACHE, CHECKOUT, Box
from cloudbox.box.shell import Failed, Log
from cloudbox.box.steps import LogFile, Step, explain, run_steps

LINES_SHOWN = 60
FAST = "not machines and not browser"


def test(box: Box, args: argparse.Namespace) -> int:
    """Exit status 0 only when every check passed. All are run, so that one run tells everything."""
    if os.geteuid() != 0:
        raise Failed(
            "the tests start services under their own accounts and make network namespaces, which needs root",
            remedy="sudo bin/cloudbox test …",
        )
    words, fast = [word for word in args.words if word != "--"], args.fast
    CACHE.mkdir(parents=True, exist_ok=True)
    if not _make_sure():
        return 1
    venv = environments.venv_folder(dev=True)
    failed = [] if words else [name for name, argv in _checks(venv, fast=fast) if not _check(name, argv)]
    code = _pytest(venv, [*(["-m", FAST] if fast else []), *words])
    if failed:
        print(f"\nFailed before the tests: {', '.join(failed)}", flush=True)
    return code or (1 if failed else 0)


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


def _checks(venv: Path, *, fast: bool) -> list[tuple[str, list[str]]]:
    program = venv / "bin"
    checks = [
        ("ruff format", [str(program / "ruff"), "format", "--check", "--quiet", "."]),
        ("ruff check", [str(program / "ruff"), "check", "--quiet", "--output-format", "concise", "."]),
        ("mypy", [str(program / "mypy")]),
        ("import contracts", [str(program / "lint-imports"), "--no-logo"]),
    ]
    if not fast and shutil.which("vagrant"):
        checks.append(("vagrant validate", ["vagrant", "validate", "--ignore-provider"]))
    return checks


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "VAGRANT_CHECKPOINT_DISABLE": "1", **more}


def _check(name: str, argv: Sequence[str]) -> bool:
    """Run one check; silent when it passes."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, env=_environment(), check=False)
    good = done.returncode == 0
    print(f"  {'+' if good else '!'} {name:<34} {time.monotonic() - began:7.1f} s", flush=True)
    if not good:
        lines = (done.stdout + done.stderr).splitlines()
        print("\n".join(lines[:LINES_SHOWN]), flush=True)
        if len(lines) > LINES_SHOWN:
            print(f"… and {len(lines) - LINES_SHOWN} more lines: {' '.join(argv)}", flush=True)
    return good


def _pytest(venv: Path, words: Sequence[str]) -> int:
    """pytest in a home of its own."""
    log = LogFile(CACHE / "test-setup.log").named("test home")
    with test_home.running(log=log) as box:
        environment = _environment(CLOUDBOX_HOME=str(box.home), CLOUDBOX_TEST="1", PATH=f"{venv / 'bin'}:{os.environ.get('PATH', '')}")
        return subprocess.run([venv / "bin" / "python", "-m", "pytest", *words], cwd=CHECKOUT, env=environment, check=False).returncode
