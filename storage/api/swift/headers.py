"""Headers: metadata in and out with its limits, dates, conditions."""

from __future__ import annotations

import datetime as dt
import email.utils
import mimetypes
import time
from collections.abc import Mapping
from urllib.parse import quote, unquote

from storage.api.swift.call import Call
from storage.api.swift.errors import SwiftError
from storage.api.swift.info import META_BYTES_MAX, META_COUNT_MAX, META_NAME_LENGTH_MAX, META_VALUE_LENGTH_MAX
from storage.engine import Condition, Version
from storage.errors import ConditionFailed
from storage.properties import Properties

SECOND = 1_000_000_000
EXPIRY_MAX = 9_999_999_999  # Ten digits, the latest moment that Swift's times can say.
# What an object keeps beside its metadata.
KEPT = ("content-encoding", "content-disposition", "cache-control", "content-language", "expires", "x-robots-tag", "x-object-manifest")
OCTETS = "application/octet-stream"


TRUE = ("true", "1", "yes", "on", "t", "y")


def flag_of(value: str) -> bool | None:
    """A switch in a header; None for what is empty, so left to the account's or Swift's own choice."""
    return value.strip().lower() in TRUE if value.strip() else None


def utf8(value: str) -> str:
    """A header's value as text: what travels are bytes of UTF-8 (the server reads every header as ISO 8859-1)."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def wire(value: str) -> str:
    """Text as a header's value."""
    return value.encode("utf-8", "surrogateescape").decode("latin-1")


# --- metadata


