"""One object as its panel shows it: what it is, a glance inside, its versions, who may have it by a link."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudbox.common.errors import CloudError, Forbidden, Invalid, NotFound
from cloudbox.common.object_client import COPY_BYTES_MAX, KEPT, Entry, Head, Replica
from dashboard.downloads import attachment
from dashboard.object_names import shown, why_unreachable, wire
from dashboard.portal.object_store import ADDRESS_SECONDS, Place
from identity.context import Context

TEXT_BYTES_MAX = 64 * 1024
IMAGE_BYTES_MAX = 32 * 2**20
VERSIONS_SHOWN = 50
METADATA_BYTES_MAX = 2048  # S3's limit of what an owner says of an object.
TAGS_MAX = 10
GOOD_COPY = "whole"  # The store's word for a copy that is there and was not found damaged.

# What is shown as what it says it is: kinds that browsers draw and never run. Everything else is text, or is not shown.
_IMAGES = frozenset("image/png image/jpeg image/gif image/webp image/avif image/bmp image/x-icon image/vnd.microsoft.icon".split())
_FILMS = frozenset("video/mp4 video/webm video/ogg audio/mpeg audio/ogg audio/wav audio/x-wav audio/mp4 audio/webm audio/flac".split())
_TEXTS = frozenset(
    "application/json application/xml application/javascript application/x-javascript application/yaml application/x-yaml application/toml "
    "application/sql application/x-sh application/x-ndjson image/svg+xml application/xhtml+xml application/x-httpd-php".split()
)
_TEXT_ENDINGS = frozenset(
    "txt md rst log csv tsv json yaml yml toml ini cfg conf xml html htm css js ts py rb go rs c h cpp java sh sql "
    "svg env tf vtt srt".split()
)
_ENDINGS = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "avif": "image/avif",
    "pdf": "application/pdf", "mp4": "video/mp4", "webm": "video/webm", "mp3": "audio/mpeg", "ogg": "audio/ogg", "wav": "audio/wav",
}  # fmt: skip
_UNSAID = ("", "application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True)
class Preview:
    """`kind` is image, film, sound, pdf, text or "" with the reason in `why`."""

    kind: str
    url: str = ""
    text: str = ""
    cut: bool = False
    why: str = ""


@dataclass(frozen=True)
class Places:
    """Where the copies lie: one sentence, one state, and a tile for each drive that has one."""

    status: str
    label: str
    sentence: str
    drives: list[Replica]


_DISKS = (".qcow2", ".img", ".raw", ".vmdk", ".vhd", ".vhdx", ".vdi", ".ova", ".iso")


@dataclass
class Detail:
    """Everything that the panel shows. `head` is None of what is deleted: then only its versions are there."""

    key: str
    version: str
    head: Head | None
    preview: Preview | None = None
    tags: dict[str, str] = field(default_factory=dict)
    versions: list[Entry] = field(default_factory=list)
    more_versions: bool = False
    why_no_tags: str = ""
    error: str = ""
    places: Places | None = None

    @property
    def name(self) -> str:
        return shown(self.key.rstrip("/").rpartition("/")[2] or self.key)

    @property
    def full_name(self) -> str:
        return shown(self.key)

    @property
    def wire(self) -> str:
        return wire(self.key)

    @property
    def makes_image(self) -> bool:
        """Is it called as disks and discs are? What it really is, is seen when it is brought in."""
        return self.key.lower().endswith(_DISKS) and self.key.isprintable()

    @property
    def is_deleted(self) -> bool:
        return bool(self.versions) and self.versions[0].marker and not self.version

    @property
    def why_unreachable(self) -> str:
        return why_unreachable(self.key)

    @property
    def metadata_lines(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.head.metadata.items()) if self.head else ""

    @property
    def tag_lines(self) -> str:
        return "\n".join(f"{name}={value}" for name, value in self.tags.items())

    @property
    def header(self) -> dict[str, str]:
        """By name with underscores, for templates."""
        return {name.replace("-", "_"): value for name, value in self.head.headers.items()} if self.head else {}

    @property
    def checksum(self) -> tuple[str, str]:
        """(algorithm, value) that the store keeps, if any."""
        for name in ("crc64nvme", "crc32c", "crc32", "sha256", "sha1"):
            if found := self.header.get(f"x_amz_checksum_{name}"):
                return name.upper(), found
        return "", ""

    @property
    def encryption(self) -> str:
        if self.header.get("x_amz_server_side_encryption_customer_algorithm"):
            return "with a key that its owner keeps"
        if key := self.header.get("x_amz_server_side_encryption_aws_kms_key_id"):
            return f"with the key {key}"
        return "with a key of the box" if self.header.get("x_amz_server_side_encryption") else ""

    @property
    def locked_until(self) -> datetime | None:
        text = self.header.get("x_amz_object_lock_retain_until_date")
        return datetime.fromisoformat(text) if text else None

    @property
    def lock_mode(self) -> str:
        return self.header.get("x_amz_object_lock_mode", "").lower()

    @property
    def is_held(self) -> bool:
        return self.header.get("x_amz_object_lock_legal_hold") == "ON"

    @property
    def why_no_edit(self) -> str:
        """Why its properties cannot be changed here; S3 changes them by copying the object onto itself."""
        if self.version:
            return "This is an older version; only the current one can be changed."
        if self.head and self.head.size > COPY_BYTES_MAX:
            return "S3 changes properties by a copy, and copies at most 5 GiB at once. Set them when you upload it."
        if self.header.get("x_amz_server_side_encryption_customer_algorithm"):
            return "It is encrypted with a key that its owner keeps; a copy needs that key."
        return ""


def read(where: Place, key: str, version: str, url: str) -> Detail:
    """From the store; `url` is where the browser finds it. What the viewer may not see is left out, with the reason."""
    found = Detail(key, version, None)
    try:
        found.head = where.client.head(where.name, key, version=version, headers={"x-amz-checksum-mode": "ENABLED"})
    except NotFound:
        found.error = "It is not there (any more)."
    except (Forbidden, Invalid) as error:
        found.error = _said_of_head(error)
    if where.has_versions:
        _read_versions(where, found)
    if found.is_deleted:
        found.error = ""
    if found.head is None:
        return found
    try:
        found.tags = where.client.tags(where.name, key, version=version)
    except CloudError as error:
        found.why_no_tags = error.message
    found.preview = preview(where, found, url)
    try:
        found.places = places_of(*where.client.replicas(where.name, key, version=version))
    except CloudError:
        pass  # A store that does not tell, or a drive that is just away: the object itself is shown all the same.
    return found


def places_of(whole: int, replicas: list[Replica]) -> Places | None:
    """For people: how many copies are good, and how long ago the one looked at longest ago was compared with its checksum."""
    if not replicas:
        return None
    good = [one for one in replicas if one.state == GOOD_COPY]
    unseen = any(one.verified is None for one in good)
    if len(good) >= whole:
        status = "unknown" if unseen and not any(one.verified for one in good) else "ok"
        label = "Not checked yet" if status == "unknown" else f"{len(good)} of {whole} good"
    else:
        status, label = "warn" if good else "bad", f"{len(good)} of {whole} good"
    if len(good) < whole:
        sentence = "What is missing is written anew from the good copies, by itself." if good else "No good copy is reachable right now."
    elif unseen:
        sentence = "Every copy was checked as it was written; each is read again and compared with its checksum in turn."
    else:
        sentence = "Each copy is read in turn and compared with its checksum; a bad one is written anew from a good one."
    return Places(status, label, sentence, replicas)


def _said_of_head(error: CloudError) -> str:
    """A HEAD is answered without a body, so the store cannot say why."""
    if isinstance(error, Invalid):
        return "It is encrypted with a key that its owner keeps, and nobody else can open it. Use a client that has the key."
    return error.message


def _read_versions(where: Place, found: Detail) -> None:
    try:
        page = where.client.list_versions(where.name, prefix=found.key, limit=VERSIONS_SHOWN + 1)
    except Forbidden:
        return
    own = [one for one in page.entries if one.key == found.key]
    found.versions, found.more_versions = own[:VERSIONS_SHOWN], len(own) > VERSIONS_SHOWN


def kind_of(key: str, content_type: str) -> str:
    """The type to show an object as: what it says, or what its name says where it says nothing."""
    said = content_type.partition(";")[0].strip().lower()
    return _ENDINGS.get(_ending(key), said) if said in _UNSAID else said


def _ending(key: str) -> str:
    return key.rpartition(".")[2].lower() if "." in key.rpartition("/")[2] else ""


def preview(where: Place, found: Detail, url: str) -> Preview:
    """A glance inside. Pictures, films and PDFs come from the store's own origin, under a type that is one of a few; text is read here
    and shown as text, whatever it says it is, so that no upload ever becomes a page."""
    assert found.head is not None
    size, kind = found.head.size, kind_of(found.key, found.head.content_type)
    if size == 0:
        return Preview("", why="It is empty.")
    if found.header.get("content_encoding") not in (None, "", "identity", "aws-chunked"):
        return Preview("", why=f"It is packed ({found.header['content_encoding'][:20]}). Download it to look inside.")
    if kind in _IMAGES or kind in _FILMS or kind == "application/pdf":
        if not url or found.why_unreachable:
            return Preview("", why=found.why_unreachable or "This page came by https, and the object store answers by http only.")
        if kind in _IMAGES and size > IMAGE_BYTES_MAX:
            return Preview("", why="It is too large to show here. Download it.")
        shape = "image" if kind in _IMAGES else "pdf" if kind == "application/pdf" else "film" if kind.startswith("video/") else "sound"
        return Preview(shape, url=address(where, found.key, found.version, url, kind=kind))
    if (
        kind.startswith("text/")
        or kind in _TEXTS
        or kind.endswith(("+json", "+xml"))
        or (kind in _UNSAID and _ending(found.key) in _TEXT_ENDINGS)
    ):
        return _text_preview(where, found, size)
    return Preview("", why="There is no preview of this kind of file.")


def _text_preview(where: Place, found: Detail, size: int) -> Preview:
    length = min(size, TEXT_BYTES_MAX)
    try:
        with where.client.get(where.name, found.key, version=found.version, length=length) as download:
            data = download.read(length)
    except CloudError as error:
        return Preview("", why=error.message)
    if b"\0" in data:
        return Preview("", why="It says it is text, but it is not. Download it.")
    # A character may be cut in half at the end.
    text = data.decode("utf-8", "ignore" if length < size else "replace")
    return Preview("text", text=text, cut=length < size)


def address(where: Place, key: str, version: str, url: str, *, kind: str = "", seconds: int = ADDRESS_SECONDS) -> str:
    """An address that shows the object as `kind`, or downloads it under its name."""
    query = {"versionId": version} if version else {}
    if kind:
        query |= {"response-content-type": kind, "response-content-disposition": "inline"}
    else:
        query["response-content-disposition"] = attachment(key)
    return where.client.presign("GET", where.name, key, seconds=seconds, query=query, base_url=url)


# --- what a person typed


def metadata_of(text: str) -> dict[str, str]:
    """From lines of `name: value`. Raises Invalid."""
    found: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not name or not all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in name):
            raise Invalid(f"“{shown(line[:60])}” is not “name: value”; a name has letters, digits, hyphens and dots.", field="metadata")
        if name in found:
            raise Invalid(f"“{name}” stands there twice.", field="metadata")
        _check_value(value, "metadata")
        found[name] = value
    if sum(len(name) + len(value) for name, value in found.items()) > METADATA_BYTES_MAX:
        raise Invalid(f"Metadata has at most {METADATA_BYTES_MAX} characters in all.", field="metadata")
    return found


def tags_of(text: str) -> dict[str, str]:
    """From lines of `name=value`. Raises Invalid; what S3 forbids beyond that, the store says."""
    found: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        name, equals, value = line.partition("=")
        if not name.strip() or not equals:
            raise Invalid(f"“{shown(line[:60])}” is not “name=value”.", field="tags")
        if name.strip() in found:
            raise Invalid(f"“{shown(name.strip())}” stands there twice.", field="tags")
        found[name.strip()] = value.strip()
    if len(found) > TAGS_MAX:
        raise Invalid(f"An object has at most {TAGS_MAX} tags.", field="tags")
    return found


def _check_value(value: str, name: str) -> str:
    if not (value.isascii() and (value.isprintable() or not value)):
        raise Invalid("A header holds only ASCII characters that can be seen.", field=name)
    return value


HEADERS = ("content_type", "cache_control", "content_disposition", "content_language")


def headers_of(text: dict[str, str]) -> dict[str, str]:
    """The headers that describe an object, by field name. Raises Invalid."""
    return {name.replace("_", "-"): _check_value(value, name) for name, value in text.items() if value}


def replace_properties(where: Place, key: str, etag: str, headers: dict[str, str], metadata: dict[str, str]) -> None:
    """S3 changes properties by a copy of the object onto itself, only as long as it is the one that was looked at."""
    head = where.client.head(where.name, key)
    kept = {name: value for name, value in head.headers.items() if name in KEPT and name.replace("-", "_") not in HEADERS}
    given = {
        **kept,
        **headers,
        **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
        "x-amz-metadata-directive": "REPLACE",
        "x-amz-copy-source-if-match": f'"{etag}"',
    }
    where.client.copy(where.name, key, source_bucket=where.name, source_key=key, headers=given)


def restore(where: Place, key: str, version: str) -> None:
    """An older version becomes the current one, by a copy; it stays itself."""
    head = where.client.head(where.name, key, version=version)
    if head.size > COPY_BYTES_MAX:
        where.client.copy_in_parts(where.name, key, source_bucket=where.name, source_key=key, source_version=version, head=head)
    else:
        where.client.copy(where.name, key, source_bucket=where.name, source_key=key, source_version=version)


def facts(ctx: Context, found: Detail) -> dict[str, Any]:
    """For the template, besides the Detail itself."""
    return {"why_change": ctx.why_not("buckets.manage"), "why_edit": ctx.why_not("buckets.manage") or found.why_no_edit}
