"""Files that web processes wrote, which run without rights: HOME/uploads, theirs. Whoever reads one here takes it as hostile."""

from __future__ import annotations

import os
import secrets
import stat
import time
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cloudbox.common.errors import NotFound

PART_SECONDS = 3600.0


class Uploads:
    """<id>: the bytes of an image as they came. <id>.<word>.part: on their way, by whoever will be first."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "uploads"

    def part(self, id: UUID) -> Path:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return self.folder / f"{id}.{secrets.token_hex(8)}.part"

    def keep(self, part: Path, id: UUID) -> None:
        os.replace(part, self.folder / str(id))

    def open(self, id: UUID) -> BinaryIO:
        """For reading: a plain file and no link to anything, so that nobody's else is read as if it were an upload."""
        try:
            handle = os.open(self.folder / str(id), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NotFound("The uploaded file is not there.", resource=str(id)) from error
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            os.close(handle)
            raise NotFound("The uploaded file is not there.", resource=str(id))
        return os.fdopen(handle, "rb")

    def has(self, id: UUID) -> bool:
        return (self.folder / str(id)).is_file()

    def sweep(self, kept: set[UUID]) -> None:
        """Delete those of other ids, and parts that nobody has written to for an hour."""
        for each in self.folder.iterdir() if self.folder.exists() else ():
            word = each.name.partition(".")[0]
            old = each.name.endswith(".part") and each.lstat().st_mtime < time.time() - PART_SECONDS
            if old or (not each.name.endswith(".part") and (len(word) != 36 or UUID(word) not in kept)):
                each.unlink(missing_ok=True)
