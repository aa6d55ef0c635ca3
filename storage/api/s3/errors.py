"""S3's errors: one table from meanings to codes, and how an error is rendered.

Codes and statuses are those of "List of error codes" in the reference of Amazon S3's REST API.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from cloudbox.common import errors as meanings
from cloudbox.common.errors import CloudError
from identity.authn.signatures import Refused
from storage import errors as domain
from storage.api.s3.chunked import ChunksMalformed, TrailerMalformed
from storage.api.s3.signing import LengthMissing
from storage.api.s3.xml import DECLARATION, escape
from storage.server import BodyMalformed, BodyTooLarge, BodyTooSlow, BodyTruncated, Response

log = logging.getLogger("storage.s3")


class S3Error(CloudError):
    """An error that only S3 knows. `detail` becomes elements of the answer's body, `headers` headers."""

    def __init__(self, code: str, message: str = "", *, headers: Mapping[str, str] | None = None, **detail: str) -> None:
        super().__init__(message or _MESSAGES.get(code, code))
        self.code = code
        self.headers = headers or {}
        self.detail = detail


# --- code -> status

_STATUS = {
    400: (
        "AuthorizationHeaderMalformed AuthorizationQueryParametersError BadDigest BadRequest EntityTooLarge EntityTooSmall ExpiredToken "
        "IllegalLocationConstraintException IllegalVersioningConfigurationException IncompleteBody InvalidArgument "
        "InvalidBucketAclWithObjectOwnership InvalidBucketName "
        "InvalidDigest InvalidEncryptionAlgorithmError InvalidLocationConstraint InvalidPart InvalidPartOrder InvalidPolicyDocument "
        "InvalidRequest InvalidSecurity InvalidStorageClass InvalidTag InvalidToken InvalidURI InvalidRetentionPeriod KeyTooLongError "
        "KMS.NotFoundException "
        "MalformedACLError MalformedPolicy MalformedPOSTRequest MalformedTrailerError MalformedXML MaxMessageLengthExceeded "
        "MaxPostPreDataLengthExceededError "
        "MissingRequestBodyError MissingSecurityHeader NoLoggingStatusForKey RequestTimeout TooManyBuckets UnresolvableGrantByEmailAddress "
        "UserKeyMustBeSpecified XAmzContentSHA256Mismatch AccessControlListNotSupported"
    ),
    403: (
        "AccessDenied AccountProblem AllAccessDisabled InvalidAccessKeyId InvalidObjectState QuotaExceeded RequestTimeTooSkewed "
        "SignatureDoesNotMatch UnauthorizedAccess AccessForbidden"
    ),
    404: (
        "NoSuchBucket NoSuchBucketPolicy NoSuchConfiguration NoSuchCORSConfiguration NoSuchKey NoSuchLifecycleConfiguration "
        "NoSuchObjectLockConfiguration NoSuchPublicAccessBlockConfiguration NoSuchTagSet NoSuchUpload NoSuchVersion "
        "NoSuchWebsiteConfiguration ObjectLockConfigurationNotFoundError OwnershipControlsNotFoundError "
        "ReplicationConfigurationNotFoundError ServerSideEncryptionConfigurationNotFoundError"
    ),
    405: "MethodNotAllowed",
    409: (
        "BucketAlreadyExists BucketAlreadyOwnedByYou BucketNotEmpty ConditionalRequestConflict InvalidBucketState OperationAborted "
        "RestoreAlreadyInProgress"
    ),
    411: "MissingContentLength",
    412: "PreconditionFailed",
    416: "InvalidRange InvalidPartNumber",
    500: "InternalError",
    501: "NotImplemented",
    503: "ServiceUnavailable SlowDown",
    507: "InsufficientStorage",
}
STATUS = {code: status for status, codes in _STATUS.items() for code in codes.split()}

