"""Which events of a bucket are told to whom: rules, and what an event looks like. Pure.

A rule names a webhook of the bucket's project, the events it wants, and how the objects' names begin and end. Names of events, their
patterns and the shape of a record are those of "Event message structure" and "Supported event types" in Amazon S3's user guide; the
events listed there that can never happen here are refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from storage.errors import EventUnknown, MalformedDocument

RULES_MAX = 100
EVENTS_OF = {
    "ObjectCreated": ("Put", "Post", "Copy", "CompleteMultipartUpload"),
    "ObjectRemoved": ("Delete", "DeleteMarkerCreated"),
    "LifecycleExpiration": ("Delete", "DeleteMarkerCreated"),
    "ObjectTagging": ("Put", "Delete"),
    "ObjectAcl": ("Put",),
}
# What a rule may ask for. ObjectAcl has one event and no pattern.
EVENTS = tuple(
    one for family, kinds in EVENTS_OF.items() for one in ([f"{family}:*"] if len(kinds) > 1 else []) + [f"{family}:{k}" for k in kinds]
)
KINDS = ("topic", "queue")  # How S3 clients wrote the webhook's name down, and get it back.
_WORDS = {
    "ObjectCreated": "is written", "ObjectRemoved": "is deleted", "LifecycleExpiration": "expires",
    "ObjectTagging": "gets other tags", "ObjectAcl": "gets another access control list",
}  # fmt: skip
_EXACTLY = {
    "ObjectCreated:Put": "is uploaded", "ObjectCreated:Post": "is uploaded by a form", "ObjectCreated:Copy": "is copied here",
    "ObjectCreated:CompleteMultipartUpload": "is completed from parts", "ObjectRemoved:Delete": "is deleted for good",
    "ObjectRemoved:DeleteMarkerCreated": "is hidden by a delete marker", "LifecycleExpiration:Delete": "expires for good",
    "LifecycleExpiration:DeleteMarkerCreated": "expires and is hidden", "ObjectTagging:Put": "gets tags",
    "ObjectTagging:Delete": "loses its tags",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cause:
    """What makes an event: its name (of a deletion only the part before the colon), and who asked from where; empty: the box itself."""

    event: str = "ObjectCreated:Put"
    principal: str = ""
    address: str = ""
    request_id: str = ""


PUT = Cause()
REMOVED = Cause("ObjectRemoved")
EXPIRED = Cause("LifecycleExpiration")


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    webhook: str
    events: tuple[str, ...]
    prefix: bytes = b""
    suffix: bytes = b""

    def fits(self, event: str, name: bytes) -> bool:
        family = event.partition(":")[0]
        return (event in self.events or f"{family}:*" in self.events) and name.startswith(self.prefix) and name.endswith(self.suffix)


def parse(rules: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """From the stored document [{"id", "webhook", "events", "prefix", "suffix", "kind"}, …]. Raises MalformedDocument, EventUnknown."""
    if len(rules) > RULES_MAX:
        raise MalformedDocument(f"A bucket has at most {RULES_MAX} rules about events.")
    found = []
    for rule in rules:
        for event in rule["events"]:
            if event not in EVENTS:
                raise EventUnknown(f"{event} is no event that happens here. There are {', '.join(EVENTS)}.", field="events")
        if not rule["events"]:
            raise MalformedDocument("Choose at least one event.", field="events")
        if not 1 <= len(rule["id"]) <= 255:
            raise MalformedDocument("The name of a rule has 1 to 255 characters.", field="id")
        prefix, suffix = (rule.get(name, "").encode("utf-8", "surrogateescape") for name in ("prefix", "suffix"))
        if max(len(prefix), len(suffix)) > 1024:
            raise MalformedDocument("An object's name has at most 1,024 bytes, and so has what it begins or ends with.", field="prefix")
        found.append(Rule(rule["id"], rule["webhook"], tuple(rule["events"]), prefix, suffix))
    if len({rule.id for rule in found}) != len(found):
        raise MalformedDocument("Two rules have the same name. Give each its own.", field="id")
    return tuple(found)


def targets(rules: Sequence[Rule], event: str, name: bytes) -> list[tuple[str, str]]:
    """(webhook, id of the rule) of all that want to hear it; each webhook once."""
    found: dict[str, str] = {}
    for rule in rules:
        if rule.webhook not in found and rule.fits(event, name):
            found[rule.webhook] = rule.id
    return list(found.items())


def new_id() -> str:
    """Of a rule whose writer gave it none."""
    return uuid.uuid4().hex[:16]


def told(rule: Mapping[str, Any]) -> str:
    """A stored rule as a sentence."""
    what = [_EXACTLY.get(event) or _WORDS[event.partition(":")[0]] for event in rule["events"]]
    where = f" below {rule['prefix']}" if rule.get("prefix") else ""
    where += f" whose name ends with {rule['suffix']}" if rule.get("suffix") else ""
    happens = what[0] if len(what) == 1 else f"{', '.join(what[:-1])} or {what[-1]}"
    return f"When an object{where} {happens}."


def record(event: Mapping[str, Any], rule: str) -> dict[str, Any]:
    """An event of the outbox as S3 tells it."""
    name = bytes.fromhex(event["name"])
    thing: dict[str, Any] = {"key": quote_plus(name, safe="/"), "sequencer": event["sequencer"]}
    if event["event"].startswith(("ObjectCreated:", "ObjectTagging:", "ObjectAcl:")):
        thing |= {"size": event["size"], "eTag": event["etag"]}
    if event["version"]:
        thing["versionId"] = event["version"]
    return {
        "eventVersion": "2.3",
        "eventSource": "aws:s3",
        "awsRegion": event["region"],
        "eventTime": event["at"],
        "eventName": event["event"],
        "userIdentity": {"principalId": event["principal"] or "cloudbox"},
        "requestParameters": {"sourceIPAddress": event["address"]},
        "responseElements": {"x-amz-request-id": event["request_id"], "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule,
            "bucket": {
                "name": event["bucket"],
                "ownerIdentity": {"principalId": event["owner"]},
                "arn": f"arn:aws:s3:::{event['bucket']}",
            },
            "object": thing,
        },
    }
