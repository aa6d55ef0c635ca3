"""What people set on a bucket, from the portal and the REST API: each verb checks, changes the row, and tells the data plane.

S3 and Swift set the same through their own words (api/); the rules that hold for all of them are those of documents.py and buckets.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from cloudbox.common.errors import Forbidden, Invalid
from identity.context import Context
from storage import acls, buckets, cors, documents, policies, tags
from storage.access import PublicBlock
from storage.engine import STORAGE_CLASSES, StorageClass
from storage.errors import LockStateInvalid, NoSuchKey, OwnershipAclConflict
from storage.models import Bucket, EncryptionKey

QUOTA_MAX = 2**60
CLASS_NAMES = tuple(STORAGE_CLASSES)
CORS_METHODS = cors.METHODS
CANNED_ACLS = ("private", "public-read", "public-read-write", "authenticated-read")
_HEADER_TEXT = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class ClassOffer:
    """A storage class as people choose it; `why` says why it cannot be chosen here, or is empty."""

    name: str
    label: str
    sentence: str
    why: str


def class_label(name: str) -> str:
    """ "3 copies" of "replicated-3", "4 + 2" of an erasure code."""
    found = STORAGE_CLASSES.get(name)
    if found is None:
        return name
    data, parity = _split(found)
    if parity:
        return f"Erasure coded, {data} + {parity}"
    return "1 copy" if found.replicas == 1 else f"{found.replicas} copies"


def _split(of: StorageClass) -> tuple[int, int]:
    """Data and parity pieces; no parity for plain replicas."""
    coding = re.fullmatch(r"\D*(\d+)\D(\d+)", of.name.removeprefix("replicated-"))
    return (int(coding[1]), int(coding[2])) if coding else (of.replicas, 0)


def class_offers(drives: int | None) -> list[ClassOffer]:
    """All classes, the default first. `drives`: how many take new objects; None: nobody knows at the moment."""
    return [_offer(name, found, drives) for name, found in STORAGE_CLASSES.items()]


def drive_count() -> int | None:
    """How many drives take new objects, by the store's own list; None where it cannot be read, or the store is somewhere else."""
    return buckets.drive_count()


def _offer(name: str, found: StorageClass, drives: int | None) -> ClassOffer:
    data, parity = _split(found)
    needed = data + parity
    if parity:
        sentence = (
            f"Large objects in {data} pieces and {parity} of parity, each on a drive of its own: any {parity} may fail. "
            "Small ones, up to 1 MiB, have 3 copies."
        )
    elif needed == 1:
        sentence = "On one drive. When it fails, the objects are lost: for what can be made again."
    else:
        sentence = f"Each object whole on {needed} drives. " + (
            "One may fail and nothing is lost."
            if needed == 2
            else f"One may fail at any moment, and {needed - 1} once every copy is made: a write is done when {found.quorum} have it."
        )
    why = "" if drives is None or drives >= needed else f"This needs {needed} drives, and the box has {drives}."
    return ClassOffer(name, class_label(name), sentence, why)


# --- who reaches it


@dataclass(frozen=True, slots=True)
class Publicity:
    """Can people who are not signed in reach anything of it, and by what?"""

    by_policy: bool
    by_acl: bool

    def __bool__(self) -> bool:
        return self.by_policy or self.by_acl

    @property
    def sentence(self) -> str:
        if not self:
            return "Only signed-in people that the project, the policy or an access control list lets in."
        by = " and ".join(word for word, on in (("its policy", self.by_policy), ("its access control list", self.by_acl)) if on)
        return f"Anybody reaches something of it, by {by}."


