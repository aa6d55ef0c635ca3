"""Signatures of requests, tried against botocore, which signs as its users' programs do: what it signs is accepted, and anything
that is changed afterwards is refused with the reason that S3 would give."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.authn import sigv2, sigv4
from identity.authn.signatures import Claims, Payload, Reason, Refused, SignedRequest

KEY, SECRET = "CBXKEYABCDEFGHIJ", "a secret/with+signs="
CREDENTIALS = Credentials(KEY, SECRET)
HOST = "http://store.example:9000"

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
parameters = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), st.text(st.characters(codec="utf-8"), max_size=20), max_size=5
)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(lambda text: text.strip())
metadata = st.dictionaries(st.from_regex(r"x-amz-meta-[a-z0-9-]{1,12}", fullmatch=True), values, max_size=4)
examples = settings(max_examples=80, deadline=None)


def as_sent(prepared: AWSPreparedRequest) -> SignedRequest:
    """What a server sees of it."""
    parts = urlsplit(prepared.url)
    headers = {"host": parts.netloc}
    for name, value in prepared.headers.items():
        headers[name.lower()] = value.decode("latin-1") if isinstance(value, bytes) else value.encode().decode("latin-1")
    return SignedRequest(prepared.method, parts.path.encode(), parts.query.encode(), headers)


def url(bucket: str, name: str, query: Mapping[str, str]) -> str:
    text = "&".join(f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in query.items())
    return f"{HOST}/{bucket}/{percent_encode(name, safe='/~')}" + (f"?{text}" if text else "")


def signed(signer: Any, address: str, *, method: str = "PUT", headers: Mapping[str, str] = {}, body: bytes = b"") -> SignedRequest:
    request = AWSRequest(method=method, url=address, headers=dict(headers), data=body)
    request.context["client_config"] = None
    signer.add_auth(request)
    return as_sent(request.prepare())


def read(request: SignedRequest, *, now: float | None = None, **more: Any) -> Claims:
    claims = sigv4.read(request, now=time.time() if now is None else now, **more)
    assert claims is not None
    return claims


def check(request: SignedRequest, **more: Any) -> Claims:
    claims = read(request, **more)
    sigv4.verify(claims, request, SECRET)
    return claims


def refused(request: SignedRequest, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        check(request, **more)
    return caught.value


def a_request(**more: Any) -> SignedRequest:
    return signed(auth.S3SigV4Auth(CREDENTIALS, "s3", "here-1"), url("photos", "a cat.jpg", {"versionId": "1"}), **more)


def presigned(expires: int = 60) -> SignedRequest:
    return signed(auth.S3SigV4QueryAuth(CREDENTIALS, "s3", "here-1", expires=expires), url("photos", "a cat.jpg", {}), method="GET")


@examples
@given(names, parameters, metadata, st.binary(max_size=40))
def test_headers_that_botocore_signs_are_good(name: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
    request = signed(auth.S3SigV4Auth(CREDENTIALS, "s3", "here-1"), url("photos", name, query), headers=headers, body=body)
    claims = check(request, regions=["here-1"])
    assert (claims.access_key, claims.region, claims.service) == (KEY, "here-1", "s3")
    assert claims.payload is Payload.HASHED
    with pytest.raises(Refused, match="does not match"):
        sigv4.verify(claims, request._replace(path=request.path + b"x"), SECRET)
    with pytest.raises(Refused, match="does not match"):
        sigv4.verify(claims, request, SECRET + "x")


@examples
@given(names, parameters, metadata)
def test_queries_that_botocore_signs_are_good(name: str, query: dict[str, str], headers: dict[str, str]) -> None:
    signer = auth.S3SigV4QueryAuth(CREDENTIALS, "s3", "here-1", expires=60)
    request = signed(signer, url("photos", name, query), method="GET", headers=headers)
    claims = check(request)
    assert claims.presigned
    assert claims.payload is Payload.UNSIGNED
    with pytest.raises(Refused, match="does not match"):
        sigv4.verify(claims, request._replace(query=request.query + b"&more=1"), SECRET)


@examples
@given(names, parameters, st.binary(max_size=40))
def test_other_services_sign_a_tidied_path_and_a_silent_body(name: str, query: dict[str, str], body: bytes) -> None:
    """EC2's query API is verified by the same code; there the SHA-256 of the body is signed without being said."""
    import hashlib

    address = f"{HOST}/{percent_encode(name, safe='/~')}" + (
        "?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query.items())
    )
    request = signed(auth.SigV4Auth(CREDENTIALS, "ec2", "here-1"), address, method="POST", body=body)
    check(request, service="ec2", body_sha256=hashlib.sha256(body).hexdigest())
    assert refused(request, service="ec2", body_sha256=hashlib.sha256(body + b"x").hexdigest()).reason is Reason.NO_MATCH


