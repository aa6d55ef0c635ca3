"""Who can do what with a bucket, and why: the data plane's own judgement (access.decide) about a request that nobody has made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cloudbox.common import clock
from cloudbox.common.errors import Forbidden, Invalid, NotFound, NotSupported, Unavailable
from identity.context import Context
from identity.models import BoxRole, Membership, Project, Role, User
from storage import acls, clients, policies
from storage.access import NOBODY, Decision, Who, decide
from storage.directory import BucketInfo, info_of
from storage.loading import row_of
from storage.models import Bucket
from storage.policies import Principal

# What people ask about most: action, its words, and whether it is about an object.
ACTIONS = (
    ("s3:GetObject", "Read an object", True),
    ("s3:PutObject", "Write an object", True),
    ("s3:DeleteObject", "Delete an object", True),
    ("s3:DeleteObjectVersion", "Delete a version for good", True),
    ("s3:GetObjectAcl", "Read an object's access control list", True),
    ("s3:PutObjectAcl", "Change an object's access control list", True),
    ("s3:ListBucket", "List objects", False),
    ("s3:ListBucketVersions", "List versions", False),
    ("s3:GetBucketPolicy", "Read the policy", False),
    ("s3:PutBucketPolicy", "Change the policy", False),
    ("s3:PutBucketVersioning", "Change versioning", False),
    ("s3:PutLifecycleConfiguration", "Change lifecycle rules", False),
    ("s3:BypassGovernanceRetention", "Pass over a governance retention", True),
    ("s3:DeleteBucket", "Delete the bucket", False),
)
KINDS = ("anonymous", "user", "project")
OWN = "own"  # The access control list that the object has, and its tags.
OBJECT_ACLS = (OWN, "private", "public-read", "authenticated-read")
_ACTION = re.compile(r"s3:[A-Za-z]{1,64}")
# The permission of access control lists that gives an action (storage/api/s3 says the same where it asks).
_READS_BUCKET = {"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts"}
_WRITES_BUCKET = {"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"}
_READS_OBJECT = {"s3:GetObject", "s3:GetObjectVersion"}
_OF_OBJECT = dict.fromkeys(_READS_OBJECT, acls.READ) | {"s3:GetObjectAcl": acls.READ_ACP, "s3:PutObjectAcl": acls.WRITE_ACP}


@dataclass(frozen=True, kw_only=True)
class Question:
    """`kind` is one of KINDS. A user is of this project, unless `project` names another; a project stands for an admin of it."""

    kind: str = "anonymous"
    user: str = ""  # An e-mail address.
    project: str = ""  # A short name.
    action: str = "s3:GetObject"
    key: str = ""
    secure: bool = True
    source_ip: str = ""
    object_acl: str = OWN  # Of OBJECT_ACLS.
    policy: str | None = None  # A draft to judge by, instead of the bucket's own.


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision, and what was taken for granted to come to it."""

    decision: Decision
    who: str
    assumed: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        return self.decision.allowed

    @property
    def reason(self) -> str:
        """As told of somebody else: the decision itself speaks to who asks."""
        said = self.decision.reason.replace("Your role in the project", "The role in the project")
        return said.replace("Your", "Their").replace("your", "their")


def ask(ctx: Context, bucket: Bucket, question: Question) -> Answer:
    """Raises Invalid at the field that makes no sense, and MalformedPolicy for a draft that is none."""
    ctx.require("buckets.list")
    if not _ACTION.fullmatch(question.action):
        raise Invalid('An action is written like "s3:GetObject".', field="action")
    if question.object_acl not in OBJECT_ACLS:
        raise Invalid("Choose one of the list.", field="object_acl")
    info = info_of(row_of(bucket))
    if question.policy is not None:
        draft = policies.parse(question.policy, bucket=bucket.name) if question.policy.strip() else None
        info = replace(info, policy=draft)
    who, shown = _who(bucket, question)
    about_object = bool(question.key)
    assumed = [] if about_object or not _needs_key(question.action) else ["any object: name one to be exact"]
    acl, owner, permission, tags = None, None, "", {}
    if question.action in _OF_OBJECT:
        permission = _OF_OBJECT[question.action]
        seen = _seen(ctx, bucket, question.key) if question.object_acl == OWN and about_object else _Unseen("")
        if isinstance(seen, _Unseen):
            canned = "private" if question.object_acl == OWN else question.object_acl
            owner, acl = info.owner, acls.canned(canned, owner=info.owner, bucket_owner=info.owner, for_object=True)
            assumed.append(f"{seen.why}the object was written by the project itself, with the access control list {canned}")
        else:
            owner, acl, tags = seen.owner, seen.acl, seen.tags
    elif question.action in _READS_BUCKET:
        permission = acls.READ
    elif question.action in _WRITES_BUCKET:
        permission = acls.WRITE
    elif question.action == "s3:GetBucketAcl":
        permission = acls.READ_ACP
    elif question.action == "s3:PutBucketAcl":
        permission = acls.WRITE_ACP
    key = question.key or ("example" if _needs_key(question.action) else None)
    decision = decide(
        who, info, question.action, key=key, permission=permission, owner=owner, acl=acl, facts=_facts(question, who, info, tags)
    )
    return Answer(decision, shown, tuple(assumed))


