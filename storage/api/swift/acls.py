"""X-Container-Read and -Write, X-Account-Access-Control: who from outside may read, list, write and administer. Pure.

Public document: "Access Control Lists (ACLs)" in Swift's overview. Elements are separated by commas: `.r:*`, `.r:.example.com`,
`.r:-bad.example.com` (by Referer), `.rlistings` (those may list too), `<project>:<user>`, either of which may be `*`, by id or by name; and
`AUTH_<project id>`, the whole account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    return any(_is_named(group, names) for group in _parse(value)[1])


def _is_named(element: str, names: Names) -> bool:
    project, colon, user = element.partition(":")
    if not colon:
        return project.startswith("AUTH_") and project.removeprefix("AUTH_") in names.projects
    return bool(names.users) and (project == "*" or project in names.projects) and (user == "*" or user in names.users)


# How much of an account somebody may use, as a whole; each includes those before it.
NOTHING, READS, WRITES, OWNS = range(4)
_ACCOUNT_KEYS = {"read-only": READS, "read-write": WRITES, "admin": OWNS}


def clean_account(value: str) -> dict[str, list[str]]:
    """X-Account-Access-Control: {"read-only" | "read-write" | "admin": [element…]} in JSON. Raises AclInvalid.

    Public document: "TempAuth", section "Account ACLs", in Swift's middleware documentation. Elements are `<project>:<user>` as in
    the lists of containers.
    """
    if not value.strip():
        return {}
    try:
        found = json.loads(value)
    except ValueError as error:
        raise AclInvalid("It is not valid JSON.") from error
    if not isinstance(found, dict):
        raise AclInvalid("It is no JSON object.")
    for key, elements in found.items():
        if key not in _ACCOUNT_KEYS:
            raise AclInvalid(f"Key {key!r} is none of {', '.join(map(repr, _ACCOUNT_KEYS))}.")
        if not isinstance(elements, list) or not all(isinstance(one, str) for one in elements):
            raise AclInvalid(f"The value of {key!r} must be a list of texts.")
    return {key: elements for key, elements in found.items() if elements}


def account_level(acl: Mapping[str, Sequence[str]], names: Names) -> int:
    """What an account's list gives to who asks."""
    named = [key for key, elements in acl.items() if any(_is_named(one, names) for one in elements)]
    return max((_ACCOUNT_KEYS[key] for key in named if key in _ACCOUNT_KEYS), default=NOTHING)


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
