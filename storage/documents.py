"""The configurations of a bucket: kinds, checks on the way in, parsed forms on the way out.

Each is kept as JSON in the bucket's row under its kind. `check` is run before one is stored, `Parsed` by the data plane when it loads a
bucket. A dialect translates between its own wire form and the JSON said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage import cors, lifecycle, notifications, policies
from storage.access import NO_BLOCK, PublicBlock
from storage.errors import MalformedDocument, RetentionInvalid

# What there is, and its JSON:
#   policy        {"text": the policy as it was given}
#   acl           [grant, …]                         (acls.py)
#   cors          [rule, …]                          (cors.py)
#   lifecycle     [rule, …]                          (lifecycle.py)
#   public-block  {"block_acls", "ignore_acls", "block_policy", "restrict"}
#   lock          {"mode", "days" or "years"}        (default retention; {} for none)
#   encryption    {"algorithm": "AES256" or "aws:kms", "key": name, "bucket_key": bool}
#   tags          {key: value}
#   website       {"index", "error", "redirect_all": {...}, "rules": [...]}
#   ownership     {}                                 (it was said, and is not the default)
#   swift         {"meta": {…}, "read": ACL, "write": ACL, …}  (api/swift/containers.py)
#   notification  [rule, …]                         (notifications.py)
#   logging, payment, replication, accelerate: as the dialect keeps them
KINDS = (
    "policy acl cors lifecycle public-block lock encryption tags website ownership notification logging payment accelerate swift".split()
)
LOCK_MODES = ("GOVERNANCE", "COMPLIANCE")


def check(kind: str, value: Any, *, bucket: str) -> None:
    """Raises what is wrong with a document."""
    assert kind in KINDS, kind
    if kind == "policy":
        policies.parse(value["text"], bucket=bucket)
    elif kind == "cors":
        cors.parse(value)
    elif kind == "lifecycle":
        lifecycle.parse(value)
    elif kind == "notification":
        notifications.parse(value)
    elif kind == "lock" and value:
        _check_lock(value)
    elif kind == "encryption" and value.get("algorithm") not in ("AES256", "aws:kms"):
        raise MalformedDocument("The default encryption is AES256 or aws:kms.")


def _check_lock(value: Mapping[str, Any]) -> None:
    if value.get("mode") not in LOCK_MODES:
        raise MalformedDocument(f"The mode of a retention is one of {', '.join(LOCK_MODES)}.")
    days, years = value.get("days"), value.get("years")
    if (days is None) == (years is None):
        raise MalformedDocument("A default retention has either Days or Years.")
    if (days is not None and not 1 <= days <= 36_500) or (years is not None and not 1 <= years <= 100):
        raise RetentionInvalid("Default retention period must be a positive integer value, at most 100 years.")


def public_block(documents: Mapping[str, Any]) -> PublicBlock:
    given = documents.get("public-block")
    return PublicBlock(**given) if given else NO_BLOCK
