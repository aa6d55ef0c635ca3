"""A root disk set aside while another takes its place, and brought back: renames in the instance's own folder, so instant and free of room.

Shared by the stores whose root disks are files. Every step may be repeated after a crash in its middle: what lies there says how far
it came.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from compute.drivers import paths


class KeptRoots:
    """Three names beside `root.qcow2`: the disk from `before`, the one `dropped` for it, and the one to `rescue` by."""

    home: Path

    def _beside(self, id: UUID, name: str) -> Path:
        return paths.root_disk(self.home, id).with_name(f"{name}.qcow2")

    def set_aside(self, id: UUID) -> None:
        """Keep the root disk under another name; the next `create_root` makes a new one. None there: nothing."""
        root = paths.root_disk(self.home, id)
        if root.exists():
            os.replace(root, self._beside(id, "before"))
            _sync(root.parent)

    def put_back(self, id: UUID) -> None:
        """The disk that was set aside is the root disk again; the one in its place waits to be dropped. None set aside: nothing."""
        root, before, dropped = paths.root_disk(self.home, id), self._beside(id, "before"), self._beside(id, "dropped")
        if before.exists():
            if root.exists():
                os.replace(root, dropped)
            os.replace(before, root)
            _sync(root.parent)

    def take_back(self, id: UUID) -> None:
        """Undo `put_back`, as far as it came."""
        root, before, dropped = paths.root_disk(self.home, id), self._beside(id, "before"), self._beside(id, "dropped")
        if dropped.exists():
            if root.exists() and not before.exists():
                os.replace(root, before)
            os.replace(dropped, root)
            _sync(root.parent)

    def drop_kept(self, id: UUID) -> None:
        """Only the root disk stays."""
        for name in ("before", "dropped"):
            self._beside(id, name).unlink(missing_ok=True)

    def has_kept(self, id: UUID) -> bool:
        """Is there a disk that was set aside?"""
        return self._beside(id, "before").exists()

    def all_kept(self) -> set[UUID]:
        """The instances with a disk beside their own, set aside or replaced."""
        found = (path for name in ("before", "dropped") for path in (self.home / "instances").glob(f"*/{name}.qcow2"))
        return {UUID(path.parent.name) for path in found}

    def rescue_path(self, id: UUID) -> Path:
        return self._beside(id, "rescue")

    def drop_rescue(self, id: UUID) -> None:
        self.rescue_path(id).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
