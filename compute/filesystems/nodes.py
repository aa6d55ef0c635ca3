"""What all file systems have in common: entries, their names as text, the way along a path."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from compute.filesystems.source import Unreadable

FOLDER_BYTES_MAX = 16 * 2**20
DEPTH_MAX = 128
# What may not stand in a name, but on a damaged or malicious disk does.
_UNFIT = re.compile(r"[\x00-\x1f\x7f/\ud800-\udfff]")


@dataclass(frozen=True)
class Node:
    """`kind`: folder, file, link, or other (a device, a pipe, a socket). `handle` is the file system's own."""

    name: str
    kind: str
    size_bytes: int
    modified: dt.datetime | None
    handle: Any
    link: str = ""


class FileSystem(Protocol):
    title: str
    label: str
    note: str  # what to know of all that is read from it; may be empty

    def root(self) -> Node: ...

    def entries(self, folder: Node) -> Iterator[Node]:
        """What is in a folder, in its own order, without "." and ".."."""

    def read(self, file: Node) -> Iterator[bytes]:
        """A file from its start to its end."""


def shown(name: bytes | str) -> str:
    """A name as text. Bytes that are no UTF-8, and letters that no name may have, are written \\xNN; by this text it is found, too."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return _UNFIT.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def find(system: FileSystem, path: str) -> Node:
    """The node at a path, `/` being the root. Links are not followed: a path says where something lies, not where it points."""
    node, names = system.root(), [name for name in path.split("/") if name not in ("", ".")]
    if len(names) > DEPTH_MAX or ".." in names:
        raise Unreadable("This is no path from the root of the file system.")
    for name in names:
        if node.kind == "link":
            raise Unreadable(f"{node.name} is a link to {node.link}, and links are not followed here. Look there.")
        if node.kind != "folder":
            raise Unreadable(f"{node.name} is no folder.")
        node = next((each for each in system.entries(node) if each.name == name), None) or _missing(name)
    return node


def _missing(name: str) -> Node:
    raise Unreadable(f"There is no {name} in this folder.")


def moment(seconds: int) -> dt.datetime | None:
    """Seconds since 1970 as a time; None when no calendar has it."""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None
