"""Who has the store open: locks and marks of its workers, beside the index."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cloudbox.common.errors import Conflict


class Locks:
    """Who is here: one lock per worker, one for opening. Locks vanish with their process, marks do not: that tells a crash."""

    def __init__(self, folder: Path, worker: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self.worker = folder, worker
        self._own = self._open(f"worker-{worker}.lock")
        if self._try():
            return
        # Who opens the store at this moment may be standing in for us, to read what our log has: that ends before they let go of it.
        with self.opening():
            if self._try():
                return
        os.close(self._own)
        raise Conflict(f"Another process is worker {worker} of this object store.")

    def _try(self) -> bool:
        try:
            fcntl.flock(self._own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _open(self, name: str) -> int:
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        fd = self._open("open.lock")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def tending(self) -> Iterator[bool]:
        """One worker at a time does the rounds; False if another one does."""
        fd = self._open("tend.lock")
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def of(self, worker: int) -> Iterator[bool]:
        """Stand in for a worker that is not running; False if it is."""
        if worker == self.worker:
            yield True
            return
        fd = self._open(f"worker-{worker}.lock")
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    def marks(self) -> dict[int, str]:
        """The boot in which each worker was started that has not ended cleanly."""
        return {int(path.name.split("-")[1]): path.read_text() for path in self._folder.glob("open-*")}

    def mark(self, boot: str) -> None:
        path = self._folder / f"open-{self.worker}"
        with path.open("w") as file:
            file.write(boot)
            file.flush()
            os.fsync(file.fileno())
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)

    def unmark(self, worker: int | None = None) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"open-{self.worker if worker is None else worker}").unlink()

    def close(self) -> None:
        os.close(self._own)