@examples
@given(
    names,
    st.sampled_from(
        ["acl", "versionId=7", "uploads", "partNumber=3&uploadId=ab%2Bc", "prefix=x", "response-content-type=text%2Fplain", ""]
    ),
    metadata,
)
def test_version_2_is_good_too(name: str, query: str, headers: dict[str, str]) -> None:
    address = url("photos", name, {}) + (f"?{query}" if query else "")
    request = signed(auth.HmacV1Auth(CREDENTIALS), address, headers={**headers, "Content-Type": "text/plain"})
    claims = sigv2.read(request, now=time.time())
    assert claims is not None
    sigv2.verify(claims, request, SECRET)
    with pytest.raises(Refused) as caught:
        sigv2.verify(claims, request._replace(method="DELETE"), SECRET)
    assert caught.value.reason is Reason.NO_MATCH
    assert caught.value.detail["StringToSign"].startswith("DELETE\n")

    request = signed(auth.HmacV1QueryAuth(CREDENTIALS, expires=60), address, method="GET")
    claims = sigv2.read(request, now=time.time())
    assert claims is not None
    assert claims.presigned
    sigv2.verify(claims, request, SECRET)
    with pytest.raises(Refused, match="expired"):
        sigv2.read(request, now=time.time() + 70)


def test_a_bucket_in_the_host_is_part_of_what_version_2_signs() -> None:
    request = signed(auth.HmacV1Auth(CREDENTIALS), url("photos", "cat", {}))
    claims = sigv2.read(request, now=time.time())
    assert claims is not None
    sigv2.verify(claims, request._replace(path=b"/cat"), SECRET, bucket="photos")
    with pytest.raises(Refused):
        sigv2.verify(claims, request._replace(path=b"/cat"), SECRET, bucket="others")


def test_a_bucket_may_be_signed_with_a_slash_behind_it() -> None:
    """AWS's own clients do; a slash behind an object's name makes another object."""
    request = signed(auth.HmacV1Auth(CREDENTIALS), f"{HOST}/photos/", method="GET")
    claims = sigv2.read(request, now=time.time())
    assert claims is not None
    sigv2.verify(claims, request._replace(path=b"/photos"), SECRET)
    request = signed(auth.HmacV1Auth(CREDENTIALS), f"{HOST}/photos/cat/", method="GET")
    claims = sigv2.read(request, now=time.time())
    assert claims is not None
    for path, bucket in ((b"/photos/cat", ""), (b"/cat", "photos")):
        with pytest.raises(Refused):
            sigv2.verify(claims, request._replace(path=path), SECRET, bucket=bucket)


def form_of(signer: Any) -> dict[str, str]:
    request = AWSRequest(method="POST", url=f"{HOST}/photos")
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    request.context["s3-presign-post-fields"] = {"key": "cat"}
    request.context["s3-presign-post-policy"] = {"expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": [{"key": "cat"}]}
    signer.add_auth(request)
    return {name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()}


def test_forms_of_both_versions() -> None:
    form = form_of(auth.S3SigV4PostAuth(CREDENTIALS, "s3", "here-1"))
    claims = sigv4.read_form(form)
    assert claims is not None
    sigv4.verify_form(claims, form["policy"], SECRET)
    assert {"key": "cat"} in json.loads(base64.b64decode(form["policy"]))["conditions"]
    with pytest.raises(Refused, match="does not match"):
        sigv4.verify_form(claims, form["policy"] + "=", SECRET)
    assert sigv2.read_form(form) is None

    form = form_of(auth.HmacV1PostAuth(CREDENTIALS))
    claims = sigv2.read_form(form)
    assert claims is not None
    sigv2.verify_form(claims, form["policy"], SECRET)
    with pytest.raises(Refused, match="does not match"):
        sigv2.verify_form(claims, form["policy"] + "=", SECRET)
    assert sigv4.read_form(form) is None
    assert sigv4.read_form({"key": "cat"}) is None
    assert sigv2.read_form({"key": "cat"}) is None
    with pytest.raises(Refused, match="policy"):
        sigv4.read_form({"x-amz-signature": "0" * 64})


