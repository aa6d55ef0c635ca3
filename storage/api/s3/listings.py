"""Listings of objects, versions, uploads and parts, page by page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import quote
from uuid import UUID

from storage import uploads
from storage.api.s3 import checksums, xml
from storage.api.s3.call import Call
from storage.api.s3.errors import S3Error
from storage.engine import Columns
from storage.manifests import told
from storage.objects import part_facts
from storage.properties import listed, unpack
from storage.server import Response

KEYS_MAX = 1000
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/"  # What url encoding leaves alone; nearly all names.


class _Page:
    """What all listings share: prefix, delimiter, page size, how names are shown."""

    def __init__(self, call: Call, *, size: str = "max-keys") -> None:
        self.call = call
        self.prefix = call.query.get("prefix", "")
        self.delimiter = call.query.get("delimiter", "")
        self.size = _size(call.query.get(size), size)
        encoding = call.query.get("encoding-type", "")
        if encoding not in ("", "url"):
            raise S3Error(
                "InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type", ArgumentValue=encoding
            )
        self.encoded = encoding == "url"

    def refuse_unordered(self) -> None:
        """Ceph's extension for listings in any order: ours are always in order, and with a delimiter it makes no sense."""
        if self.delimiter and self.call.query.get("allow-unordered", "").lower() in ("true", "1"):
            raise S3Error("InvalidArgument", "allow-unordered cannot be combined with a delimiter.", ArgumentName="allow-unordered")

    def name(self, raw: bytes) -> str:
        """A name as it stands in the answer."""
        if self.encoded:
            return quote(raw, safe="/") if raw.translate(None, _PLAIN) else raw.decode()
        try:
            return xml.escape(raw.decode())
        except UnicodeDecodeError:
            return xml.escape(raw.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode())

    def names(self, raw: Sequence[bytes]) -> list[str]:
        """The same for many. Most need neither encoding nor escaping, which is seen in one look at all of them."""
        whole = b"\n".join(raw)
        if whole.count(b"\n") == len(raw) - 1 and not whole.translate(None, _PLAIN + b"\n"):
            return whole.decode().split("\n")
        return [self.name(one) for one in raw]

    def text(self, value: str) -> str:
        return self.name(_raw(value))

    def head(self) -> str:
        # Version 1 shows the prefix as it was given, whatever the encoding: so do AWS's own clients expect it.
        prefix = (
            self.text(self.prefix) if self.call.query.get("list-type") == "2" else xml.escape(_raw(self.prefix).decode("utf-8", "replace"))
        )
        found = f"<Name>{xml.escape(self.call.bucket_name)}</Name><Prefix>{prefix}</Prefix>"
        if self.delimiter:
            found += f"<Delimiter>{self.text(self.delimiter)}</Delimiter>"
        if self.encoded:
            found += "<EncodingType>url</EncodingType>"
        return found

    def prefixes(self, found: list[bytes]) -> str:
        return "".join(f"<CommonPrefixes><Prefix>{self.name(one)}</Prefix></CommonPrefixes>" for one in found)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _size(text: str | None, name: str) -> int:
    if text is None or text == "":
        return KEYS_MAX
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text)
    return min(int(text), 2**31 - 1)


def _owner(call: Call, owner: str) -> str:
    """An object's owner, by id and name. A name costs a look-up where it is a stranger's: then the id stands alone."""
    bucket = call.bucket
    if owner and owner != bucket.owner and not bucket.acls_off:
        known = call.who.display_name if owner == call.who.project else ""
        return f"<Owner><ID>{owner}</ID>{xml.element('DisplayName', known)}</Owner>"
    return f"<Owner><ID>{bucket.owner}</ID>{xml.element('DisplayName', bucket.owner_name)}</Owner>"


def _contents(call: Call, page: _Page, found: Columns, *, owner: bool) -> list[str]:
    """The objects of a page. This is where a listing spends its time, so what is alike for many is done once, and column by column."""
    names, modified_ns, sizes, etags, metas = found
    about = {meta: _about(call, meta, owner=owner) for meta in set(metas)}
    if any(b'"slo":' in meta for meta in about):
        sizes, etags = zip(*map(told, sizes, etags, metas), strict=True)
    rows = zip(page.names(names), xml.isos(modified_ns), etags, sizes, map(about.__getitem__, metas), strict=True)
    return [
        f"<Contents><Key>{name}</Key><LastModified>{moment}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
        f"{checksum}<Size>{size}</Size>{rest}</Contents>"
        for name, moment, etag, size, (checksum, rest) in rows
    ]


def _about(call: Call, meta: bytes, *, owner: bool) -> tuple[str, str]:
    """What the properties of an object add to its entry, before its size and behind it."""
    storage_class, checksum, whose = "", "", ""
    if b'"s":' in meta or b'"c":' in meta or (owner and b'"o":' in meta):
        storage_class, checksums, kind, whose = listed(meta)
        if checksums:
            checksum = "".join(f"<ChecksumAlgorithm>{algorithm.upper()}</ChecksumAlgorithm>" for algorithm in checksums)
            checksum += xml.element("ChecksumType", kind or "FULL_OBJECT")
    return checksum, f"{_owner(call, whose) if owner else ''}<StorageClass>{storage_class or 'STANDARD'}</StorageClass>"


