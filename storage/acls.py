"""Access control lists: grants on a bucket or an object, as S3 defines them. Pure.

A grant is [kind, who, permission]: kind "user" (who: a project's id in hex) or "group" (who: "all" or "signed-in" or "log").
"""

from __future__ import annotations

from collections.abc import Sequence

Grant = list[str]
Acl = Sequence[Grant]

READ, WRITE, READ_ACP, WRITE_ACP, FULL = "READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL"
PERMISSIONS = (READ, WRITE, READ_ACP, WRITE_ACP, FULL)
EVERYBODY, SIGNED_IN, LOG = "all", "signed-in", "log"
GRANTS_MAX = 100
# AWS, "Access control list (ACL) overview", predefined groups.
GROUPS = {
    EVERYBODY: "http://acs.amazonaws.com/groups/global/AllUsers",
    SIGNED_IN: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    LOG: "http://acs.amazonaws.com/groups/s3/LogDelivery",
}
GROUP_NAMES = {uri: name for name, uri in GROUPS.items()}

# AWS, "Access control list (ACL) overview", the table of canned ACLs.
_BUCKET_CANNED = ("private", "public-read", "public-read-write", "authenticated-read", "log-delivery-write")
_OBJECT_CANNED = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
)


NOTHING: Grant = ["none", "", ""]  # The one entry of a list that grants nothing: an empty list means the default.


def canned(name: str, *, owner: str, bucket_owner: str, for_object: bool) -> list[Grant] | None:
    """The grants that a canned ACL stands for; None if there is none of that name."""
    if name not in (_OBJECT_CANNED if for_object else _BUCKET_CANNED):
        return None
    grants: list[Grant] = []
    if name in ("public-read", "public-read-write"):
        grants.append(["group", EVERYBODY, READ])
    if name == "public-read-write":
        grants.append(["group", EVERYBODY, WRITE])
    if name == "authenticated-read":
        grants.append(["group", SIGNED_IN, READ])
    if name == "log-delivery-write":
        grants += [["group", LOG, WRITE], ["group", LOG, READ_ACP]]
    grants.append(["user", owner, FULL])
    if name == "bucket-owner-read" and bucket_owner != owner:
        grants.append(["user", bucket_owner, READ])
    if name == "bucket-owner-full-control" and bucket_owner != owner:
        grants.append(["user", bucket_owner, FULL])
    return grants


def default(owner: str) -> list[Grant]:
    """What an owner has when nobody said otherwise."""
    return [["user", owner, FULL]]


def grants(acl: Acl, permission: str, *, project: str, anonymous: bool) -> Grant | None:
    """The first grant that gives this permission to who asks."""
    for grant in acl:
        kind, who, given = grant
        if given not in (permission, FULL):
            continue
        if kind == "user":
            if not anonymous and who == project:
                return grant
        elif kind == "group" and (who == EVERYBODY or (who == SIGNED_IN and not anonymous)):
            return grant
    return None


def is_public(acl: Acl) -> bool:
    """Does it give anything to everybody? Signed-in strangers count as everybody, as AWS counts them."""
    return any(kind == "group" and who in (EVERYBODY, SIGNED_IN) for kind, who, _ in acl)


def gives_away(acl: Acl, *, owner: str) -> bool:
    """Does it grant anything to others than the owner?"""
    return any(kind != "none" and [kind, who] != ["user", owner] for kind, who, _ in acl)