def test_session_tokens_are_claims_and_are_signed() -> None:
    with_token = Credentials(KEY, SECRET, token="a token")
    request = signed(auth.S3SigV4Auth(with_token, "s3", "here-1"), url("photos", "cat", {}))
    assert check(request).session_token == "a token"
    assert refused(request._replace(headers={**request.headers, "x-amz-security-token": "another"})).reason is Reason.NO_MATCH
    request = signed(auth.S3SigV4QueryAuth(with_token, "s3", "here-1"), url("photos", "cat", {}), method="GET")
    assert check(request).session_token == "a token"


def test_who_signs_nothing_claims_nothing() -> None:
    plain = SignedRequest("GET", b"/photos", b"X-Amz-meta=1", {"host": "here"})
    assert sigv4.read(plain, now=0) is None
    assert sigv2.read(plain, now=0) is None
    assert sigv4.read(plain._replace(headers={"authorization": "Bearer x"}), now=0) is None


@pytest.mark.parametrize("by", [16 * 60, -16 * 60])
def test_a_clock_that_is_wrong(by: int) -> None:
    error = refused(a_request(), now=time.time() + by)
    assert error.reason is Reason.SKEWED
    assert error.reason.code == "RequestTimeTooSkewed"
    assert {"RequestTime", "ServerTime"} <= error.detail.keys()


def test_a_presigned_query_ends() -> None:
    request = presigned(60)
    check(request, now=time.time() + 55)
    assert refused(request, now=time.time() + 65).reason is Reason.EXPIRED
    assert refused(request, now=time.time() - 16 * 60).reason is Reason.EXPIRED


def edited(request: SignedRequest, old: str, new: str) -> SignedRequest:
    header = request.headers["authorization"]
    assert old in header
    return request._replace(headers={**request.headers, "authorization": header.replace(old, new)})


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", Reason.UNSUPPORTED),
        ("Signature=", "Sig=", Reason.HEADER_MALFORMED),
        ("Credential=", "", Reason.HEADER_MALFORMED),
        ("/s3/aws4_request", "/s3", Reason.HEADER_MALFORMED),
        ("/s3/aws4_request", "/s3/aws4", Reason.HEADER_MALFORMED),
        ("/s3/", "/ec2/", Reason.HEADER_MALFORMED),
        ("/here-1/", "/there-2/", Reason.HEADER_MALFORMED),
        ("SignedHeaders=host;", "SignedHeaders=", Reason.HEADER_MALFORMED),
        ("SignedHeaders=host", "SignedHeaders=Host", Reason.HEADER_MALFORMED),
        ("SignedHeaders=host", "SignedHeaders=host;host", Reason.HEADER_MALFORMED),
        (";x-amz-date", "", Reason.NOT_SIGNED),
        (";x-amz-content-sha256", "", Reason.NOT_SIGNED),
        ("Signature=", "Signature=0", Reason.NO_MATCH),
        (KEY, "", Reason.HEADER_MALFORMED),
    ],
)
def test_headers_that_make_no_sense(old: str, new: str, reason: Reason) -> None:
    assert refused(edited(a_request(), old, new), regions=["here-1"]).reason is reason