async def list_objects(call: Call) -> Response:
    call.allow("s3:ListBucket", permission="READ")
    if call.query.get("list-type") == "2":
        return _list_v2(call)
    page = _Page(call)
    marker = call.query.get("marker", "")
    limit = min(page.size, KEYS_MAX)
    page.refuse_unordered()
    out = [page.head(), f"<Marker>{page.text(marker)}</Marker><MaxKeys>{page.size}</MaxKeys>"]
    if limit == 0:
        return _answer("ListBucketResult", *out, "<IsTruncated>false</IsTruncated>")
    found = call.plane.store.list_summaries(
        call.bucket.id, prefix=_raw(page.prefix), delimiter=_raw(page.delimiter), after=_raw(marker), limit=limit
    )
    out.append(f"<IsTruncated>{'true' if found.next else 'false'}</IsTruncated>")
    if found.next:
        out.append(f"<NextMarker>{page.name(found.next)}</NextMarker>")
    out += _contents(call, page, found.objects, owner=True)
    return _answer("ListBucketResult", *out, page.prefixes(found.prefixes))


def _list_v2(call: Call) -> Response:
    page = _Page(call)
    page.refuse_unordered()
    start, token = call.query.get("start-after", ""), call.query.get("continuation-token")
    after = _raw(start) if token is None else _untoken(token)
    limit = min(page.size, KEYS_MAX)
    out = [page.head(), f"<MaxKeys>{page.size}</MaxKeys>"]
    if start:
        out.append(f"<StartAfter>{page.text(start)}</StartAfter>")
    if token is not None:
        out.append(f"<ContinuationToken>{xml.escape(token)}</ContinuationToken>")
    if limit == 0:
        return _answer("ListBucketResult", *out, "<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>")
    found = call.plane.store.list_summaries(
        call.bucket.id, prefix=_raw(page.prefix), delimiter=_raw(page.delimiter), after=after, limit=limit
    )
    out.append(f"<KeyCount>{len(found.objects.names) + len(found.prefixes)}</KeyCount>")
    out.append(f"<IsTruncated>{'true' if found.next else 'false'}</IsTruncated>")
    if found.next:
        out.append(f"<NextContinuationToken>{_token(found.next)}</NextContinuationToken>")
    out += _contents(call, page, found.objects, owner=call.query.get("fetch-owner", "").lower() == "true")
    return _answer("ListBucketResult", *out, page.prefixes(found.prefixes))


def _token(name: bytes) -> str:
    return base64.urlsafe_b64encode(b"1" + name).decode()


def _untoken(token: str) -> bytes:
    if not token:
        return b""
    try:
        raw = base64.urlsafe_b64decode(token.encode())
    except (binascii.Error, ValueError) as error:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token") from error
    if not raw.startswith(b"1"):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token")
    return raw[1:]


async def list_versions(call: Call) -> Response:
    call.allow("s3:ListBucketVersions", permission="READ")
    page = _Page(call)
    marker, version_marker = call.query.get("key-marker", ""), call.query.get("version-id-marker", "")
    if version_marker and not marker:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.", ArgumentName="version-id-marker")
    limit = min(page.size, KEYS_MAX)
    out = [
        page.head(),
        f"<KeyMarker>{page.text(marker)}</KeyMarker>{xml.element('VersionIdMarker', version_marker)}<MaxKeys>{page.size}</MaxKeys>",
    ]
    if limit == 0:
        return _answer("ListVersionsResult", *out, "<IsTruncated>false</IsTruncated>")
    found = call.plane.store.list_versions(
        call.bucket.id,
        prefix=_raw(page.prefix),
        delimiter=_raw(page.delimiter),
        after=_raw(marker),
        after_version=version_marker,
        limit=limit,
    )
    out.append(f"<IsTruncated>{'true' if found.next else 'false'}</IsTruncated>")
    if found.next:
        out.append(f"<NextKeyMarker>{page.name(found.next[0])}</NextKeyMarker>{xml.element('NextVersionIdMarker', found.next[1])}")
    for version in found.versions:
        about = (
            f"<Key>{page.name(version.name)}</Key><VersionId>{version.id}</VersionId>"
            f"<IsLatest>{'true' if version.latest else 'false'}</IsLatest><LastModified>{xml.iso(version.modified_ns)}</LastModified>"
        )
        if version.delete_marker:
            out.append(f"<DeleteMarker>{about}{_owner(call, listed(version.meta)[3])}</DeleteMarker>")
        else:
            kept = unpack(version.meta).storage_class or "STANDARD" if b'"s":' in version.meta else "STANDARD"
            size, etag = told(version.size, version.etag, version.meta)
            out.append(
                f"<Version>{about}<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>"
                f"{_owner(call, listed(version.meta)[3])}<StorageClass>{kept}</StorageClass></Version>"
            )
    return _answer("ListVersionsResult", *out, page.prefixes(found.prefixes))


