"""`logs`: the last lines of a component's log, or of all, and what comes after."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from cloudbox.box import programs
from cloudbox.box.paths import Box
from cloudbox.box.shell import Failed

LINES_SHOWN = 50
POLL_SECONDS = 0.3
OTHERS = ("up", "supervisor")


def paths(box: Box, component: str | None) -> list[Path]:
    """The log files meant; naming one that cannot exist is an error."""
    names = (*programs.NAMES, *OTHERS)
    if component is None:
        return [box.logs / f"{name}.log" for name in (*programs.NAMES, "supervisor")]
    if component not in names:
        raise Failed(f"there is no component {component}", remedy=f"one of: {' '.join(names)}")
    return [box.logs / f"{component}.log"]


def tail(path: Path, lines: int = LINES_SHOWN) -> list[str]:
    """The last lines, read from the end: a log may be large."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - lines * 400))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def show(box: Box, component: str | None, *, lines: int = LINES_SHOWN) -> None:
    chosen = paths(box, component)
    for path in chosen:
        for line in tail(path, lines if len(chosen) == 1 else max(5, lines // 5)):
            print(_labelled(path, line, chosen))


def follow(box: Box, component: str | None, *, until: Callable[[], bool] = lambda: False) -> None:
    """Print what is appended, until interrupted; a log that was emptied is read from its new beginning."""
    chosen = paths(box, component)
    places = {path: path.stat().st_size if path.exists() else 0 for path in chosen}
    looked_at = time.monotonic()
    while True:
        for path in chosen:
            size = path.stat().st_size if path.exists() else 0
            start = places[path] if size >= places[path] else 0
            if size > start:
                with path.open("rb") as file:
                    file.seek(start)
                    text = file.read(size - start).decode(errors="replace")
                for line in text.splitlines():
                    print(_labelled(path, line, chosen), flush=True)
            places[path] = size
        if time.monotonic() - looked_at > 3:
            looked_at = time.monotonic()
            if until():
                return
        time.sleep(POLL_SECONDS)


def _labelled(path: Path, line: str, chosen: list[Path]) -> str:
    return line if len(chosen) == 1 else f"{path.stem:<10} | {line}"