_MESSAGES = {
    "AccessDenied": "Access Denied",
    "MalformedXML": "The XML you provided was not well-formed or did not validate against our published schema",
    "MethodNotAllowed": "The specified method is not allowed against this resource.",
    "NotImplemented": "A header or parameter you provided asks for something that Cloudbox does not do.",
    "InvalidArgument": "Invalid Argument",
    "InvalidRequest": "The request makes no sense.",
    "NoSuchBucket": "The specified bucket does not exist",
    "NoSuchKey": "The specified key does not exist.",
    "NoSuchVersion": "The specified version does not exist.",
    "PreconditionFailed": "At least one of the pre-conditions you specified did not hold",
    "MissingContentLength": "You must provide the Content-Length HTTP header.",
    "InternalError": "We encountered an internal error. Please try again.",
    "BucketNotEmpty": "The bucket you tried to delete is not empty",
    "NoSuchTagSet": "The TagSet does not exist",
    "NoSuchBucketPolicy": "The bucket policy does not exist",
    "NoSuchCORSConfiguration": "The CORS configuration does not exist",
    "NoSuchLifecycleConfiguration": "The lifecycle configuration does not exist",
    "NoSuchWebsiteConfiguration": "The specified bucket does not have a website configuration",
    "NoSuchPublicAccessBlockConfiguration": "The public access block configuration was not found",
    "OwnershipControlsNotFoundError": "The bucket ownership controls were not found",
    "ObjectLockConfigurationNotFoundError": "Object Lock configuration does not exist for this bucket",
    "ServerSideEncryptionConfigurationNotFoundError": "The server side encryption configuration was not found",
    "NoSuchObjectLockConfiguration": "The specified object does not have a ObjectLock configuration",
    "InvalidDigest": "The Content-MD5 or checksum you specified was invalid.",
    "BadDigest": "The Content-MD5 or checksum you specified did not match what was received.",
    "AccessControlListNotSupported": "The bucket does not allow ACLs",
}

# --- meaning -> code, looked up along the class order of the error
CODES: dict[type[CloudError], str] = {
    domain.NoSuchBucket: "NoSuchBucket",
    domain.NoSuchObject: "NoSuchKey",
    domain.NoSuchVersion: "NoSuchVersion",
    domain.NoSuchUpload: "NoSuchUpload",
    domain.NoSuchKey: "KMS.NotFoundException",
    domain.BucketNameTaken: "BucketAlreadyExists",
    domain.BucketAlreadyYours: "BucketAlreadyOwnedByYou",
    domain.BucketNotEmpty: "BucketNotEmpty",
    domain.BucketNameInvalid: "InvalidBucketName",
    domain.MarkerRead: "MethodNotAllowed",
    domain.RangeUnsatisfiable: "InvalidRange",
    domain.Locked: "AccessDenied",
    domain.LockStateInvalid: "InvalidBucketState",
    domain.RetentionInvalid: "InvalidRetentionPeriod",
    domain.MalformedDocument: "MalformedXML",
    domain.EventUnknown: "InvalidArgument",
    domain.NoSuchWebhook: "InvalidArgument",
    domain.MalformedPolicy: "MalformedPolicy",
    domain.DigestMismatch: "BadDigest",
    domain.InvalidDigest: "InvalidDigest",
    domain.TagInvalid: "InvalidTag",
    domain.PartInvalid: "InvalidPart",
    domain.PartOrderInvalid: "InvalidPartOrder",
    domain.PartTooSmall: "EntityTooSmall",
    domain.PartNumberOutside: "InvalidPart",
    domain.AclUnsupported: "AccessControlListNotSupported",
    domain.OwnershipAclConflict: "InvalidBucketAclWithObjectOwnership",
    domain.EncryptionRequired: "InvalidRequest",
    domain.CustomerKeyWrong: "InvalidRequest",
    domain.EntityTooLarge: "EntityTooLarge",
    domain.EntityTooSmall: "EntityTooSmall",
    LengthMissing: "MissingContentLength",
    ChunksMalformed: "InvalidRequest",
    TrailerMalformed: "MalformedTrailerError",
    BodyTruncated: "IncompleteBody",
    BodyMalformed: "InvalidRequest",
    BodyTooLarge: "EntityTooLarge",
    BodyTooSlow: "RequestTimeout",
    meanings.Unauthenticated: "AccessDenied",
    meanings.Forbidden: "AccessDenied",
    meanings.NotFound: "NoSuchKey",
    meanings.AlreadyExists: "InvalidRequest",
    meanings.Invalid: "InvalidArgument",
    meanings.Conflict: "OperationAborted",
    meanings.PreconditionFailed: "PreconditionFailed",
    meanings.QuotaExceeded: "QuotaExceeded",
    meanings.InsufficientCapacity: "InsufficientStorage",
    meanings.TooLarge: "EntityTooLarge",
    meanings.NotSupported: "NotImplemented",
    meanings.Unavailable: "ServiceUnavailable",
    CloudError: "InternalError",
}
_DOCUMENT_CODES = {
    "policy": "NoSuchBucketPolicy",
    "cors": "NoSuchCORSConfiguration",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "public-block": "NoSuchPublicAccessBlockConfiguration",
    "lock": "ObjectLockConfigurationNotFoundError",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "tags": "NoSuchTagSet",
    "website": "NoSuchWebsiteConfiguration",
    "ownership": "OwnershipControlsNotFoundError",
}