async def list_uploads(call: Call) -> Response:
    """Open multipart uploads. With a delimiter, those under a common prefix are rolled up page by page."""
    call.allow("s3:ListBucketMultipartUploads", permission="READ")
    page = _Page(call, size="max-uploads")
    marker, upload_marker = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
    limit = min(page.size, KEYS_MAX)
    after, after_upload = _raw(marker), _upload_id(upload_marker) if marker else None
    shown: list[str] = []
    prefixes: list[bytes] = []
    truncated, last_name, last_upload = False, b"", ""
    prefix, delimiter = _raw(page.prefix), _raw(page.delimiter)
    while limit and not truncated:
        batch = call.plane.store.list_uploads(call.bucket.id, prefix=prefix, after=after, after_upload=after_upload, limit=limit + 1)
        for upload in batch:
            after, after_upload = upload.name, upload.id
            cut = upload.name.find(delimiter, len(prefix)) if delimiter else -1
            common = upload.name[: cut + len(delimiter)] if cut >= 0 else b""
            if common and (common in prefixes or common == _raw(marker)):
                continue
            if len(shown) + len(prefixes) == limit:
                truncated = True
                break
            if common:
                prefixes.append(common)
                last_name, last_upload = common, ""
            else:
                who = await _who(call, unpack(upload.meta).owner or call.bucket.owner)
                kept = unpack(upload.meta).storage_class or "STANDARD"
                shown.append(
                    f"<Upload><Key>{page.name(upload.name)}</Key><UploadId>{upload.id.hex}</UploadId><Initiator>{who}</Initiator>"
                    f"<Owner>{who}</Owner><StorageClass>{kept}</StorageClass><Initiated>{xml.iso(upload.started_ns)}</Initiated></Upload>"
                )
                last_name, last_upload = upload.name, upload.id.hex
        if len(batch) <= limit:
            break
    out = [
        xml.element("Bucket", call.bucket_name),
        f"<KeyMarker>{page.text(marker)}</KeyMarker><UploadIdMarker>{xml.escape(upload_marker)}</UploadIdMarker>",
        f"<Prefix>{page.text(page.prefix)}</Prefix>",
        f"<Delimiter>{page.text(page.delimiter)}</Delimiter>" if page.delimiter else "",
        "<EncodingType>url</EncodingType>" if page.encoded else "",
        f"<MaxUploads>{page.size}</MaxUploads><IsTruncated>{'true' if truncated else 'false'}</IsTruncated>",
    ]
    if truncated:
        out.append(f"<NextKeyMarker>{page.name(last_name)}</NextKeyMarker>{xml.element('NextUploadIdMarker', last_upload)}")
    return _answer("ListMultipartUploadsResult", *out, *shown, page.prefixes(prefixes))


async def _who(call: Call, project: str) -> str:
    account = await call.plane.directory.find_account(project)
    return f"<ID>{project}</ID>{xml.element('DisplayName', account.name if account else '')}"


def _upload_id(text: str) -> UUID | None:
    try:
        return UUID(hex=text) if text else None
    except ValueError:
        return None


async def list_parts(call: Call) -> Response:
    upload = uploads.find(call.plane, call.bucket, call.check_key(), call.query["uploadId"])
    properties = unpack(upload.meta)
    call.allow("s3:ListMultipartUploadParts", key=call.key_text, permission="READ")
    limit = min(_size(call.query.get("max-parts"), "max-parts"), KEYS_MAX)
    after = _size(call.query.get("part-number-marker") or "0", "part-number-marker")
    page = _Page(call)
    parts = list(call.plane.store.list_parts(upload, after=after, limit=limit + 1)) if limit else []
    truncated, parts = len(parts) > limit, parts[:limit]
    algorithm = str(properties.extra.get("checksum", ""))
    rows = []
    for part in parts:
        digest = part_facts(part.facts).checksum
        checksum = xml.element(f"Checksum{algorithm.upper()}", checksums.encoded(digest)) if digest and algorithm else ""
        rows.append(
            f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{xml.iso(part.modified_ns)}</LastModified>"
            f"<ETag>&quot;{part.etag}&quot;</ETag>{checksum}<Size>{part.size}</Size></Part>"
        )
    who = await _who(call, properties.owner or call.bucket.owner)
    return _answer(
        "ListPartsResult",
        xml.element("Bucket", call.bucket_name),
        f"<Key>{page.name(call.key)}</Key><UploadId>{upload.id.hex}</UploadId><Initiator>{who}</Initiator><Owner>{who}</Owner>",
        xml.element("StorageClass", properties.storage_class or "STANDARD"),
        xml.element("PartNumberMarker", after),
        xml.element("NextPartNumberMarker", parts[-1].number if parts else after),
        f"<MaxParts>{limit}</MaxParts><IsTruncated>{'true' if truncated else 'false'}</IsTruncated>",
        xml.element("ChecksumAlgorithm", algorithm.upper() or None),
        xml.element("ChecksumType", properties.checksum_type or None) if algorithm else "",
        *rows,
    )


def _answer(root: str, *content: str) -> Response:
    return Response(200, {"Content-Type": "application/xml"}, xml.document(root, *content))
