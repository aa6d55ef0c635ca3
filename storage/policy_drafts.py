"""Help for people who write a bucket's policy: statements for what is often wanted, each told as a sentence, and mistakes with their place.
Pure.

A statement made here carries a Sid that begins with "Cloudbox", so that it is found again: asking for the same once more replaces it.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudbox.common.errors import Invalid
from storage import policies
from storage.errors import MalformedPolicy

VERSION = policies.VERSIONS[0]
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
PREFIX_MAX = 1024
LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that is often wanted: what the form calls it, what it is, and which of the form's fields it takes."""

    name: str
    title: str
    sentence: str
    fields: tuple[str, ...] = ()


WISHES = (
    Wish("public-read", "Anybody may read", "Objects are open to everybody who knows their address. Nobody can list them.", ("prefix",)),
    Wish("public-list", "Anybody may list", "Everybody sees the names of the objects."),
    Wish("share-read", "Another project may read", "Its members list and read, with their own keys.", ("project", "prefix")),
    Wish("share-write", "Another project may read and write", "Its members list, read, write and delete.", ("project", "prefix")),
    Wish(
        "https-only", "Only over TLS", "Requests that are not encrypted on their way are refused, but for those that do not leave the box."
    ),
    Wish("only-from", "Only from these addresses", "Requests from anywhere else are refused, also by members.", ("addresses",)),
    Wish("encrypted-only", "Only encrypted objects", "Uploads that do not ask for encryption are refused."),
)
_BY_NAME = {wish.name: wish for wish in WISHES}
_READ = ["s3:GetObject", "s3:GetObjectVersion"]
_LIST = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"]
_WRITE = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]


def statements(wish: str, *, bucket: str, prefix: str = "", project: str = "", addresses: str = "") -> list[dict[str, Any]]:
    """The statements that say it. Raises Invalid at the form's field."""
    if wish not in _BY_NAME:
        raise Invalid("Choose one of the list.", field="wish")
    if len(prefix) > PREFIX_MAX or any(mark in prefix for mark in "*?$"):
        raise Invalid("A prefix is plain text of at most 1,024 characters, without *, ? and $.", field="prefix")
    whole, inside = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{prefix}*"
    if wish == "public-read":
        return [_allow(f"CloudboxPublicRead{_tail(prefix)}", "*", _READ[:1], inside)]
    if wish == "public-list":
        return [_allow("CloudboxPublicList", "*", ["s3:ListBucket"], whole)]
    if wish in ("share-read", "share-write"):
        if not _SLUG.fullmatch(project):
            raise Invalid("Write the short name of a project: it stands in the address of its pages.", field="project")
        who = {"AWS": f"arn:aws:iam::{project}:root"}
        label = f"{_camel(project)}{_tail(prefix)}"
        listing = _allow(f"CloudboxList{label}", who, _LIST, whole)
        if prefix:
            listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
        actions = _READ + (_WRITE if wish == "share-write" else [])
        return [listing, _allow(f"CloudboxShare{label}", who, actions, inside)]
    if wish == "https-only":
        # What the box's own pages and jobs ask does not leave the machine.
        test = {"Bool": {"aws:SecureTransport": "false"}, "NotIpAddress": {"aws:SourceIp": list(LOOPBACK)}}
        return [_deny("CloudboxTlsOnly", "s3:*", bucket, test)]
    if wish == "only-from":
        return [_deny("CloudboxOnlyFrom", "s3:*", bucket, {"NotIpAddress": {"aws:SourceIp": _networks(addresses)}})]
    deny = _deny("CloudboxEncryptedOnly", "s3:PutObject", bucket, {"Null": {"s3:x-amz-server-side-encryption": "true"}})
    return [deny]


def _allow(sid: str, who: Any, actions: Sequence[str], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": who, "Action": list(actions), "Resource": resource}


def _deny(sid: str, action: str, bucket: str, condition: dict[str, Any]) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resources, "Condition": condition}


def _camel(text: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", text))


def _tail(prefix: str) -> str:
    return f"Below{_camel(prefix)[:64]}" if prefix else ""


def _networks(text: str) -> list[str]:
    words = re.split(r"[\s,]+", text.strip())
    found = []
    for word in words:
        try:
            found.append(str(ipaddress.ip_network(word, strict=False)))
        except ValueError as error:
            raise Invalid("Write addresses or ranges such as 203.0.113.0/24, with commas between them.", field="addresses") from error
    return found


# --- a policy as a list of statements


def listed(text: str) -> list[dict[str, Any]]:
    """The statements of a stored policy."""
    if not text:
        return []
    given = json.loads(text).get("Statement", [])
    return [given] if isinstance(given, dict) else list(given)


def added(text: str, more: Sequence[Mapping[str, Any]]) -> str:
    """The policy with these statements, in place of those of the same Sid."""
    sids = {one["Sid"] for one in more}
    kept = [one for one in listed(text) if one.get("Sid") not in sids]
    return _written(text, [*kept, *more])


def without(text: str, position: int) -> str:
    """The policy without its statement at this position from 0; empty when it was the last."""
    kept = listed(text)
    if not 0 <= position < len(kept):
        raise Invalid("The policy has changed meanwhile: this statement is not there.")
    del kept[position]
    return _written(text, kept) if kept else ""


def _written(before: str, kept: Sequence[Mapping[str, Any]]) -> str:
    document = json.loads(before) if before else {}
    return json.dumps({"Version": VERSION, **document, "Statement": list(kept)}, indent=2, ensure_ascii=False)


def pretty(text: str) -> str:
    """Indented, as it is edited."""
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False) if text else ""


