"""X-Container-Read and X-Container-Write: who from outside may read, list and write. Pure.

Public document: "Access Control Lists (ACLs)" in Swift's overview. Elements are separated by commas: `.r:*`, `.r:.example.com`,
`.r:-bad.example.com` (by Referer), `.rlistings` (those may list too), `<project>:<user>`, either of which may be `*`, by id or by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_REFERRER = (".r", ".ref", ".referer", ".referrer")


class AclInvalid(ValueError):
    """The list breaks the grammar; the text says how."""


def clean(header: str, value: str) -> str:
    """The list as it is kept: without blanks, referrers in one spelling. Raises AclInvalid."""
    kept = []
    for raw in value.split(","):
        text = raw.strip()
        if not text:
            continue
        if ":" not in text:
            kept.append(text)
            continue
        first, second = (part.strip() for part in text.split(":", 1))
        if not first or not first.startswith("."):
            kept.append(text)
            continue
        if first not in _REFERRER:
            raise AclInvalid(f"Unknown designator {first!r} in ACL: {raw!r}")
        if "write" in header.lower():
            raise AclInvalid(f"Referrers not allowed in write ACL: {raw!r}")
        negate = second.startswith("-")
        host = second[1:].strip() if negate else second
        if host != "*" and host.startswith("*"):
            host = host[1:].strip()
        if not host or host == ".":
            raise AclInvalid(f"No host/domain value after referrer designation in ACL: {raw!r}")
        kept.append(f".r:{'-' if negate else ''}{host}")
    return ",".join(kept)


@dataclass(frozen=True, slots=True)
class Names:
    """What an element may call who asks: ids, and the names that go with them where those are unique."""

    projects: Sequence[str] = ()
    users: Sequence[str] = ()


def _parse(value: str) -> tuple[list[str], list[str]]:
    referrers, groups = [], []
    for element in value.split(","):
        if element.startswith(".r:"):
            referrers.append(element[3:])
        elif element:
            groups.append(unquote(element))
    return referrers, groups


def by_name(value: str, names: Names) -> bool:
    """Does an element name who asks?"""
    for group in _parse(value)[1]:
        project, colon, user = group.partition(":")
        if colon and (project == "*" or project in names.projects) and (user == "*" or user in names.users) and names.users:
            return True
    return False


def by_referrer(value: str, referrer: str | None) -> bool:
    """Do the referrer elements, of which the last that fits decides, let the page in?"""
    referrers = _parse(value)[0]
    host = urlsplit(referrer or "").hostname or "unknown"
    allowed = False
    for one in referrers:
        if one.startswith("-"):
            banned = one[1:]
            if banned == host or (banned.startswith(".") and host.endswith(banned)):
                allowed = False
        elif one in ("*", host) or (one.startswith(".") and host.endswith(one)):
            allowed = True
    return allowed


def lists(value: str) -> bool:
    """May those whom the referrer elements let in list as well?"""
    return ".rlistings" in _parse(value)[1]
