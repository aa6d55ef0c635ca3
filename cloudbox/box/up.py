"""`up`, `down` and `reset`: the box as a whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cloudbox.box import control, guests, logs, plan, processes, secret_files, steps, systemd
from cloudbox.box.host import make_home
from cloudbox.box.paths import DEFAULT_HOME, Box
from cloudbox.box.shell import Failed


def command(box: Box, verb: str) -> str:
    """The command line for this box, as a person would type it."""
    return f"bin/cloudbox {verb}" + ("" if box.home == DEFAULT_HOME else f" --home {box.home}")


def need_root(verb: str) -> None:
    if os.geteuid() != 0:
        raise Failed(f"`{verb}` needs root", remedy=f"sudo bin/cloudbox {verb} …")


@contextmanager
def one_at_a_time(box: Box) -> Iterator[None]:
    """`up`, `down` and `reset` of one box exclude each other."""
    with (box.home / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed(f"another `up` or `down` of {box.home} is under way", remedy="wait until it has ended") from error
        yield


def up(box: Box, options: plan.Options, *, detach: bool) -> int:
    """Run the steps, say where the box is; without --detach (and without systemd) stay until Ctrl-C."""
    need_root("up")
    box.home.mkdir(parents=True, exist_ok=True)
    make_home(box)
    log_path = box.logs / "up.log"
    began = time.monotonic()
    with one_at_a_time(box):
        print(f"Cloudbox {box.name} in {box.home}", flush=True)
        table = plan.Plan(box, options).steps()
        outcomes = steps.run_steps(table, log_path=log_path)
    if any(outcome.state == "failed" for outcome in outcomes):
        print(steps.explain(table, outcomes, log_path=log_path, again=command(box, "up")), file=sys.stderr)
        return 1
    changed = [outcome for outcome in outcomes if outcome.state == "done"]
    print(f"Ready in {time.monotonic() - began:.1f} s" + ("" if changed else " (nothing to change)") + ".")
    print(greeting(box))
    if detach or systemd.is_here():
        return 0
    print("Ctrl-C ends the box (with --detach it stays). The logs follow.", flush=True)
    return stay(box)


def greeting(box: Box) -> str:
    """URL and credentials."""
    config, admin = box.config(), secret_files.admin(box)
    lines = ["", f"  URL        {config.get('url') or 'http://127.0.0.1:' + str(config['port'])}"]
    lines.append(f"  E-mail     {admin['admin_email']}")
    lines.append(f"  Password   {admin['admin_password']}   (the first one; {command(box, 'user reset-password')} makes another)")
    if config.get("accelerator") != "kvm":
        lines.append(f"  Guests run without hardware help (TCG), slower; {command(box, 'doctor')} says why.")
    return "\n".join([*lines, ""])


def stay(box: Box) -> int:
    """Show the logs until Ctrl-C or SIGTERM, then take the box down, guests included."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    with suppress(KeyboardInterrupt):
        logs.follow(box, None, until=lambda: control.ask(box, "state") is None)
    print("\nEnding the box …", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return down(box, yes=True)


def down(box: Box, *, yes: bool) -> int:
    """Stop everything: first those who would restart guests, then the guests (asked by ACPI), then the rest."""
    need_root("down")
    if not box.exists:
        raise Failed(f"there is no box in {box.home}", remedy="name another home with --home")
    running = guests.running(box)
    if running and not yes and not _agreed(f"{len(running)} guest(s) run and will be shut down. They run again at the next up. Go on?"):
        return 1
    with one_at_a_time(box):
        began = time.monotonic()
        log = steps.LogFile(box.logs / "up.log").named("down")
        processes.stop(box, ["web", "worker", "store"], log=log)
        if running:
            guests.shut_down(box, log=log)
        processes.stop_all(box, log=log)
        guests.remove_network(box)
        print(f"The box in {box.home} is down ({time.monotonic() - began:.1f} s).")
    return 0


def reset(box: Box, *, yes: bool) -> int:
    """Down, and everything in the home deleted: instances, images, users, logs."""
    need_root("reset")
    if not box.home.exists() or not (box.exists or (box.home / "stamps").exists()):
        raise Failed(f"there is no box in {box.home}", remedy="name another home with --home")
    if not yes:
        raise Failed(f"this deletes everything in {box.home}: instances, disks, users, logs", remedy="if you mean it: add --yes")
    if box.exists:
        down(box, yes=True)
    if systemd.is_here():
        systemd.remove(box, log=lambda line: None)
    for path in box.home.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    with suppress(OSError):
        box.home.rmdir()
    print(f"Nothing is left of the box in {box.home}. Shared caches stay in /var/cache/cloudbox.")
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise Failed(question.rpartition(". Go on?")[0], remedy="add --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
