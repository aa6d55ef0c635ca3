"""What each way of driving a cloud must be able to do. Everything goes by name, and returns when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Way(Protocol):
    def key(self, name: str, public: str) -> None: ...

    def group(self, name: str) -> None:
        """A security group that lets ssh in from anywhere."""

    def network(self, name: str) -> None: ...

    def image(self, name: str, vmdk: Path) -> None:
        """Uploaded, looked at and converted."""

    def launch(self, name: str, *, image: str, size: str, networks: Sequence[str], key: str, group: str) -> None: ...

    def reach(self, name: str) -> str:
        """A floating IP for the first card of the instance."""

    def volume(self, name: str, gib: int) -> str:
        """Its serial number, as the guest sees it."""

    def attach(self, volume: str, instance: str) -> None: ...

    def detach(self, volume: str) -> None: ...

    def snapshot(self, volume: str, name: str) -> None: ...

    def grow(self, volume: str, gib: int) -> None: ...

    def backup(self, volume: str) -> None:
        """Into a bucket of the project."""

    def lose(self, volume: str) -> None:
        """Delete it with its snapshots."""

    def restore(self, volume: str, name: str) -> str:
        """A new volume from the backup of one that is gone; its serial number."""

    def resize(self, instance: str, size: str) -> None:
        """For good."""

    def rebuild(self, instance: str) -> None: ...

    def rescue(self, instance: str) -> None: ...

    def unrescue(self, instance: str) -> None: ...

    def shelve(self, instance: str) -> None: ...

    def unshelve(self, instance: str) -> None: ...

    def console(self, instance: str) -> str:
        """What its serial console says, or the end of that."""

    def clean(self, name: str) -> None:
        """Everything that the life named after `name` made."""
