"""What may be called how: one rule for all names that people type."""

from __future__ import annotations

import re
import unicodedata

from cloudbox.common.errors import Invalid

NAME_LENGTH_MAX = 64
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def clean_name(value: object, *, field: str = "name", length_max: int = NAME_LENGTH_MAX, keep_blanks: bool = False) -> str:
    """A name of one line of printable text, without outer blanks unless they are to be kept, or Invalid."""
    text = clean_text(value, field=field, length_max=length_max, keep_blanks=keep_blanks)
    if not text.strip():
        raise Invalid("Give it a name.", field=field)
    return text


def clean_text(value: object, *, field: str, length_max: int = 255, keep_blanks: bool = False) -> str:
    """One line of printable text, possibly empty, or Invalid."""
    if not isinstance(value, str):
        raise Invalid(f"The {field} must be text.", field=field)
    text = unicodedata.normalize("NFC", value if keep_blanks else value.strip())
    if len(text) > length_max:
        raise Invalid(f"The {field} has {len(text)} characters; {length_max} is the most.", field=field)
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in text):
        raise Invalid(f"The {field} holds characters that cannot be printed.", field=field)
    return text


def clean_hostname(value: str, *, field: str = "hostname") -> str:
    if not _HOSTNAME.fullmatch(value):
        raise Invalid("A host name has up to 63 lower-case letters, digits and hyphens, and no hyphen at either end.", field=field)
    return value


def slug_of(text: str, *, length_max: int = 40) -> str:
    """Letters, digits and hyphens from any name; empty when nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:length_max].strip("-")
