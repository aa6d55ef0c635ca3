"""How the other processes reach the object store: S3 over HTTP, on any endpoint: the box's own store, or a given one (a Ceph RGW, say).

client = ObjectClient(endpoint(), lambda: Keys(…))       # temporary ones: identity.temporary
page = client.list_objects("media", prefix="2026/", delimiter="/")
with client.get("media", "film.mov", start=0, length=2**20) as download: …
client.presign("GET", "media", "film.mov", seconds=3600)

urllib3 carries it (pools, TLS, time-outs: 5 MiB in a process, where boto3 takes 38); signatures are object_signing. Errors come as
the house's meanings, with the store's own sentence where it has one for the tenant. What may safely be sent twice is tried again
while the store does not answer; what may not is not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import IO, Any, NoReturn
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import urllib3
from django.conf import settings
from urllib3.util import Retry, Timeout

from cloudbox.common import errors
from cloudbox.common.object_signing import (
    EMPTY_SHA256,
    UNSIGNED,
    Keys,
    encoded_path,
    encoded_query,
    presigned_query,
    signed_headers,
)

CONNECTIONS = 16
CONNECT_SECONDS, READ_SECONDS = 3.0, 30.0
TRIES = 3
DOCUMENT_BYTES_MAX = 16 * 2**20
DELETE_MAX = 1000
COPY_BYTES_MAX = 5 * 2**30  # S3's limit of one copy; above it an object is copied in parts.
COPY_PART_BYTES = 1 * 2**30
PIECE_BYTES = 256 * 1024
_AGAIN = (500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a store answers: `url` without a path, and the region that signatures name."""

    url: str
    region: str = "us-east-1"

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


def endpoint() -> Endpoint:
    """The store of this box, as its settings name it. Raises NotSupported on a box that has none."""
    if not settings.STORE_URL:
        raise errors.NotSupported("This box runs no object store. Its administrator can add one with bin/cloudbox up.")
    return Endpoint(settings.STORE_URL, settings.REGION)


