"""Multipart uploads, as S3 speaks of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from storage import uploads
from storage.api.s3 import acl_wire, checksums, headers, manifests, signing, xml
from storage.api.s3.call import Call
from storage.api.s3.errors import S3Error
from storage.api.s3.headers import quoted
from storage.api.s3.objects import source_of, written
from storage.encryption import CUSTOMER
from storage.engine import Part, Upload, Version
from storage.errors import DigestMismatch, PartInvalid, RangeUnsatisfiable
from storage.properties import Properties, unpack
from storage.server import Response

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)
# Which types each algorithm has: "Checking object integrity", table "full object and composite checksum types".
_TYPES = {
    "crc32": ("COMPOSITE", "FULL_OBJECT"),
    "crc32c": ("COMPOSITE", "FULL_OBJECT"),
    "crc64nvme": ("FULL_OBJECT",),
    "sha1": ("COMPOSITE",),
    "sha256": ("COMPOSITE",),
}


async def create(call: Call) -> Response:
    name, bucket = call.check_key(), call.bucket
    call.allow("s3:PutObject", key=call.key_text, permission="WRITE")
    properties = headers.new_properties(call)
    if acl_wire.needs_resolving(properties):
        properties.acl = await acl_wire.resolve(call, properties.acl)
    algorithm = call.headers.get("x-amz-checksum-algorithm", "").lower()
    kind = call.headers.get("x-amz-checksum-type", "").upper()
    if algorithm:
        if algorithm not in _TYPES:
            raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types")
        kind = kind or _TYPES[algorithm][0]
        if kind not in _TYPES[algorithm]:
            raise S3Error("InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.upper()} checksum algorithm.")
        properties.extra["checksum"], properties.checksum_type = algorithm, kind
    elif kind:
        raise S3Error("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
    wish = headers.wish(call.headers, bucket)
    upload = await uploads.create(call.plane, bucket, name, properties, wish, key_project=bucket.owner)
    found = {"Content-Type": "application/xml"} | headers.encryption_headers(properties.encryption)
    if algorithm:
        found |= {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": kind}
    return Response(
        200,
        found,
        xml.document(
            "InitiateMultipartUploadResult",
            xml.element("Bucket", call.bucket_name),
            xml.element("Key", call.key_text),
            xml.element("UploadId", upload.id.hex),
        ),
    )


def _found(call: Call) -> tuple[Upload, Properties]:
    upload = uploads.find(call.plane, call.bucket, call.check_key(), call.query["uploadId"])
    return upload, unpack(upload.meta)


def _part_number(call: Call) -> int:
    text = call.query.get("partNumber", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 6 or not 1 <= int(text) <= uploads.PARTS_MAX:
        raise S3Error(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return int(text)


async def put_part(call: Call) -> Response:
    number = _part_number(call)
    call.allow("s3:PutObject", key=call.key_text, permission="WRITE")
    if "x-amz-copy-source" in call.headers:
        return await _copy_part(call, number)
    upload, properties = _found(call)
    key = await _key(call, properties)
    wanted = str(properties.extra.get("checksum", "")).upper()
    digests = ["MD5", *([wanted] if wanted else [])]
    incoming = signing.incoming(call.request.body, call.headers, call.claims, call.signing_key, digests=digests)
    if wanted and incoming.algorithm and incoming.algorithm != wanted:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted.lower()}, "
            f"actual checksum Type: {incoming.algorithm.lower()}",
        )
    algorithm = wanted or incoming.algorithm
    part = await uploads.put_part(
        call.plane,
        call.bucket,
        upload,
        number,
        incoming.body,
        incoming.digests,
        key=key,
        finish=incoming.finish,
        checksum=(lambda: incoming.digests.digest(wanted)) if wanted else None,
    )
    found = {"ETag": quoted(part.etag)} | headers.encryption_headers(properties.encryption)
    if algorithm:
        found[f"x-amz-checksum-{algorithm.lower()}"] = incoming.digests.base64(algorithm)
    return Response(200, found)


async def _key(call: Call, properties: Properties) -> bytes:
    """The data key of an upload. Its parts must come with the customer's key, if it began with one."""
    customer = headers.customer_key(call.headers)
    return await uploads.open_key(call.plane, properties, customer)


async def _copy_part(call: Call, number: int) -> Response:
    upload, properties = _found(call)
    source_bucket, source, old, old_key = await source_of(call)
    start, length = 0, source.size
    text = call.header("x-amz-copy-source-range")
    if text is not None:
        found = _RANGE.fullmatch(text)
        if found is None or int(found[2]) < int(found[1]):
            raise S3Error(
                "InvalidArgument",
                "The x-amz-copy-source-range value must be of the form bytes=first-last",
                ArgumentName="x-amz-copy-source-range",
            )
        start, last = int(found[1]), int(found[2])
        if last >= source.size:
            raise RangeUnsatisfiable(source.size)
        length = last - start + 1
    key = await _key(call, properties)
    wanted = str(properties.extra.get("checksum", "")).upper()
    digests = checksums.Digests(["MD5", *([wanted] if wanted else [])])
    part = await uploads.put_part(
        call.plane,
        call.bucket,
        upload,
        number,
        await manifests.source(call, source_bucket, source, old, old_key, start, length),
        digests,
        key=key,
        checksum=(lambda: digests.digest(wanted)) if wanted else None,
    )
    answer = {"Content-Type": "application/xml"} | headers.encryption_headers(properties.encryption)
    if source_bucket.versioning != "off":
        answer["x-amz-copy-source-version-id"] = source.id
    content = f"<LastModified>{xml.iso(part.modified_ns)}</LastModified><ETag>&quot;{part.etag}&quot;</ETag>"
    if wanted:
        content += xml.element(f"Checksum{wanted}", digests.base64(wanted))
    return Response(200, answer, xml.document("CopyPartResult", content))