def test_a_wrong_region_is_told_the_right_one() -> None:
    error = refused(a_request(), regions=["there-2"])
    assert error.reason is Reason.HEADER_MALFORMED
    assert error.detail["Region"] == "there-2"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"X-Amz-Expires=60", b"X-Amz-Expires=0", Reason.EXPIRED),
        (b"X-Amz-Expires=60", b"X-Amz-Expires=604801", Reason.EXPIRED),
        (b"X-Amz-Expires=60", b"X-Amz-Expires=-1", Reason.EXPIRED),
        (b"X-Amz-Expires=60", b"X-Amz-Expires=%D9%A3", Reason.EXPIRED),
        (b"X-Amz-Expires=60", b"X-Amz-Expires=61", Reason.NO_MATCH),
        (b"X-Amz-Expires=60", b"X-Amz-Expires=60&X-Amz-Expires=60", Reason.QUERY_MALFORMED),
        (b"X-Amz-Date=2", b"X-Amz-Date=x", Reason.QUERY_MALFORMED),
        (b"X-Amz-Algorithm=AWS4", b"X-Amz-Algorithm=AWS5", Reason.QUERY_MALFORMED),
        (b"X-Amz-SignedHeaders=host", b"X-Amz-SignedHeaders=", Reason.QUERY_MALFORMED),
        (b"X-Amz-Signature=", b"X-Amz-Signature=z", Reason.NO_MATCH),
        (b"%2Fs3%2F", b"%2Fs4%2F", Reason.QUERY_MALFORMED),
    ],
)
def test_queries_that_make_no_sense(old: bytes, new: bytes, reason: Reason) -> None:
    request = presigned(60)
    assert old in request.query
    assert refused(request._replace(query=request.query.replace(old, new))).reason is reason


def test_a_header_that_nobody_signed_is_refused_by_name() -> None:
    request = a_request()
    error = refused(request._replace(headers={**request.headers, "x-amz-acl": "public-read"}))
    assert error.reason is Reason.NOT_SIGNED
    assert error.detail["HeadersNotSigned"] == "x-amz-acl"
    check(request._replace(headers={**request.headers, "x-amz-user-agent": "browser", "accept": "*/*"}))


def test_two_ways_to_sign_at_once_are_one_too_many() -> None:
    assert refused(a_request()._replace(query=presigned().query)).reason is Reason.ARGUMENT


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("UNSIGNED-PAYLOAD", Payload.UNSIGNED),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", Payload.CHUNKS),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", Payload.CHUNKS_TRAILER),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", Payload.UNSIGNED_TRAILER),
        ("0" * 64, Payload.HASHED),
        ("0" * 63, Reason.ARGUMENT),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", Reason.UNSUPPORTED),
        ("", Reason.ARGUMENT),
    ],
)
def test_what_a_request_says_of_its_body(word: str, result: Payload | Reason) -> None:
    request = a_request()
    request = request._replace(headers={**request.headers, "x-amz-content-sha256": word})
    if isinstance(result, Payload):
        assert read(request).payload is result
    else:
        assert refused(request).reason is result


def test_a_missing_word_about_the_body() -> None:
    request = a_request()
    headers = {name: value for name, value in request.headers.items() if name != "x-amz-content-sha256"}
    assert refused(request._replace(headers=headers)).reason is Reason.INVALID


def test_the_date_header_serves_as_well() -> None:
    """Browsers' and curl's requests may have no x-amz-date; both forms of Date count."""
    request = a_request()
    at = time.time()
    headers = {name: value for name, value in request.headers.items() if name != "x-amz-date"}
    for text in (time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at)), time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))):
        assert abs(read(request._replace(headers={**headers, "date": text})).signed_at - at) < 2
    for text in ("", "yesterday", "20261399T000000Z"):
        assert refused(request._replace(headers={**headers, "date": text})).reason is Reason.DATE


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["authorization", "x-amz-date", "date", "x-amz-content-sha256", "host", "x-amz-x"]),
        st.text(st.characters(max_codepoint=255)),
    ),
    st.binary(max_size=60),
    st.sampled_from(["", "AWS4-HMAC-SHA256 ", "AWS4-", "AWS "]),
)
def test_whatever_comes_is_refused_or_passed_over(headers: dict[str, str], query: bytes, scheme: str) -> None:
    if "authorization" in headers:
        headers["authorization"] = scheme + headers["authorization"]
    request = SignedRequest("GET", b"/%zz%", query, headers)
    for reader in (sigv4.read, sigv2.read):
        claims: Claims | Refused | None
        try:
            claims = reader(request, now=1.8e9)
        except Refused as error:
            claims = error
        assert claims is None or (claims.reason.code if isinstance(claims, Refused) else claims.access_key)