def code_of(error: CloudError) -> str:
    """S3's word for an error."""
    if isinstance(error, S3Error):
        return error.code
    if isinstance(error, Refused):
        return error.reason.code
    if isinstance(error, domain.InvalidDigest) and (error.field or "").startswith("x-amz-checksum-"):
        return "BadDigest"
    if isinstance(error, domain.NoSuchDocument):
        return _DOCUMENT_CODES.get(error.kind, "NoSuchConfiguration")
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def render(error: Exception, request_id: str, *, resource: str = "", head: bool = False) -> Response:
    """The answer that tells of an error. What is no CloudError is a bug: logged here, told as InternalError."""
    if isinstance(error, domain.NotModified):
        return Response(304, {"x-amz-request-id": request_id, "ETag": f'"{error.etag}"'})
    headers = {"x-amz-request-id": request_id}
    detail: dict[str, str] = {}
    if isinstance(error, CloudError):
        code, message = code_of(error), error.message
        detail, extra = _facts(error)
        headers |= extra
    else:
        log.error("request %s failed", request_id, exc_info=error)
        code, message = "InternalError", _MESSAGES["InternalError"]
    status = STATUS.get(code, 400)
    if status == 503:
        headers["Retry-After"] = "1"
    if head:
        return Response(status, headers)
    headers["Content-Type"] = "application/xml"
    body = [DECLARATION, "<Error><Code>", code, "</Code><Message>", escape(message), "</Message>"]
    for name, value in detail.items():
        body.append(f"<{name}>{escape(value)}</{name}>")
    body.append(f"<Resource>{escape(resource)}</Resource><RequestId>{request_id}</RequestId><HostId>{request_id}</HostId></Error>")
    return Response(status, headers, "".join(body).encode())


def _facts(error: CloudError) -> tuple[dict[str, str], dict[str, str]]:
    """More elements and headers that a client needs to go on."""
    if isinstance(error, S3Error):
        return error.detail, dict(error.headers)
    if isinstance(error, Refused):
        return {name: value for name, value in error.detail.items() if value}, {}
    if isinstance(error, domain.RangeUnsatisfiable):
        return {"ActualObjectSize": str(error.size)}, {"Content-Range": f"bytes */{error.size}"}
    if isinstance(error, domain.NoSuchObject):
        return {}, {"x-amz-delete-marker": "true", "x-amz-version-id": error.marker} if error.marker else {"x-amz-delete-marker": "false"}
    if isinstance(error, domain.MarkerRead):
        return {}, {"x-amz-delete-marker": "true", "Allow": "DELETE"}
    if isinstance(error, domain.ConditionFailed):
        return {"Condition": error.condition}, {}
    return {}, {}