async def complete(call: Call) -> Response:
    call.allow("s3:PutObject", key=call.key_text, permission="WRITE")
    document = await call.xml("CompleteMultipartUpload", checksummed=False)
    wanted: list[uploads.Wanted] = []
    for one in document.all("Part"):
        number = one.number("PartNumber")
        if number is None:
            raise S3Error("MalformedXML")
        said = next((text for name in checksums.ALGORITHMS if (text := one.get(f"Checksum{name}"))), "")
        if wanted and wanted[-1].number == number:
            wanted.pop()  # A client that sent a part again and lists both means the last one, as the store keeps it.
        wanted.append(uploads.Wanted(number, one.need("ETag"), said))
    if not wanted:
        raise S3Error("MalformedXML")
    try:
        upload, properties = _found(call)
    except Exception:
        again = _completed_before(call)
        if again is None:
            raise
        return _completed(call, again, unpack(again.meta))
    algorithm = str(properties.extra.get("checksum", ""))
    if properties.encryption.get("a") == CUSTOMER:
        # Nobody but who holds the key may say what the object is made of.
        await uploads.open_key(call.plane, properties, headers.customer_key(call.headers))
    seen: list[Properties] = []

    def seal(parts: Sequence[Part], kept: Properties) -> None:
        kept.extra = {name: value for name, value in kept.extra.items() if name != "checksum"} | {"upload": upload.id.hex}
        _seal(call, algorithm, parts, wanted, kept)
        seen.append(kept)

    condition, cause = headers.write_condition(call.headers), call.cause(uploads.COMPLETED.event)
    version = await uploads.complete(call.plane, call.bucket, upload, wanted, condition=condition, seal=seal, cause=cause)
    return _completed(call, version, seen[-1])


def _seal(call: Call, algorithm: str, parts: Sequence[Part], wanted: Sequence[uploads.Wanted], kept: Properties) -> None:
    """The checksum of the whole; what the client says of parts and whole has to be true."""
    if call.headers.get("x-amz-mp-object-size", str(sum(part.size for part in parts))) != str(sum(part.size for part in parts)):
        raise S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed.")
    if not algorithm:
        kept.checksum_type = ""
        return
    digests = uploads.checksums_of(parts)
    for want, (digest, _) in zip(wanted, digests, strict=True):
        if want.checksum and want.checksum != checksums.encoded(digest):
            raise PartInvalid("One or more of the specified parts could not be found, or its checksum does not match.")
    if kept.checksum_type == "FULL_OBJECT":
        value = checksums.encoded(checksums.whole(algorithm.upper(), digests))
    else:
        value = checksums.composite(algorithm.upper(), [digest for digest, _ in digests])
    said = call.headers.get(f"x-amz-checksum-{algorithm}")
    if said is not None and said.partition("-")[0] != value.partition("-")[0]:
        raise DigestMismatch(f"The {algorithm} you specified did not match the calculated checksum.")
    kept.checksums = {algorithm: value}


def _completed_before(call: Call) -> Version | None:
    """A client that missed the answer completes again: the object that came of this upload is the answer again."""
    version = call.plane.store.get(call.bucket.id, call.key)
    if version is None or version.delete_marker or not version.manifest:
        return None
    return version if unpack(version.meta).extra.get("upload") == call.query["uploadId"] else None


def _completed(call: Call, version: Version, properties: Properties) -> Response:
    found = written(version, properties, call.bucket)
    etag = found.pop("ETag")
    for name in [name for name in found if name.startswith("x-amz-checksum-")]:
        del found[name]
    location = f"{'https' if call.request.tls else 'http'}://{call.header('host') or ''}{call.request.path.decode('latin-1')}"
    out = [
        xml.element("Location", location),
        xml.element("Bucket", call.bucket_name),
        xml.element("Key", call.key_text),
        f"<ETag>{xml.escape(etag)}</ETag>",
        *(xml.element(f"Checksum{name.upper()}", value) for name, value in properties.checksums.items()),
        xml.element("ChecksumType", properties.checksum_type or None),
    ]
    return Response(200, found | {"Content-Type": "application/xml"}, xml.document("CompleteMultipartUploadResult", *out))


async def abort(call: Call) -> Response:
    call.allow("s3:AbortMultipartUpload", key=call.key_text, permission="WRITE")
    upload, _ = _found(call)
    await uploads.abort(call.plane, upload)
    return Response(204)