def publicity(bucket: Bucket) -> Publicity:
    """By AWS's definition of "public", with the block of public access applied."""
    kept = bucket.documents
    block = documents.public_block(kept)
    by_policy = False
    if kept.get("policy") and not block.restrict:
        by_policy = policies.parse(kept["policy"]["text"], bucket=bucket.name).public
    by_acl = not block.ignore_acls and bucket.ownership != Bucket.Ownership.ENFORCED and acls.is_public(kept.get("acl") or ())
    swift = kept.get("swift") or {}
    # Swift's ".r:*" lets everybody read; it is no S3 ACL, and the block does not speak of it.
    by_acl = by_acl or ".r:*" in [word.strip() for word in str(swift.get("read") or "").split(",")]
    return Publicity(by_policy, by_acl)


def public_block(bucket: Bucket) -> PublicBlock:
    return documents.public_block(bucket.documents)


def set_public_block(ctx: Context, bucket: Bucket, block: PublicBlock) -> Bucket:
    """All four parts at once."""
    if not any(asdict(block).values()):
        return buckets.change(ctx, bucket, buckets.removing("public-block"))
    return buckets.change(ctx, bucket, buckets.putting("public-block", asdict(block)))


def policy_text(bucket: Bucket) -> str:
    """The policy as it was given; empty if there is none."""
    return str((bucket.documents.get("policy") or {}).get("text", ""))


def set_policy(ctx: Context, bucket: Bucket, text: str) -> Bucket:
    """An empty text takes it away. Raises MalformedPolicy, and Forbidden where public policies are blocked."""
    ctx.require("buckets.manage")
    if not text.strip():
        return buckets.change(ctx, bucket, buckets.removing("policy"))
    policy = policies.parse(text, bucket=bucket.name)

    def edit(row: Bucket) -> str:
        if policy.public and documents.public_block(row.documents).block_policy:
            raise Forbidden("This policy is public, and the bucket blocks public policies. Lift that block first.", field="policy")
        return buckets.putting("policy", {"text": text})(row)

    return buckets.change(ctx, bucket, edit)


def set_ownership(ctx: Context, bucket: Bucket, ownership: str) -> Bucket:
    ctx.require("buckets.manage")
    if ownership not in Bucket.Ownership.values:
        raise Invalid(f"Ownership is one of {', '.join(Bucket.Ownership.values)}.", field="ownership")

    def edit(row: Bucket) -> str:
        if ownership == Bucket.Ownership.ENFORCED and acls.gives_away(row.documents.get("acl") or (), owner=row.project_id.hex):
            raise OwnershipAclConflict("The access control list lets others in. Make it private first.", field="ownership")
        row.ownership = ownership
        row.documents = {**row.documents, "ownership": {}}
        return f"ownership {ownership}"

    return buckets.change(ctx, bucket, edit)


def canned_acl(bucket: Bucket) -> str:
    """The name of its ACL if it has one that all know, "custom" else."""
    owner = bucket.project_id.hex
    kept = bucket.documents.get("acl") or acls.default(owner)
    for name in CANNED_ACLS:
        if sorted(acls.canned(name, owner=owner, bucket_owner=owner, for_object=False) or []) == sorted(kept):
            return name
    return "custom"


def set_canned_acl(ctx: Context, bucket: Bucket, name: str) -> Bucket:
    """One of CANNED_ACLS."""
    ctx.require("buckets.manage")
    if name not in CANNED_ACLS:
        raise Invalid(f"An access control list is one of {', '.join(CANNED_ACLS)}.", field="acl")

    def edit(row: Bucket) -> str:
        owner = row.project_id.hex
        grants = acls.canned(name, owner=owner, bucket_owner=owner, for_object=False) or []
        if row.ownership == Bucket.Ownership.ENFORCED and name != "private":
            raise Invalid("The bucket's owner owns everything in it, and lists are off. Change the ownership first.", field="acl")
        if documents.public_block(row.documents).block_acls and acls.is_public(grants):
            raise Forbidden("The bucket blocks public access control lists. Lift that block first.", field="acl")
        return buckets.putting("acl", grants)(row)

    return buckets.change(ctx, bucket, edit)


# --- what happens to objects


