"""Buckets, what they hold, and the keys that objects are encrypted with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from storage import configurations, lifecycle

VERSIONING = ("off", "enabled", "suspended")
OWNERSHIP = ("writer", "preferred", "enforced")
ALGORITHMS = ("AES256", "aws:kms")
LOCK_MODES = ("GOVERNANCE", "COMPLIANCE")


class BlockShape(serializers.Serializer):
    """The block of public access, in S3's four parts."""

    block_acls = serializers.BooleanField(help_text="Refuse to store public access control lists.")
    ignore_acls = serializers.BooleanField(help_text="Pass over those that are there.")
    block_policy = serializers.BooleanField(help_text="Refuse to store a public policy.")
    restrict = serializers.BooleanField(help_text="Let a public policy serve this project only.")


class RetentionShape(serializers.Serializer):
    """The retention of new objects in a bucket with object lock."""

    mode = serializers.ChoiceField(LOCK_MODES)
    days = serializers.IntegerField(allow_null=True, default=None)
    years = serializers.IntegerField(allow_null=True, default=None)


class EncryptionShape(serializers.Serializer):
    algorithm = serializers.ChoiceField(ALGORITHMS)
    key = serializers.CharField(allow_blank=True, help_text="The name of an encryption key, with aws:kms.")


class WebsiteShape(serializers.Serializer):
    index = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_blank=True)
    redirect_host = serializers.CharField(allow_blank=True)


class BucketUsageShape(serializers.Serializer):
    """What it held when it was last counted: every minute, if something changed."""

    objects = serializers.IntegerField(source="objects_count")
    versions = serializers.IntegerField(source="versions_count", help_text="With delete markers.")
    bytes = serializers.IntegerField(help_text="Of all versions.")
    uploads = serializers.IntegerField(source="uploads_count", help_text="Multipart uploads that are under way.")
    upload_bytes = serializers.IntegerField()
    counted_at = serializers.DateTimeField()