@dataclass(frozen=True, slots=True)
class _Seen:
    """An object as it is."""

    owner: str
    acl: list[acls.Grant]
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Unseen:
    """Why it could not be looked at, as the beginning of a sentence; empty if nobody asked for that."""

    why: str


def _seen(ctx: Context, bucket: Bucket, key: str) -> _Seen | _Unseen:
    """The object's owner, access control list and tags, as far as who asks may see them."""
    name = clients.s3_name(bucket)
    try:
        client = clients.of(ctx)
        owner, grants = client.acl(name, key)
        return _Seen(owner, [_grant(*one) for one in grants], client.tags(name, key))
    except NotFound:
        return _Unseen("there is no such object; ")
    except Forbidden:
        return _Unseen("you may not see its access control list; ")
    except (NotSupported, Unavailable):
        return _Unseen("the object store does not answer; ")


def _grant(grantee: str, permission: str) -> acls.Grant:
    group = acls.GROUP_NAMES.get(grantee)
    return ["user", grantee, permission] if group is None else ["group", group, permission]


def _needs_key(action: str) -> bool:
    return action in _OF_OBJECT.keys() | _WRITES_BUCKET or action in {name for name, _, about_object in ACTIONS if about_object}


def _who(bucket: Bucket, question: Question) -> tuple[Who, str]:
    if question.kind == "anonymous":
        return NOBODY, "Somebody who is not signed in"
    if question.kind == "project":
        if not question.project:
            raise Invalid("Write the short name of a project.", field="project")
        return _stranger(question.project, "", Role.ADMIN), f"An admin of project {question.project}"
    if question.kind != "user":
        raise Invalid("Choose one of the list.", field="kind")
    if not question.user:
        raise Invalid("Write the e-mail address of a user.", field="user")
    if question.project and question.project != bucket.project.slug:
        return _stranger(question.project, question.user, Role.MEMBER), f"{question.user}, a member of project {question.project}"
    user = User.objects.filter(email__iexact=question.user).first()
    member = Membership.objects.filter(user=user, project_id=bucket.project_id).first() if user else None
    # A box administrator acts in every project; that an account exists is told of members and administrators only.
    role = Role.ADMIN.value if user and member is None and user.box_role == BoxRole.ADMIN else member.role if member else ""
    if user is None or not role:
        raise Invalid("Nobody of this address is in the project. Name another project, if they are of one.", field="user")
    suspended = bucket.project.status == Project.Status.SUSPENDED
    principal = Principal(
        anonymous=False,
        account=bucket.project_id.hex,
        account_name=bucket.project.slug,
        user=user.id.hex,
        user_name=user.email,
        root=role == Role.ADMIN,
    )
    return Who(principal, role, suspended=suspended), f"{user.email}, {role} of this project"


def _stranger(slug: str, email: str, role: str) -> Who:
    """Of another project, which may or may not be there: the answer is the same, so that nothing is told of it."""
    project = Project.objects.filter(slug=slug).first()
    account = project.id.hex if project else "0" * 32
    principal = Principal(
        anonymous=False, account=account, account_name=slug, user="0" * 32 if not email else "", user_name=email, root=role == Role.ADMIN
    )
    return Who(principal, role)


def _facts(question: Question, who: Who, info: BucketInfo, tags: Mapping[str, str]) -> policies.Facts:
    values: dict[str, str] = {
        "aws:securetransport": "true" if question.secure else "false",
        "aws:currenttime": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(clock.now().timestamp())),
        "aws:principaltype": "Anonymous" if who.anonymous else "User",
        "s3:resourceaccount": info.owner,
    }
    if question.source_ip:
        values["aws:sourceip"] = question.source_ip
    if not who.anonymous:
        principal = who.principal
        values |= {"aws:username": principal.user_name, "aws:userid": principal.user, "aws:principalaccount": principal.account}
        values["aws:principalarn"] = f"arn:aws:iam::{principal.account}:user/{principal.user_name}"
        values |= {"s3:authtype": "REST-HEADER", "s3:signatureversion": "AWS4-HMAC-SHA256"}
    if question.action in _READS_BUCKET and question.key:
        values["s3:prefix"] = question.key

    values |= {f"s3:existingobjecttag/{name.lower()}": value for name, value in tags.items()}

    def facts(name: str) -> Sequence[str] | None:
        value = values.get(name)
        return [value] if value else None

    return facts
