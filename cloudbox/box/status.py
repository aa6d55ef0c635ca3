"""`status`: every component of a box with its state, health and memory."""

from __future__ import annotations

import concurrent.futures
from typing import Any

from cloudbox.box import control, guests, proc, processes, programs, systemd
from cloudbox.box.paths import Box
from cloudbox.box.shell import Failed


def look(box: Box) -> dict[str, Any]:
    """The whole status as data, which is what `--json` prints."""
    records = processes.state(box)
    with concurrent.futures.ThreadPoolExecutor(len(programs.NAMES)) as pool:
        health = dict(zip(programs.NAMES, pool.map(lambda name: _health(box, name), programs.NAMES), strict=True))
    others = _others(box)
    trees = proc.trees([record["pid"] for record in records.values() if record.get("pid")])
    components = []
    for component in programs.COMPONENTS:
        record = records.get(component.name, {})
        pid = record.get("pid")
        serves, detail = health[component.name]
        # Guests and DHCP servers may be children by accident of who started them; they are counted apart.
        own = trees.get(pid, set()) - {each for pids in others.values() for each in pids}
        components.append(
            {
                "component": component.name,
                "state": record.get("state", "stopped"),
                "healthy": serves and bool(pid),
                "detail": detail if pid or not serves else "something answers that is not ours",
                "pid": pid,
                "uptime_seconds": round(proc.uptime_seconds(pid), 1) if pid else None,
                "restarts": record.get("restarts", 0),
                "last_exit": record.get("last_exit", ""),
                "processes": len(own),
                "pss_bytes": proc.pss_bytes(own) if pid else 0,
            }
        )
    extra = [{"group": name, "processes": len(pids), "pss_bytes": proc.pss_bytes(pids)} for name, pids in others.items() if pids]
    config = box.config()
    return {
        "box": box.name,
        "home": str(box.home),
        "url": config.get("url") or f"http://127.0.0.1:{config.get('port')}",
        "accelerator": config.get("accelerator"),
        "healthy": all(component["healthy"] for component in components),
        "components": components,
        "others": extra,
        "pss_bytes": sum(entry["pss_bytes"] for entry in [*components, *(e for e in extra if e["group"] != "guests")]),
    }


def _others(box: Box) -> dict[str, list[int]]:
    supervisor = None if systemd.is_here() else control.ask(box, "state")
    return {
        "guests": guests.running(box),
        "dhcp": guests.network_processes(box),
        "supervisor": [supervisor["supervisor"]["pid"]] if supervisor else [],
    }


def _health(box: Box, name: str) -> tuple[bool, str]:
    try:
        return True, programs.HEALTH[name](box)
    except Failed as error:
        return False, error.message
    except Exception as error:  # a look must never end the whole report
        return False, f"{type(error).__name__}: {error}"


def table(status: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"Cloudbox {status['box']} in {status['home']}, {status['url']}, guests by {status['accelerator'] or 'unknown'}", ""]
    lines.append(f"{'':2}{'COMPONENT':<11}{'STATE':<10}{'PID':>8}{'UPTIME':>10}{'RESTARTS':>10}{'MEMORY':>10}  HEALTH")
    for each in status["components"]:
        mark = "+" if each["healthy"] else "!"
        uptime = _duration(each["uptime_seconds"])
        lines.append(
            f"{mark:2}{each['component']:<11}{each['state']:<10}{each['pid'] or '-':>8}{uptime:>10}{each['restarts']:>10}"
            f"{_mib(each['pss_bytes']):>10}  {each['detail']}" + (f" (last: {each['last_exit']})" if each["last_exit"] else "")
        )
    for each in status["others"]:
        lines.append(f"  {each['group']:<11}{each['processes']:>3} processes {_mib(each['pss_bytes']):>34}")
    lines += ["", f"Memory without guests: {_mib(status['pss_bytes'])} (PSS, all processes)"]
    return "\n".join(lines)


def _mib(size: int) -> str:
    return f"{size / 1048576:.0f} MiB" if size else "-"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
