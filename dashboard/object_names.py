"""Names of objects on their way through pages: hostile by nature, since an object may be called anything that is UTF-8.

Templates escape markup. What is left are characters that addresses and forms cannot carry (control characters, which our own
middleware refuses, and line ends, which browsers rewrite), that hide or reorder what a person reads, and names that browsers change.
"""

from __future__ import annotations

import base64
import binascii
import re

from cloudbox.common.errors import Invalid

NAME_BYTES_MAX = 1024
_MARK = "~b64:"
_UNCARRIED = re.compile("[\x00-\x1f\x7f\ufffd\ud800-\udfff]")
# Controls, and what reorders text ("Trojan Source"): overrides, embeddings and isolates of direction, and invisible spaces.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def wire(name: str) -> str:
    """A name as addresses and forms carry it: itself, unless it holds what they cannot."""
    if not _UNCARRIED.search(name) and not name.startswith(_MARK):
        return name
    return _MARK + base64.urlsafe_b64encode(name.encode("utf-8", "surrogateescape")).decode()


def unwire(text: str) -> str:
    """The name again. Raises Invalid."""
    if text.startswith(_MARK):
        try:
            text = base64.b64decode(text.removeprefix(_MARK), altchars=b"-_", validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError) as error:
            raise Invalid("That is no name of an object.") from error
    if len(text.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        raise Invalid(f"A name of an object has at most {NAME_BYTES_MAX} bytes, with its folders.")
    return text


def shown(name: str) -> str:
    """A name for eyes: what cannot be seen stands as its code."""
    return _UNSEEN.sub(lambda found: f"⟨{ord(found[0]):02X}⟩", name)


def why_unreachable(name: str) -> str:
    """Why no browser can ask the store for it; empty if it can. They resolve dots in the paths of addresses, even escaped ones."""
    if any(part in (".", "..") for part in name.split("/")):
        return "Browsers rewrite addresses with “.” or “..” between slashes, so this object is reached by S3 and Swift clients only."
    return ""


def leaf(name: str, folder: str = "") -> str:
    """The name below a folder; of a folder itself, with its slash."""
    rest = name.removeprefix(folder)
    return rest or name
