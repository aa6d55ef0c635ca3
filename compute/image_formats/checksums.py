"""Lists of digests as publishers put them beside their files: coreutils' lines, BSD's, or a digest alone."""

from __future__ import annotations

import re

LIST_BYTES_MAX = 1024**2
_GNU = re.compile(r"\\?([0-9a-fA-F]{128}|[0-9a-fA-F]{64})[ \t]+\*?(\S.*?)\s*")
_BSD = re.compile(r"SHA(?:256|512) \((.+)\) ?= ?([0-9a-fA-F]{128}|[0-9a-fA-F]{64})\s*")
_BARE = re.compile(r"\s*([0-9a-fA-F]{128}|[0-9a-fA-F]{64})\s*")


def find(text: str, name: str) -> str:
    """The SHA-512 of the file if the list has it, else its SHA-256, in small letters; empty when it is not there."""
    if bare := _BARE.fullmatch(text):
        return bare[1].lower()
    found = set()
    for line in text.splitlines():
        if match := _GNU.fullmatch(line):
            digest, file = match[1], match[2]
        elif match := _BSD.fullmatch(line):
            digest, file = match[2], match[1]
        else:
            continue
        if file.removeprefix("./") == name:
            found.add(digest.lower())
    return max(found, key=len) if found else ""
