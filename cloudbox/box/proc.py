"""What /proc says of a process. A process is known by its number and its start time: numbers are used again."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the name, which may hold anything."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_ticks(pid: int) -> int | None:
    """When it started, in clock ticks since boot; None when it is gone or only waits to be reaped."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def same(pid: int, ticks: int) -> bool:
    """Is that number still the process we knew?"""
    return start_ticks(pid) == ticks


def boot() -> str:
    """This boot of the machine: start times count from it."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def uptime_seconds(pid: int) -> float:
    ticks = start_ticks(pid)
    if ticks is None:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / _TICKS_PER_SECOND)


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and of its reaped children."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_SECOND if fields else 0.0


def trees(roots: Iterable[int]) -> dict[int, set[int]]:
    """Each root with all its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))

    def below(pid: int) -> set[int]:
        found = {pid}
        for child in children.get(pid, ()):
            found |= below(child)
        return found

    return {root: below(root) for root in roots}


def children(pid: int) -> set[int]:
    """Those that run and whose parent it is, by birth or because theirs died."""
    numbers = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return {each for each in numbers if (fields := _stat(each)) and fields[0] not in "ZX" and int(fields[1]) == pid}


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory with shared pages counted once among their sharers."""
    total = 0
    for pid in pids:
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except (OSError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def command(pid: int) -> str:
    """Its command line, cut short."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:120]
    except (OSError, ProcessLookupError):
        return ""


def with_words(*words: str) -> dict[int, str]:
    """Processes whose command line contains all the words."""
    found = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (OSError, ProcessLookupError):
            continue
        if line and all(word in line for word in words):
            found[int(entry.name)] = line
    return found