def set_versioning(ctx: Context, bucket: Bucket, enabled: bool) -> Bucket:
    """Once on, it can be suspended and never be off again: versions that are there stay."""
    ctx.require("buckets.manage")
    if bucket.versioning == Bucket.Versioning.OFF and not enabled:
        return bucket
    return buckets.change(ctx, bucket, buckets.versioning(enabled))


def set_lock(ctx: Context, bucket: Bucket, retention: Mapping[str, Any] | None) -> Bucket:
    """Switch object lock on, with a default retention {"mode", "days" or "years"} or None. It cannot be switched off again."""
    value = {name: one for name, one in (retention or {}).items() if one is not None}

    def edit(row: Bucket) -> str:
        if row.versioning != Bucket.Versioning.ENABLED:
            raise LockStateInvalid("Object lock keeps versions. Switch versioning on first.")
        row.object_lock = True
        return buckets.putting("lock", value)(row)

    return buckets.change(ctx, bucket, edit)


def set_lifecycle(ctx: Context, bucket: Bucket, rules: Sequence[Mapping[str, Any]]) -> Bucket:
    """The rules in the form of storage.lifecycle; none take the configuration away."""
    return buckets.change(ctx, bucket, _put_list("lifecycle", rules))


def set_cors(ctx: Context, bucket: Bucket, rules: Sequence[Mapping[str, Any]]) -> Bucket:
    """The rules in the form of storage.cors; none take the configuration away."""
    return buckets.change(ctx, bucket, _put_list("cors", rules))


def _put_list(kind: str, rules: Sequence[Mapping[str, Any]]) -> Callable[[Bucket], str]:
    return buckets.putting(kind, [dict(rule) for rule in rules]) if rules else buckets.removing(kind)


def set_website(ctx: Context, bucket: Bucket, *, index: str = "", error: str = "", redirect_host: str = "") -> Bucket:
    """Pages by `index` and `error`, or everything sent on to another host; all empty: no website. Routing rules that S3 set stay."""
    ctx.require("buckets.manage")
    index, error, redirect_host = index.strip(), error.strip(), redirect_host.strip()
    if not (index or redirect_host):
        if error:
            raise Invalid("A website needs the name of its first page.", field="index")
        return buckets.change(ctx, bucket, buckets.removing("website"))
    if index and redirect_host:
        raise Invalid("Either it shows pages, or it sends people on to another host.", field="redirect_host")
    if "/" in index:
        raise Invalid("The name of the first page is the same in every folder, and has no slash.", field="index")
    for field, text in (("index", index), ("error", error), ("redirect_host", redirect_host)):
        if not _HEADER_TEXT.fullmatch(text):
            raise Invalid("This becomes part of a header: write printable ASCII characters.", field=field)

    def edit(row: Bucket) -> str:
        kept = {name: one for name, one in (row.documents.get("website") or {}).items() if name == "rules" and index}
        value = kept | ({"index": index} | ({"error": error} if error else {}) if index else {"redirect_all": {"host": redirect_host}})
        return buckets.putting("website", value)(row)

    return buckets.change(ctx, bucket, edit)


def set_encryption(ctx: Context, bucket: Bucket, *, algorithm: str, key: str = "") -> Bucket:
    """What new objects are encrypted with where the request does not say: "" (nothing), "AES256" or "aws:kms" with a named key."""
    ctx.require("buckets.manage")
    if not algorithm:
        return buckets.change(ctx, bucket, buckets.removing("encryption"))
    if algorithm not in ("AES256", "aws:kms"):
        raise Invalid("The default encryption is AES256 or aws:kms.", field="algorithm")
    if algorithm == "AES256" and key:
        raise Invalid("A key is named with aws:kms only.", field="key")
    if algorithm == "aws:kms":
        found = EncryptionKey.objects.filter(project_id=bucket.project_id, name=key).first()
        if found is None:
            raise NoSuchKey("Choose a key of this project.", field="key")
        if not found.is_enabled:
            raise NoSuchKey(f"The key {key} is disabled. Enable it, or choose another.", field="key")
    return buckets.change(ctx, bucket, buckets.putting("encryption", {"algorithm": algorithm, "key": key, "bucket_key": False}))