# --- told as sentences


def told(statement: Mapping[str, Any]) -> str:
    """A statement as a sentence. What has no plain words is told by its own."""
    actions, who = _list(statement.get("Action")), _who(statement)
    where, when = _where(statement), _when(statement.get("Condition") or {})
    allow = statement.get("Effect") == "Allow"
    if "NotAction" in statement:
        what = f"do everything but {', '.join(_list(statement['NotAction']))}"
    else:
        what = _what(actions)
    return f"{who} {'may' if allow else 'may not'} {what}{where}{when}."


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _what(actions: Sequence[str]) -> str:
    plain = set(actions)
    if plain & {"*", "s3:*"}:
        return "do anything"
    words = []
    for word, some in (
        ("list", {"s3:ListBucket", "s3:ListBucketVersions"}),
        ("read", {"s3:GetObject", "s3:GetObjectVersion"}),
        ("write", {"s3:PutObject"}),
        ("delete", {"s3:DeleteObject", "s3:DeleteObjectVersion"}),
    ):
        if plain & some:
            words.append(word)
    covered = {*_READ, *_LIST, *_WRITE, "s3:DeleteObjectVersion"}
    words += sorted(plain - covered)
    if not words:
        words = sorted(plain)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _who(statement: Mapping[str, Any]) -> str:
    negated = "NotPrincipal" in statement
    given = statement.get("NotPrincipal" if negated else "Principal")
    names = [] if given == "*" else [name for kind in (given or {}).values() for name in _list(kind)]
    if given == "*" or "*" in names:
        return "Anybody"
    shown = ", ".join(_name(name) for name in names)
    return f"Everybody but {shown}" if negated else shown


def _name(arn: str) -> str:
    found = re.fullmatch(r"arn:aws[a-z-]*:(?:iam|sts)::([^:/]*):(.*)", arn)
    if not found:
        return arn
    account, rest = found.groups()
    return f"Project {account}" if rest == "root" else f"{rest.rpartition('/')[2]}{f' of project {account}' if account else ''}"


def _where(statement: Mapping[str, Any]) -> str:
    negated = "NotResource" in statement
    found = [re.sub(r"^arn:[^/]*:::[^/]*/?", "", one) for one in _list(statement.get("NotResource" if negated else "Resource"))]
    below = [one.removesuffix("*") for one in found if one not in ("", "*")]
    if not below:
        return ""
    return f" {'outside of' if negated else 'below'} {', '.join(below)}"


_TESTS = {
    ("bool", "aws:securetransport", "false"): " without TLS",
    ("null", "s3:x-amz-server-side-encryption", "true"): " without encryption",
}


def _when(conditions: Mapping[str, Any]) -> str:
    parts = []
    for operator, tests in conditions.items():
        for key, values in tests.items():
            listed_values = [str(value) for value in (values if isinstance(values, list) else [values])]
            known = _TESTS.get((operator.lower(), key.lower(), listed_values[0].lower()))
            if known:
                parts.append(known)
            elif key.lower() == "aws:sourceip" and operator == "NotIpAddress" and listed_values == list(LOOPBACK):
                parts.append(" from outside of the box")
            elif key.lower() == "aws:sourceip":
                parts.append(f" {'from anywhere but' if operator.lower().startswith('not') else 'from'} {', '.join(listed_values)}")
            elif key.lower() == "s3:prefix":
                parts.append(f" below {', '.join(value.removesuffix('*') for value in listed_values)}")
            else:
                parts.append(f" when {key} {operator} {', '.join(listed_values)}")
    return ",".join(parts)


# --- mistakes, with their place


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a policy, and in which line of the text (from 1; 0: the whole)."""

    line: int
    sentence: str

    @property
    def text(self) -> str:
        return f"Line {self.line}: {self.sentence}" if self.line else self.sentence


def mistakes(text: str, *, bucket: str) -> list[Mistake]:
    """Everything that keeps a policy from being stored: one for the whole, or one for each bad statement."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        return [Mistake(error.lineno, f"This is not JSON: {error.msg} at column {error.colno}.")]
    except (ValueError, RecursionError):
        return [Mistake(0, "This is not JSON.")]
    try:
        policies.parse(text, bucket=bucket)
    except MalformedPolicy as error:
        whole = error.message
    else:
        return []
    given = document.get("Statement") if isinstance(document, dict) else None
    each = given if isinstance(given, list) else [given]
    lines = _lines(text, len(each)) if isinstance(given, list) else [0]
    found = []
    for position, one in enumerate(each):
        try:
            policies.parse(json.dumps({"Version": VERSION, "Statement": [one]}), bucket=bucket)
        except MalformedPolicy as error:
            found.append(Mistake(lines[position], error.message))
    # Where every statement is good by itself, the mistake is in what is around them.
    return found or [Mistake(0, whole)]


def _lines(text: str, count: int) -> list[int]:
    """The line where each statement begins; 0 where the text is too strange to tell."""
    start = re.search(r'"Statement"\s*:\s*\[', text)
    decoder = json.JSONDecoder()
    lines: list[int] = []
    at = start.end() if start else -1
    while at >= 0 and len(lines) < count:
        blank = re.compile(r"[\s,]*").match(text, at)
        at = blank.end() if blank else at
        try:
            _, end = decoder.raw_decode(text, at)
        except ValueError:
            break
        lines.append(text.count("\n", 0, at) + 1)
        at = end
    return lines + [0] * (count - len(lines))
