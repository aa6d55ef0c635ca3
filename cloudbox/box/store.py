"""`bin/cloudbox store …`: the object store's drives, and what is on them, with and without its server."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from cloudbox.box import environments, postgres, programs, up
from cloudbox.box.paths import CHECKOUT, Box
from cloudbox.box.shell import Failed

# Read the drives themselves: no process of the box has to run.
OFFLINE = ("check", "dump", "export", "rebuild-index")
# Ask the box to change its drives while it serves.
ONLINE = ("drives", "add", "drain", "keep", "remove", "replace", "set")

TEXT = (
    "the object store: check, dump, export --to DIR, rebuild-index (read the drives; no server needed), "
    "drives, add DIR, drain, keep, remove, replace OLD DIR, set (while it runs)"
)


def run(box: Box, args: argparse.Namespace) -> int:
    """Becomes the program that does it; only returns by raising."""
    up.need_root("store")
    words = [word for word in args.words if word != "--"]
    verb = words[0] if words else ""
    if verb in OFFLINE:
        python, code = _environment(box)
        os.chdir(code)
        argv = [str(python), "-m", "storage.offline", *_absolute(words), "--home", str(box.home)]
        os.execve(python, argv, programs.environment(box) | {"PYTHONPATH": str(code)})
    if verb in ONLINE:
        if not box.exists:
            raise Failed(f"there is no box in {box.home}", remedy=f"{up.command(box, 'up')} makes one; --home names another place")
        if not postgres.answers(box):
            raise Failed(f"the box in {box.home} is down", remedy=up.command(box, "up"))
        words = _absolute(words)
        os.chdir(box.app)
        os.execve(box.python, [str(box.python), str(box.app / "manage.py"), "box_store", *words], programs.environment(box))
    raise Failed(
        f"`store {verb}` is not understood" if verb else "`store` needs a verb",
        remedy=f"one of: {' '.join((*OFFLINE, *ONLINE))}; each has --help behind --, as in `bin/cloudbox store check -- --help`",
    )


def _environment(box: Box) -> tuple[Path, Path]:
    """The box's Python and code; where a home is lost, this checkout's: drives can be read without the box that wrote them."""
    if os.access(box.python, os.X_OK) and box.app.exists():
        return box.python, box.app
    shared = environments.venv_folder()
    if environments.is_complete(shared):
        return shared / "bin" / "python", CHECKOUT
    raise Failed("Python and the packages that read the drives are not set up", remedy=up.command(box, "up"))


def _absolute(words: list[str]) -> list[str]:
    """Paths are meant from where the person is; the program runs elsewhere."""
    found = []
    for before, word in zip(["", *words], words, strict=False):
        is_path = before in ("--to", "--drive", "--names", "--scratch") or (word.startswith(("./", "../")) and not before.startswith("--"))
        found.append(os.path.abspath(word) if is_path else word)
    return found