def metadata(headers: Mapping[str, str], kind: str, *, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a request sets of X-<kind>-Meta-*, on top of `known`: an empty value removes, and so does X-Remove-<kind>-Meta-*.

    Raises 400 when a limit is passed. Names are in lower case, values as they travel.
    """
    prefix, remove = f"x-{kind}-meta-", f"x-remove-{kind}-meta-"
    sent = {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}
    _check(sent)
    merged = dict(known or {})
    for name in headers:
        if name.startswith(remove):
            merged.pop(name.removeprefix(remove), None)
    for name, value in sent.items():
        if value:
            merged[name] = value
        else:
            merged.pop(name, None)
    _check_overall(merged)
    return merged


def _check(sent: Mapping[str, str]) -> None:
    for name, value in sent.items():
        if not name:
            raise SwiftError(400, "Metadata name cannot be empty")
        try:
            name.encode("latin-1").decode()
            value.encode("latin-1").decode()
        except UnicodeError as error:
            raise SwiftError(400, "Metadata must be valid UTF-8") from error
        if len(name) > META_NAME_LENGTH_MAX:
            raise SwiftError(400, f"Metadata name too long: {name[:META_NAME_LENGTH_MAX]}")
        if len(value) > META_VALUE_LENGTH_MAX:
            raise SwiftError(400, f"Metadata value longer than {META_VALUE_LENGTH_MAX}: {name}")
    _check_overall(sent)


def _check_overall(meta: Mapping[str, str]) -> None:
    if len(meta) > META_COUNT_MAX:
        raise SwiftError(400, f"Too many metadata items; max {META_COUNT_MAX}")
    if sum(len(name) + len(value) for name, value in meta.items()) > META_BYTES_MAX:
        raise SwiftError(400, f"Total metadata too large; max {META_BYTES_MAX}")


def shown(kind: str, meta: Mapping[str, str]) -> dict[str, str]:
    return {f"X-{kind.title()}-Meta-{'-'.join(part.title() for part in name.split('-'))}": value for name, value in meta.items()}


# --- objects


def described(call: Call) -> Properties:
    """What the headers of a PUT say of the new object."""
    given = call.headers
    properties = Properties(content_type=content_type(call))
    properties.headers = {name: given[name] for name in KEPT if given.get(name)}
    properties.user = object_meta(given)
    properties.expires_ns = expiry(given)
    return properties


def object_meta(given: Mapping[str, str]) -> dict[str, str]:
    meta = {name.removeprefix("x-object-meta-"): value for name, value in given.items() if name.startswith("x-object-meta-")}
    _check(meta)
    return {name: value for name, value in meta.items() if value}


def content_type(call: Call) -> str:
    given = call.header("content-type")
    detect = (call.header("x-detect-content-type") or "").lower() in ("true", "1", "yes", "on", "t", "y")
    if given is not None and not detect:
        try:
            given.encode("latin-1").decode()
        except UnicodeError as error:
            raise SwiftError(400, "Content-Type must be valid UTF-8") from error
        if given:
            return given
    return mimetypes.guess_type(call.object)[0] or OCTETS


def expiry(given: Mapping[str, str]) -> int:
    """X-Delete-At, or X-Delete-After from now, in ns since 1970; 0 for never."""
    if given.get("x-delete-after"):
        try:
            seconds = int(given["x-delete-after"])
        except ValueError as error:
            raise SwiftError(400, "Non-integer X-Delete-After") from error
        at = int(time.time()) + seconds
        if seconds <= 0:
            raise SwiftError(400, "X-Delete-After in past")
    elif given.get("x-delete-at"):
        try:
            at = int(given["x-delete-at"])
        except ValueError as error:
            raise SwiftError(400, "Non-integer X-Delete-At") from error
        if at < time.time():
            raise SwiftError(400, "X-Delete-At in past")
    else:
        return 0
    return min(at, EXPIRY_MAX) * SECOND


def check_expiry(given: Mapping[str, str], properties: Properties | None) -> None:
    """X-If-Delete-At: the change is meant for an object that ends then."""
    text = given.get("x-if-delete-at")
    if text is None:
        return
    try:
        at = int(text)
    except ValueError as error:
        raise SwiftError(400, "Bad X-If-Delete-At header value") from error
    if properties is not None and properties.expires_ns == -1:
        return  # Only its form is looked at.
    if properties is None or properties.expires_ns != at * SECOND:
        raise SwiftError(412, "X-If-Delete-At and X-Delete-At do not match")


def changed_ns(version: Version, properties: Properties) -> int:
    """When the object was last written or, by POST, changed."""
    posted: int = properties.extra.get("posted_ns", 0)
    return max(version.modified_ns, posted)


def of_object(version: Version, properties: Properties) -> dict[str, str]:
    """What a GET or HEAD tells of an object, but its length and ETag."""
    changed = changed_ns(version, properties)
    found = {
        "Content-Type": properties.content_type or OCTETS,
        "Last-Modified": http_date(-(-changed // SECOND)),
        "X-Timestamp": timestamp(changed),
        "Accept-Ranges": "bytes",
        **{_title(name): value for name, value in properties.headers.items()},
        **shown("Object", properties.user),
    }
    if properties.expires_ns:
        found["X-Delete-At"] = str(properties.expires_ns // SECOND)
    return found


def _title(name: str) -> str:
    return "-".join(part.title() for part in name.split("-"))


# --- times


def timestamp(ns: int) -> str:
    """Seconds with five digits, as Swift's own."""
    return f"{ns // 10_000 / 100_000:.5f}"


def http_date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


def iso(ns: int) -> str:
    """As listings show times."""
    return dt.datetime.fromtimestamp(ns // 1000 / 1_000_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def date_of(text: str | None) -> int | None:
    """Seconds since 1970 of an HTTP date; None for what is none."""
    if not text:
        return None
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp())


# --- conditions


def etags(text: str) -> list[str]:
    return [one.strip().removeprefix("W/").strip('"') for one in text.split(",")]


def check_read(call: Call, etag: str, changed: int, others: tuple[str, ...] = ()) -> None:
    """If-Match and its kin (RFC 9110, section 13.2.2): 412, or 304 by SwiftError."""
    given = call.headers
    seconds = -(-changed // SECOND)
    base = {"Etag": etag, "Last-Modified": http_date(seconds)}
    mine = {etag, *others}
    if (match := given.get("if-match")) is not None and match.strip() != "*" and not mine & set(etags(match)):
        raise SwiftError(412, headers=base)
    # Swift looks at this also beside If-Match, where HTTP would pass over it.
    if (since := date_of(given.get("if-unmodified-since"))) is not None and seconds > since:
        raise SwiftError(412, headers=base)
    if (none := given.get("if-none-match")) is not None:
        if none.strip() == "*" or mine & set(etags(none)):
            raise SwiftError(304, headers=base)
    elif (since := date_of(given.get("if-modified-since"))) is not None and seconds <= since:
        raise SwiftError(304, headers=base)


def write_condition(call: Call) -> Condition | None:
    """If-None-Match: * is the one condition that writes know."""
    given = call.header("if-none-match")
    if given is None:
        return None
    if given.strip() != "*":
        raise SwiftError(400, "If-None-Match only supports *")

    def absent(current: Version | None) -> None:
        if current is not None and not current.delete_marker:
            raise ConditionFailed("If-None-Match")

    return absent


# --- paths in headers


def path_of(value: str, header: str) -> tuple[str, str]:
    """container/object of X-Copy-From, Destination and such: percent-encoded, with or without a leading slash. 412 for others."""
    text = unquote(utf8(value))
    container, slash, name = text.lstrip("/").partition("/")
    if not slash or not container or not name:
        raise SwiftError(412, f"{header} header must be of the form <container name>/<object name>")
    return container, name


def quoted_path(*parts: str) -> str:
    return "/".join(quote(part) for part in parts)


def now() -> float:
    return time.time()
