"""What can go wrong with objects and buckets, where a dialect must tell it from its neighbours. Pure Python."""

from __future__ import annotations

from cloudbox.common.errors import (
    AlreadyExists,
    CloudError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    NotSupported,
    PreconditionFailed,
    TooLarge,
)


class NoSuchBucket(NotFound):
    """There is no bucket of this name."""


class NoSuchObject(NotFound):
    """There is no object of this name (or its latest version is a delete marker, then `version` names that)."""

    def __init__(self, message: str = "There is no object of this name.", *, marker: str = "", resource: str | None = None) -> None:
        super().__init__(message, resource=resource)
        self.marker = marker


class NothingThere(NotFound):
    """What was to be deleted under a condition is not there: no marker is made either."""

    def __init__(self) -> None:
        super().__init__("There is nothing to delete.")


class NoSuchVersion(NotFound):
    """The object has no version of this id."""


class NoSuchUpload(NotFound):
    """There is no such upload; it may have been completed or aborted."""


class NoSuchKey(NotFound):
    """There is no encryption key of this name, or it is disabled."""


class NoSuchDocument(NotFound):
    """The bucket has no configuration of this kind; `kind` says which."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class BucketNameTaken(AlreadyExists):
    """Another project has a bucket of this name."""


class BucketAlreadyYours(AlreadyExists):
    """This project has a bucket of this name."""


class BucketNotEmpty(Conflict):
    """A bucket that holds objects, versions or delete markers cannot be deleted."""


class BucketNameInvalid(Invalid):
    """The name breaks the rules for names of buckets."""


class MarkerRead(NotSupported):
    """The version asked for is a delete marker, which cannot be read."""

    def __init__(self, message: str = "This version is a delete marker; it has no content.", *, modified_ns: int = 0) -> None:
        super().__init__(message)
        self.modified_ns = modified_ns


class RangeUnsatisfiable(Invalid):
    """No byte of the object lies in the range; `size` is the object's."""

    def __init__(self, size: int) -> None:
        super().__init__("The range lies outside of the object.")
        self.size = size


class NotModified(CloudError):
    """The client's copy is still good."""

    def __init__(self, *, etag: str, modified_ns: int) -> None:
        super().__init__("The object has not changed.")
        self.etag, self.modified_ns = etag, modified_ns


class Locked(Forbidden):
    """A retention or a legal hold keeps the version from being deleted or changed."""


class LockStateInvalid(Conflict):
    """The bucket's object lock does not allow this."""


class RetentionInvalid(Invalid):
    """A retention period or date makes no sense."""


class MalformedDocument(Invalid):
    """A configuration document breaks its grammar."""


class EventUnknown(Invalid):
    """A rule about events asks for one that never happens here."""


class NoSuchWebhook(NotFound):
    """A rule about events names a webhook that the project does not have."""


class MalformedPolicy(Invalid):
    """A policy breaks the grammar of policies."""


class DigestMismatch(Invalid):
    """The bytes that came are not those that the digest was made of."""


class InvalidDigest(Invalid):
    """A digest cannot be read."""


class TagInvalid(Invalid):
    """A tag breaks the rules for tags."""


class PartInvalid(Invalid):
    """A part is missing, or its etag or checksum is another one."""


class PartOrderInvalid(Invalid):
    """Parts must be listed in ascending order."""


class PartTooSmall(Invalid):
    """Every part but the last has at least 5 MiB."""


class PartNumberOutside(Invalid):
    """The object has fewer parts."""


class AclUnsupported(Invalid):
    """The bucket's ownership mode has switched ACLs off."""


class OwnershipAclConflict(Invalid):
    """ACLs that grant something stand in the way of switching ACLs off."""


class EncryptionRequired(Invalid):
    """The request's encryption headers do not fit the object or one another."""


class CustomerKeyWrong(Forbidden):
    """The key that came with the request is not the one that the object was encrypted with."""


class EntityTooLarge(TooLarge):
    """The object is larger than the largest that is allowed."""


class EntityTooSmall(Invalid):
    """The body is smaller than the policy wants."""


class ConditionFailed(PreconditionFailed):
    """A condition of the request does not hold; `condition` is the header."""

    def __init__(self, condition: str) -> None:
        super().__init__(f"The condition {condition} does not hold.")
        self.condition = condition