def set_quota(ctx: Context, bucket: Bucket, *, bytes_max: int | None, objects_max: int | None) -> Bucket:
    """None: no limit but the project's. A limit below what is there stops growth and takes nothing away."""
    ctx.require("buckets.manage")
    for field, value in (("quota_bytes", bytes_max), ("quota_objects", objects_max)):
        if value is not None and not 0 <= value <= QUOTA_MAX:
            raise Invalid("A quota is a number from 0 up, or empty for none.", field=field)

    def edit(row: Bucket) -> str:
        row.quota_bytes, row.quota_objects = bytes_max, objects_max
        said = [f"{bytes_max:,} bytes"] if bytes_max is not None else []
        said += [f"{objects_max:,} objects"] if objects_max is not None else []
        return f"quota {' and '.join(said) or 'none'}"

    return buckets.change(ctx, bucket, edit)


def set_tags(ctx: Context, bucket: Bucket, wanted: Mapping[str, str]) -> Bucket:
    """All tags of the bucket; none take them away."""
    ctx.require("buckets.manage")
    kept = tags.check(wanted.items(), limit=tags.BUCKET_MAX)
    return buckets.change(ctx, bucket, buckets.putting("tags", kept) if kept else buckets.removing("tags"))


# --- several at once


def create(
    ctx: Context,
    *,
    name: str,
    storage_class: str = "replicated-3",
    object_lock: bool = False,
    versioning: bool = False,
    encryption: Mapping[str, str] | None = None,
) -> Bucket:
    """A new bucket as pages and the REST API make it: its project owns all that is in it, and lists of access are off.

    S3 itself makes them with lists on where the client does not say, as its clients expect.
    """
    with transaction.atomic():
        bucket = buckets.create(
            ctx,
            name=name,
            storage_class=storage_class,
            ownership=Bucket.Ownership.ENFORCED,
            object_lock=object_lock,
            given={"ownership": {}},
        )
        if versioning and not object_lock:
            bucket = set_versioning(ctx, bucket, True)
        if encryption:
            bucket = set_encryption(ctx, bucket, **encryption)
    return bucket


def update(ctx: Context, bucket: Bucket, wanted: Mapping[str, Any]) -> Bucket:
    """All that is wanted, or nothing of it. The names are those of the REST API; what is not there stays as it is."""
    ctx.require("buckets.manage")
    with transaction.atomic():
        for name, setting in _SETTINGS.items():
            if name in wanted:
                bucket = setting(ctx, bucket, wanted[name])
        if wanted.keys() & {"object_lock", "default_retention"}:
            kept = bucket.documents.get("lock") or None
            retention = wanted.get("default_retention", kept)
            if not (bucket.object_lock or wanted.get("object_lock")):
                raise LockStateInvalid("Without object lock there is no retention. Switch it on first.", field="default_retention")
            bucket = set_lock(ctx, bucket, retention)
        if wanted.keys() & {"quota_bytes", "quota_objects"}:
            bucket = set_quota(
                ctx,
                bucket,
                bytes_max=wanted.get("quota_bytes", bucket.quota_bytes),
                objects_max=wanted.get("quota_objects", bucket.quota_objects),
            )
    return bucket


# In an order in which one does not stand in the way of the next.
_SETTINGS: dict[str, Callable[[Context, Bucket, Any], Bucket]] = {
    "public_access_block": set_public_block,
    "ownership": set_ownership,
    "acl": set_canned_acl,
    "versioning": lambda ctx, bucket, value: set_versioning(ctx, bucket, value == "enabled"),
    "encryption": lambda ctx, bucket, value: set_encryption(ctx, bucket, **(value or {"algorithm": ""})),
    "website": lambda ctx, bucket, value: set_website(ctx, bucket, **(value or {})),
    "tags": set_tags,
}