@dataclass(frozen=True, slots=True)
class Entry:
    """An object, or one version of it, in a listing. `marker`: it stands for a deletion."""

    key: str
    size: int = 0
    modified: datetime | None = None
    etag: str = ""
    storage_class: str = ""
    version: str = ""
    latest: bool = True
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a listing. `next` goes into the call for the following page; empty when this was the last."""

    entries: list[Entry]
    prefixes: list[str]
    next: str = ""
    next_version: str = ""


@dataclass(frozen=True, slots=True)
class Replica:
    """What one drive has of an object: `state` is whole, missing (the drive is away) or damaged; `verified`: when it was last compared."""

    drive: str
    state: str
    verified: datetime | None


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    etag: str
    size: int = 0
    crc32: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is under way."""

    key: str
    id: str


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of an answer tell of an object. Header names are in lower case."""

    headers: Mapping[str, str] = field(repr=False)

    @property
    def size(self) -> int:
        return int(self.headers.get("content-length", "0"))

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "").strip('"')

    @property
    def version(self) -> str:
        return self.headers.get("x-amz-version-id", "")

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def modified(self) -> datetime | None:
        text = self.headers.get("last-modified")
        return parsedate_to_datetime(text).astimezone(UTC) if text else None

    @property
    def metadata(self) -> dict[str, str]:
        """What its owner says of it, by name without the prefix."""
        return {name[11:]: value for name, value in self.headers.items() if name.startswith("x-amz-meta-")}


class Download:
    """An open answer: iterate over its pieces, or `read` it up to a limit."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer
        self.head = Head({name.lower(): value for name, value in answer.headers.items()})

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.stream(PIECE_BYTES, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise errors.Unavailable("The object store stopped in the middle of an answer. Try again.") from error

    def read(self, limit: int) -> bytes:
        found = bytearray()
        for piece in self:
            found += piece
            if len(found) > limit:
                raise errors.TooLarge(f"It is longer than {limit} bytes.")
        return bytes(found)


@dataclass(frozen=True, slots=True)
class Failure:
    """One object of many that could not be deleted."""

    key: str
    version: str
    code: str
    message: str


class ObjectClient:
    """Requests to one endpoint. `keys` is asked for every request, so that temporary ones can be renewed. Safe to share by threads."""

    def __init__(self, where: Endpoint, keys: Callable[[], Keys], *, read_seconds: float = READ_SECONDS) -> None:
        self.endpoint, self._keys = where, keys
        self._timeout = Timeout(connect=CONNECT_SECONDS, read=read_seconds)

    # --- objects

    def list_objects(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", token: str = "", after: str = "", limit: int = 1000
    ) -> Page:
        """Objects by name, the names with `delimiter` behind the prefix rolled up. `token` is `next` of the page before."""
        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(limit), "prefix": prefix}
        query |= {"delimiter": delimiter} if delimiter else {}
        query |= {"continuation-token": token} if token else {"start-after": after} if after else {}
        document = self._document("GET", bucket, query=query)
        return Page([_entry(one) for one in document.iter("Contents")], _prefixes(document), _text(document, "NextContinuationToken"))

    def list_versions(
        self, bucket: str, *, prefix: str = "", delimiter: str = "", after: str = "", after_version: str = "", limit: int = 1000
    ) -> Page:
        """Versions and delete markers, newest first within a name."""
        query = {"versions": "", "encoding-type": "url", "max-keys": str(limit), "prefix": prefix}
        query |= {"delimiter": delimiter} if delimiter else {}
        query |= {"key-marker": after} if after else {}
        query |= {"version-id-marker": after_version} if after_version else {}
        document = self._document("GET", bucket, query=query)
        found = [_entry(one) for one in document if one.tag in ("Version", "DeleteMarker")]
        # Without a version id the following page begins behind the name.
        return Page(found, _prefixes(document), unquote(_text(document, "NextKeyMarker")), _text(document, "NextVersionIdMarker"))

    def walk(self, bucket: str, *, prefix: str = "") -> Iterator[Entry]:
        """Every object below a prefix."""
        token = ""
        while True:
            page = self.list_objects(bucket, prefix=prefix, token=token)
            yield from page.entries
            token = page.next
            if not token:
                return

    def head(self, bucket: str, key: str, *, version: str = "", headers: Mapping[str, str] | None = None) -> Head:
        return _head_of(self._send("HEAD", bucket, key, query=_version(version), headers=headers or {}))

    @contextmanager
    def get(
        self,
        bucket: str,
        key: str,
        *,
        version: str = "",
        start: int = 0,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Download]:
        """The object, or `length` bytes of it from `start`. The connection is given back at the end of the block."""
        given = dict(headers or {})
        if start or length is not None:
            given["range"] = f"bytes={start}-" + ("" if length is None else str(start + length - 1))
        answer = self._send("GET", bucket, key, query=_version(version), headers=given, stream=True)
        try:
            yield Download(answer)
        finally:
            # What was not read to its end is not worth reading only to keep the connection.
            answer.close()
            answer.release_conn()

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes | IO[bytes] | Iterable[bytes],
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        length: int | None = None,
    ) -> Head:
        """Store it whole; what is not bytes needs its `length`. Only bytes and files can be sent again if the store stumbles."""
        given = {**(headers or {}), **{f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}}
        if content_type:
            given["content-type"] = content_type
        if not isinstance(body, bytes):
            assert length is not None, "a stream needs its length"
            given["content-length"] = str(length)
        again = isinstance(body, bytes) or hasattr(body, "seek")
        return _head_of(self._send("PUT", bucket, key, body=body, headers=given, again=again))

    def delete(self, bucket: str, key: str, *, version: str = "", headers: Mapping[str, str] | None = None) -> Head:
        return _head_of(self._send("DELETE", bucket, key, query=_version(version), headers=headers or {}))

    def delete_many(self, bucket: str, wanted: Sequence[tuple[str, str]], *, bypass_governance: bool = False) -> list[Failure]:
        """Delete (key, version) pairs, an empty version meaning the current one. At most DELETE_MAX; says what could not be."""
        assert len(wanted) <= DELETE_MAX
        given = {"x-amz-bypass-governance-retention": "true"} if bypass_governance else {}
        failed = []
        rows = []
        for key, version in wanted:
            if _fits_xml(key):
                rows.append(f"<Object><Key>{_escaped(key)}</Key>{f'<VersionId>{version}</VersionId>' if version else ''}</Object>")
                continue
            # No XML can say such a name; a request of its own can.
            try:
                self.delete(bucket, key, version=version, headers=given)
            except errors.CloudError as error:
                failed.append(Failure(key, version, getattr(error, "code", ""), error.message))
        if rows:
            document = self._document(
                "POST", bucket, query={"delete": ""}, body=f"<Delete><Quiet>true</Quiet>{''.join(rows)}</Delete>", headers=given, again=True
            )
            for one in document.iter("Error"):
                failed.append(Failure(_text(one, "Key"), _text(one, "VersionId"), _text(one, "Code"), _text(one, "Message")))
        return failed

    def copy(
        self,
        bucket: str,
        key: str,
        *,
        source_bucket: str,
        source_key: str,
        source_version: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Copy within the store. Raises Invalid above COPY_BYTES_MAX: see `copy_in_parts`."""
        given = {**(headers or {}), "x-amz-copy-source": copy_source(source_bucket, source_key, source_version)}
        answer = self._send("PUT", bucket, key, body=b"", headers=given, again=True)
        _refuse_late(answer)

    def copy_in_parts(self, bucket: str, key: str, *, source_bucket: str, source_key: str, head: Head, source_version: str = "") -> None:
        """Copy an object of any size, with its properties; `head` is the source's."""
        kept = {name: value for name, value in head.headers.items() if name in KEPT or name.startswith("x-amz-meta-")}
        upload = self.create_upload(bucket, key, headers=kept)
        source = copy_source(source_bucket, source_key, source_version)
        try:
            parts = []
            for number, start in enumerate(range(0, head.size, COPY_PART_BYTES), 1):
                end = min(start + COPY_PART_BYTES, head.size) - 1
                given = {
                    "x-amz-copy-source": source,
                    "x-amz-copy-source-range": f"bytes={start}-{end}",
                    "x-amz-copy-source-if-match": f'"{head.etag}"',
                }
                query = {"uploadId": upload, "partNumber": str(number)}
                document = _refuse_late(self._send("PUT", bucket, key, query=query, body=b"", headers=given, again=True))
                parts.append(Part(number, _text(document, "ETag").strip('"')))
            self.complete_upload(bucket, key, upload, parts)
        except errors.CloudError:
            self.abort_upload(bucket, key, upload)
            raise

    def acl(self, bucket: str, key: str) -> tuple[str, list[tuple[str, str]]]:
        """(owner, [(grantee, permission)]) of an object: grantees are ids, or the addresses of groups."""
        document = self._document("GET", bucket, key, query={"acl": ""})
        owner = document.find("Owner")
        grants = []
        for one in document.iter("Grant"):
            grantee = one.find("Grantee")
            if grantee is not None:
                grants.append((_text(grantee, "ID") or _text(grantee, "URI"), _text(one, "Permission")))
        return "" if owner is None else _text(owner, "ID"), grants

    def tags(self, bucket: str, key: str, *, version: str = "") -> dict[str, str]:
        document = self._document("GET", bucket, key, query={"tagging": "", **_version(version)})
        return {_text(one, "Key"): _text(one, "Value") for one in document.iter("Tag")}

    def put_tags(self, bucket: str, key: str, tags: Mapping[str, str], *, version: str = "") -> None:
        rows = "".join(f"<Tag><Key>{_escaped(name)}</Key><Value>{_escaped(value)}</Value></Tag>" for name, value in tags.items())
        body = f"<Tagging><TagSet>{rows}</TagSet></Tagging>".encode()
        self._send("PUT", bucket, key, query={"tagging": "", **_version(version)}, body=body)

    def replicas(self, bucket: str, key: str, *, version: str = "") -> tuple[int, list[Replica]]:
        """(on how many drives it should be, what each has): an extension of the box's own store. Raises NotSupported of another one."""
        answer = self._send("GET", bucket, key, query={"cloudbox-replicas": "", **_version(version)}, stream=True)
        try:
            if "etag" in answer.headers:
                # Another store passes over the parameter, and this is the object itself.
                raise errors.NotSupported("This object store does not tell where its copies lie.")
            found = json.loads(answer.read(DOCUMENT_BYTES_MAX))
        finally:
            answer.close()
            answer.release_conn()
        rows = [
            Replica(row["drive"], row["state"], datetime.fromisoformat(at) if (at := row["verified_at"]) else None)
            for row in found["replicas"]
        ]
        return int(found["expected"]), rows

    # --- buckets

    def create_bucket(self, bucket: str) -> None:
        """There already, and of the same owner: nothing. Somebody else's: AlreadyExists or Conflict, as the store has it."""
        try:
            self._send("PUT", bucket)
        except (errors.AlreadyExists, errors.Conflict):
            # Some stores say so of one's own bucket, too; of somebody else's this is refused.
            self.list_objects(bucket, limit=1)

    # --- uploads in parts

    def create_upload(self, bucket: str, key: str, *, headers: Mapping[str, str] | None = None) -> str:
        """Begin one; its id. A failure in between leaves an upload without parts, which lifecycle rules may end."""
        return _text(self._document("POST", bucket, key, query={"uploads": ""}, headers=headers), "UploadId")

    def put_part(self, bucket: str, key: str, upload: str, number: int, body: bytes) -> Part:
        answer = self._send("PUT", bucket, key, query={"uploadId": upload, "partNumber": str(number)}, body=body)
        return Part(number, _head_of(answer).etag, len(body))

    def list_parts(self, bucket: str, key: str, upload: str) -> list[Part]:
        """All that have arrived, by number. Raises NotFound when the upload has been completed or aborted."""
        found: list[Part] = []
        marker = "0"
        while True:
            query = {"uploadId": upload, "part-number-marker": marker}
            document = self._document("GET", bucket, key, query=query)
            for one in document.iter("Part"):
                etag = _text(one, "ETag").strip('"')
                found.append(Part(int(_text(one, "PartNumber")), etag, int(_text(one, "Size")), _text(one, "ChecksumCRC32")))
            if _text(document, "IsTruncated") != "true":
                return found
            marker = _text(document, "NextPartNumberMarker")

    def complete_upload(
        self, bucket: str, key: str, upload: str, parts: Sequence[Part], *, headers: Mapping[str, str] | None = None
    ) -> str:
        """Make an object of it; its etag."""
        rows = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{part.etag}&quot;</ETag>"
            f"{f'<ChecksumCRC32>{escape(part.crc32)}</ChecksumCRC32>' if part.crc32 else ''}</Part>"
            for part in parts
        )
        body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>"
        # To put parts together takes its time, and a store may answer 200 before it knows how it ends.
        return _text(self._document("POST", bucket, key, query={"uploadId": upload}, body=body, headers=headers), "ETag").strip('"')

    def list_uploads(self, bucket: str, *, prefix: str = "") -> Iterator[Upload]:
        """Every upload that was begun and neither completed nor aborted."""
        after = after_upload = ""
        while True:
            query = {"uploads": "", "encoding-type": "url", "prefix": prefix}
            query |= {"key-marker": after, "upload-id-marker": after_upload} if after else {}
            document = self._document("GET", bucket, query=query)
            for one in document.iter("Upload"):
                yield Upload(unquote(_text(one, "Key")), _text(one, "UploadId"))
            after, after_upload = unquote(_text(document, "NextKeyMarker")), _text(document, "NextUploadIdMarker")
            if not after:
                return

    def abort_upload(self, bucket: str, key: str, upload: str) -> None:
        """Nothing happens if it is gone already."""
        try:
            self._send("DELETE", bucket, key, query={"uploadId": upload})
        except errors.NotFound:
            pass

    # --- addresses

    def presign(
        self,
        method: str,
        bucket: str,
        key: str,
        *,
        seconds: int,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        base_url: str = "",
    ) -> str:
        """An address that stands for this request. `base_url` is the store's as the other side sees it; `headers` they must send."""
        base = (base_url or self.endpoint.url).rstrip("/")
        path = encoded_path(bucket, key)
        given = {"host": urlsplit(base).netloc, **{name.lower(): value for name, value in (headers or {}).items()}}
        region = self.endpoint.region
        return f"{base}{path}?" + presigned_query(self._keys(), method, path, query or {}, given, region=region, seconds=seconds)

    # --- requests

    def _document(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: Mapping[str, str],
        body: str = "",
        headers: Mapping[str, str] | None = None,
        again: bool | None = None,
    ) -> ElementTree.Element:
        data = body.encode()
        given = dict(headers or {})
        if data:
            given["content-type"] = "application/xml"
            given["content-md5"] = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        return _refuse_late(self._send(method, bucket, key, query=query, body=data, headers=given, again=again))

    def _send(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] | Iterable[bytes] = b"",
        stream: bool = False,
        again: bool | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """One request, tried again where it may be. Raises the meaning of what the store refused."""
        path, text = encoded_path(bucket, key), encoded_query(query or {})
        payload = UNSIGNED if not isinstance(body, bytes) else hashlib.sha256(body).hexdigest() if body else EMPTY_SHA256
        given = {"host": self.endpoint.host, **{name.lower(): value for name, value in (headers or {}).items()}}
        signed = signed_headers(self._keys(), method, path, text, given, region=self.endpoint.region, payload=payload)
        if again is None:
            again = method != "POST"
        # The end of an idle connection looks like a failed read: that, too, is only tried again where nothing can happen twice.
        tries = Retry(
            total=TRIES if again else 0,
            redirect=False,
            status_forcelist=_AGAIN if again else (),
            allowed_methods=None,
            backoff_factor=0.1,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        try:
            answer = _pool(self.endpoint.url).urlopen(
                method,
                f"{path}?{text}" if text else path,
                body=body or None,
                headers=signed,
                retries=tries,
                timeout=self._timeout,
                redirect=False,
                preload_content=not stream,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise errors.Unavailable("The object store does not answer. Try again in a moment.") from error
        if answer.status >= 300:
            _refuse(answer)
        return answer


# What describes an object, besides its own metadata, and goes with a copy.
KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")


def copy_source(bucket: str, key: str, version: str = "") -> str:
    """As x-amz-copy-source says it."""
    return encoded_path(bucket, key)[1:] + (f"?versionId={quote(version, safe='')}" if version else "")


def crc32(data: bytes) -> str:
    """As x-amz-checksum-crc32 says it."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@lru_cache(maxsize=8)
def _pool(url: str) -> urllib3.HTTPConnectionPool:
    parts = urlsplit(url)
    kind: Any = urllib3.HTTPSConnectionPool if parts.scheme == "https" else urllib3.HTTPConnectionPool
    more = {"ca_certs": str(settings.STORE_CA)} if parts.scheme == "https" and settings.STORE_CA else {}
    return kind(parts.hostname, parts.port, maxsize=CONNECTIONS, block=False, **more)


# --- answers


def _head_of(answer: urllib3.BaseHTTPResponse) -> Head:
    return Head({name.lower(): value for name, value in answer.headers.items()})


def _parsed(data: bytes) -> ElementTree.Element:
    """A document without its namespace. Entities are none of S3's business, and the door of all attacks by XML."""
    if len(data) > DOCUMENT_BYTES_MAX or b"<!DOCTYPE" in data[:4096] or b"<!ENTITY" in data:
        raise errors.Unavailable("The object store answered with something that is not S3.")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise errors.Unavailable("The object store answered with something that is not S3.") from error
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    return root


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.find(name)
    return (found.text or "") if found is not None else ""


def _entry(one: ElementTree.Element) -> Entry:
    modified = _text(one, "LastModified")
    return Entry(
        key=unquote(_text(one, "Key"), errors="surrogateescape"),
        size=int(_text(one, "Size") or 0),
        modified=datetime.fromisoformat(modified) if modified else None,
        etag=_text(one, "ETag").strip('"'),
        storage_class=_text(one, "StorageClass"),
        version=_text(one, "VersionId"),
        latest=_text(one, "IsLatest") != "false",
        marker=one.tag == "DeleteMarker",
    )


def _prefixes(document: ElementTree.Element) -> list[str]:
    return [unquote(_text(one, "Prefix"), errors="surrogateescape") for one in document.iter("CommonPrefixes")]


def _version(version: str) -> dict[str, str]:
    return {"versionId": version} if version else {}


def _fits_xml(text: str) -> bool:
    """XML 1.0 has no way to write most control characters ("Extensible Markup Language", section 2.2)."""
    return all(letter in "\t\n\r" or " " <= letter < "\ud800" or "\ue000" <= letter < "\ufffe" or letter > "\uffff" for letter in text)


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


_BY_CODE: dict[str, type[errors.CloudError]] = {
    "QuotaExceeded": errors.QuotaExceeded,
    "InvalidToken": errors.Forbidden,  # Keys of another box, or of a user who is one no longer.
    "ExpiredToken": errors.Forbidden,
    "NoSuchTagSet": errors.NotFound,
    "EntityTooLarge": errors.TooLarge,
    "SlowDown": errors.Unavailable,
    "MethodNotAllowed": errors.NotFound,  # Of a delete marker, which is no object.
    "RequestTimeout": errors.Unavailable,
    "InvalidObjectState": errors.Conflict,
}
_BY_STATUS: dict[int, tuple[type[errors.CloudError], str]] = {
    304: (errors.PreconditionFailed, "It has not changed."),
    400: (errors.Invalid, "The object store did not understand the request."),
    401: (errors.Forbidden, "Your role does not reach this object."),
    403: (errors.Forbidden, "Your role does not reach this, or a rule of the bucket keeps it from you."),
    404: (errors.NotFound, "There is no such object. It may have been deleted meanwhile."),
    405: (errors.NotFound, "There is no such object. It was deleted."),
    409: (errors.Conflict, "Something else happens to it right now. Try again in a moment."),
    411: (errors.Invalid, "The object store wants to know how long it is."),
    412: (errors.PreconditionFailed, "It has changed meanwhile."),
    413: (errors.TooLarge, "It is too large."),
    416: (errors.Invalid, "The object is shorter than that."),
    501: (errors.NotSupported, "The object store does not do this."),
    507: (errors.InsufficientCapacity, "The object store is full. Its administrator has to add a drive."),
}


def _refuse(answer: urllib3.BaseHTTPResponse) -> NoReturn:
    data = b""
    try:
        data = answer.data
    except urllib3.exceptions.HTTPError:
        pass
    finally:
        answer.release_conn()
    code = message = ""
    if data[:1] == b"<":
        try:
            document = _parsed(data)
            code, message = _text(document, "Code"), _text(document, "Message")
        except errors.Unavailable:
            pass  # A refusal may quote a name that XML cannot say; its status says enough.
    _raise(answer.status, code, message)


def _raise(status: int, code: str, message: str) -> NoReturn:
    kind, sentence = _BY_STATUS.get(status, (errors.Unavailable, "The object store does not answer. Try again in a moment."))
    error = _BY_CODE.get(code, kind)(message if message and status not in (401, 404, 405, 412) and status < 500 else sentence)
    # S3's word, for who has to tell apart what has one meaning.
    error.code = code  # type: ignore[attr-defined]
    raise error


def _refuse_late(answer: urllib3.BaseHTTPResponse) -> ElementTree.Element:
    """The document of an answer; S3 may say 200 first and find out later that it failed ("CompleteMultipartUpload", "CopyObject")."""
    document = _parsed(answer.data)
    if document.tag == "Error":
        _raise(400, _text(document, "Code"), _text(document, "Message"))
    return document