class BucketShape(serializers.Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    shared_name = serializers.BooleanField(help_text="Does S3 find it by its name alone? Else as project:name.")
    region = serializers.CharField()
    storage_class = serializers.CharField()
    versioning = serializers.ChoiceField(VERSIONING)
    ownership = serializers.ChoiceField(OWNERSHIP)
    acl = serializers.SerializerMethodField(help_text="private, public-read, public-read-write, authenticated-read or custom.")
    is_public = serializers.SerializerMethodField(help_text="Do people who are not signed in reach anything of it?")
    public_access_block = serializers.SerializerMethodField()
    object_lock = serializers.BooleanField()
    default_retention = serializers.SerializerMethodField()
    encryption = serializers.SerializerMethodField()
    website = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()
    quota_bytes = serializers.IntegerField(allow_null=True)
    quota_objects = serializers.IntegerField(allow_null=True)
    usage = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_acl(self, row: Any) -> str:
        return configurations.canned_acl(row)

    def get_is_public(self, row: Any) -> bool:
        return bool(configurations.publicity(row))

    @extend_schema_field(BlockShape)
    def get_public_access_block(self, row: Any) -> Any:
        return asdict(configurations.public_block(row))

    @extend_schema_field(RetentionShape(allow_null=True))
    def get_default_retention(self, row: Any) -> Any:
        kept = row.documents.get("lock")
        return {"mode": kept["mode"], "days": kept.get("days"), "years": kept.get("years")} if kept else None

    @extend_schema_field(EncryptionShape(allow_null=True))
    def get_encryption(self, row: Any) -> Any:
        kept = row.documents.get("encryption")
        return {"algorithm": kept["algorithm"], "key": kept.get("key", "")} if kept else None

    @extend_schema_field(WebsiteShape(allow_null=True))
    def get_website(self, row: Any) -> Any:
        kept = row.documents.get("website")
        if not kept:
            return None
        host = (kept.get("redirect_all") or {}).get("host", "")
        return {"index": kept.get("index", ""), "error": kept.get("error", ""), "redirect_host": host}

    def get_tags(self, row: Any) -> dict[str, str]:
        return dict(row.documents.get("tags") or {})

    @extend_schema_field(BucketUsageShape(allow_null=True))
    def get_usage(self, row: Any) -> Any:
        usage = getattr(row, "usage", None)
        return BucketUsageShape(usage).data if usage is not None else None


class MistakeShape(serializers.Serializer):
    line = serializers.IntegerField(help_text="From 1; 0: about the whole text.")
    sentence = serializers.CharField()


class PolicyShape(serializers.Serializer):
    policy = serializers.CharField(help_text="The text as it was given; empty: there is none.")
    is_public = serializers.BooleanField()
    statements = serializers.ListField(child=serializers.CharField(), help_text="Each statement as a sentence.")


class PolicyCheck(serializers.Serializer):
    ok = serializers.BooleanField()
    mistakes = MistakeShape(many=True)


class AnswerShape(serializers.Serializer):
    """What would be said to a request, and why."""

    allowed = serializers.BooleanField()
    denied = serializers.BooleanField(source="decision.denied", help_text="The policy forbids it; else it is merely not allowed.")
    reason = serializers.CharField()
    statement = serializers.CharField(source="decision.statement", help_text="The Sid, or the number, of the statement that decided.")
    who = serializers.CharField()
    assumed = serializers.ListField(child=serializers.CharField())


class CorsRuleShape(serializers.Serializer):
    id = serializers.CharField(default="")
    origins = serializers.ListField(child=serializers.CharField())
    methods = serializers.ListField(child=serializers.CharField())
    headers = serializers.ListField(child=serializers.CharField(), default=list)
    exposed = serializers.ListField(child=serializers.CharField(), default=list)
    max_age_seconds = serializers.IntegerField(allow_null=True, default=None)


class LifecycleRuleShape(serializers.Serializer):
    id = serializers.CharField()
    enabled = serializers.BooleanField()
    prefix = serializers.CharField()
    tags = serializers.DictField(child=serializers.CharField())
    larger_than = serializers.IntegerField(allow_null=True)
    smaller_than = serializers.IntegerField(allow_null=True)
    days = serializers.IntegerField(allow_null=True)
    date = serializers.CharField(allow_null=True)
    expired_markers = serializers.BooleanField()
    noncurrent_days = serializers.IntegerField(allow_null=True)
    noncurrent_keep = serializers.IntegerField(allow_null=True)
    abort_days = serializers.IntegerField(allow_null=True)
    sentence = serializers.SerializerMethodField()

    def get_sentence(self, rule: Any) -> str:
        return lifecycle.told(rule)


class DueShape(serializers.Serializer):
    name = serializers.CharField()
    bytes = serializers.IntegerField()


class PreviewShape(serializers.Serializer):
    """What the rules would end now."""

    seen = serializers.IntegerField(help_text="How many versions were looked at.")
    complete = serializers.BooleanField(help_text="Was all of the bucket looked at? It stops after a while.")
    due = serializers.IntegerField()
    hidden = serializers.IntegerField(help_text="Of those, how many get a delete marker and can be brought back.")
    bytes = serializers.IntegerField(help_text="What becomes free.")
    by_rule = serializers.DictField(child=serializers.IntegerField())
    first = serializers.SerializerMethodField(help_text="The first names.")

    @extend_schema_field(DueShape(many=True))
    def get_first(self, row: Any) -> Any:
        return [{"name": name, "bytes": size} for name, size in row.first]


class EmptyingShape(serializers.Serializer):
    under_way = serializers.BooleanField()
    cancelled = serializers.BooleanField()
    deleted = serializers.IntegerField()
    kept = serializers.IntegerField(help_text="What a lock or a policy keeps.")
    total = serializers.IntegerField(help_text="What was there when it began, by the last count.")
    percent = serializers.IntegerField()
    error = serializers.CharField()
    sentence = serializers.CharField()


class EncryptionKeyShape(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    is_enabled = serializers.BooleanField()
    version = serializers.IntegerField(source="newest_version")
    created_at = serializers.DateTimeField()


class HeldShape(serializers.Serializer):
    """What was held in a day or an hour that began at `at`."""

    at = serializers.DateTimeField()
    bytes = serializers.IntegerField(help_text="On average, of all versions and unfinished uploads.")
    gib_hours = serializers.FloatField()


class MovedShape(serializers.Serializer):
    """What was asked in a day or an hour that began at `at`; what was refused or failed here does not count."""

    at = serializers.DateTimeField()
    reads = serializers.IntegerField(help_text="GET and HEAD of objects.")
    lists = serializers.IntegerField(help_text="The same of the bucket: listings and settings.")
    writes = serializers.IntegerField()
    deletes = serializers.IntegerField()
    sent_bytes = serializers.IntegerField(help_text="Of bodies, to clients.")
    received_bytes = serializers.IntegerField(help_text="Of bodies, from clients, as they announced it.")


class MonthShape(serializers.Serializer):
    """What a bucket, which may be gone, held this month."""

    bucket_id = serializers.UUIDField()
    name = serializers.CharField()
    storage_class = serializers.CharField()
    gib_hours = serializers.FloatField()


class InventoryShape(serializers.Serializer):
    under_way = serializers.BooleanField()
    target = serializers.CharField(help_text="The bucket that it is written into,")
    key = serializers.CharField(help_text="and its name there.")
    rows = serializers.IntegerField()
    error = serializers.CharField()
    sentence = serializers.CharField()
