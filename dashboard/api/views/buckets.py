"""Buckets and their settings, and encryption keys. Objects are reached by S3 and Swift, at the store's own address."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cloudbox.common.errors import Invalid
from dashboard.api.base import ApiView, PageQuery
from dashboard.api.fields import Flag, Input, Text, Whole
from dashboard.api.idempotency import idempotent
from dashboard.api.openapi import listing, operation
from dashboard.api.render import storage as render
from storage import buckets, configurations, keys, lifecycle, policies, policy_drafts, previews, removal, simulator
from storage.access import PublicBlock
from storage.simulator import Question

QUOTA_MAX = configurations.QUOTA_MAX
DAYS_MAX = 36_500


def _quota(**kwargs: Any) -> Whole:
    return Whole(allow_null=True, max_value=QUOTA_MAX, **kwargs)


class Block(Input):
    """All four are to be said: what guards a bucket is not opened by leaving a word out."""

    block_acls = Flag()
    ignore_acls = Flag()
    block_policy = Flag()
    restrict = Flag()


class Retention(Input):
    mode = serializers.ChoiceField(render.LOCK_MODES)
    days = Whole(allow_null=True, default=None, max_value=DAYS_MAX)
    years = Whole(allow_null=True, default=None, max_value=100)


class Encryption(Input):
    algorithm = serializers.ChoiceField(render.ALGORITHMS)
    key = Text(default="", allow_blank=True, max_length=128)


class Website(Input):
    index = Text(default="", allow_blank=True)
    error = Text(default="", allow_blank=True)
    redirect_host = Text(default="", allow_blank=True)


class TagValue(Text):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"allow_blank": True, "max_length": 256} | kwargs))


class BucketCreate(Input):
    name = Text(max_length=63)
    storage_class = serializers.ChoiceField(sorted(configurations.CLASS_NAMES), default="replicated-3")
    object_lock = Flag(default=False, help_text="Switches versioning on, too, and cannot be undone.")
    versioning = Flag(default=False)
    encryption = Encryption(allow_null=True, default=None)


class BucketChange(Input):
    """What is not sent stays as it is; null takes away."""

    versioning = serializers.ChoiceField(["enabled", "suspended"], required=False)
    ownership = serializers.ChoiceField(render.OWNERSHIP, required=False)
    acl = serializers.ChoiceField(configurations.CANNED_ACLS, required=False)
    public_access_block = Block(required=False)
    object_lock = serializers.ChoiceField([True], required=False, help_text="It can be switched on, and not off again.")
    default_retention = Retention(required=False, allow_null=True)
    encryption = Encryption(required=False, allow_null=True)
    website = Website(required=False, allow_null=True)
    tags = serializers.DictField(child=TagValue(), required=False)
    quota_bytes = _quota(required=False)
    quota_objects = _quota(required=False)


class BucketQuery(PageQuery):
    q = serializers.CharField(max_length=100, default="", allow_blank=True, help_text="In the name.")


class BucketsView(ApiView):
    @listing("buckets_list", "Buckets of the project", of=render.BucketShape, query=BucketQuery)
    def get(self, request: Request, project: str) -> Response:
        query = self.query(BucketQuery)
        rows = buckets.list_buckets(self.ctx)
        return self.list_page(rows.filter(name__icontains=query["q"]) if query["q"] else rows, render.BucketShape, query)

    @operation(
        "buckets_create",
        "Make a bucket",
        answer=render.BucketShape,
        status=201,
        body=BucketCreate,
        example={"name": "media-of-the-shop", "storage_class": "replicated-3", "versioning": True},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = configurations.create(self.ctx, **self.body(BucketCreate))
        return self.show(row, render.BucketShape, status=201, location=f"{request.path}/{row.name}")


class BucketView(ApiView):
    @operation("buckets_get", "One bucket with its settings and what it holds", answer=render.BucketShape)
    def get(self, request: Request, project: str, name: str) -> Response:
        return self.show(buckets.get(self.ctx, name), render.BucketShape)

    @operation(
        "buckets_update",
        "Change its settings: all that are sent, or none",
        answer=render.BucketShape,
        body=BucketChange,
        example={"versioning": "enabled", "quota_bytes": 10737418240},
    )
    def patch(self, request: Request, project: str, name: str) -> Response:
        wanted = self.body(BucketChange)
        if (block := wanted.get("public_access_block")) is not None:
            wanted["public_access_block"] = PublicBlock(**block)
        configurations.update(self.ctx, buckets.get(self.ctx, name), wanted)
        return self.show(buckets.get(self.ctx, name), render.BucketShape)

    @operation("buckets_delete", "Delete a bucket that holds nothing", status=204)
    def delete(self, request: Request, project: str, name: str) -> Response:
        removal.delete(self.ctx, buckets.get(self.ctx, name))
        return self.nothing()


class EmptyingView(ApiView):
    @operation("buckets_get_emptying", "How far the emptying is", answer=render.EmptyingShape, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        found = removal.emptying(buckets.get(self.ctx, name))
        return self.show(found or removal.NEVER, render.EmptyingShape)

    @operation(
        "buckets_empty", "Delete everything in it, all versions", answer=render.EmptyingShape, status=202, creates=True, tag="buckets"
    )
    @idempotent
    def post(self, request: Request, project: str, name: str) -> Response:
        self.body(Input)
        return self.show(removal.empty(self.ctx, buckets.get(self.ctx, name)), render.EmptyingShape, status=202)

    @operation("buckets_cancel_emptying", "Stop the emptying; what is gone stays gone", status=204, tag="buckets")
    def delete(self, request: Request, project: str, name: str) -> Response:
        removal.cancel(self.ctx, buckets.get(self.ctx, name))
        return self.nothing()


# --- policy


class PolicyPut(Input):
    policy = Text(max_length=policies.POLICY_MAX_BYTES, help_text="A policy as JSON text.")


class PolicyView(ApiView):
    @operation("buckets_get_policy", "Its policy", answer=render.PolicyShape, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        return self._shown(buckets.get(self.ctx, name))

    @operation(
        "buckets_set_policy",
        "Give it a policy",
        answer=render.PolicyShape,
        body=PolicyPut,
        example={"policy": '{"Version": "2012-10-17", "Statement": []}'},
        tag="buckets",
    )
    def put(self, request: Request, project: str, name: str) -> Response:
        return self._shown(configurations.set_policy(self.ctx, buckets.get(self.ctx, name), self.body(PolicyPut)["policy"]))

    @operation("buckets_delete_policy", "Take its policy away", status=204, tag="buckets")
    def delete(self, request: Request, project: str, name: str) -> Response:
        configurations.set_policy(self.ctx, buckets.get(self.ctx, name), "")
        return self.nothing()

    def _shown(self, row: Any) -> Response:
        text = configurations.policy_text(row)
        said = [policy_drafts.told(one) for one in policy_drafts.listed(text)]
        return Response({"policy": text, "is_public": configurations.publicity(row).by_policy, "statements": said})


class PolicyCheckView(ApiView):
    @operation(
        "buckets_check_policy",
        "What is wrong with a policy, line by line, before it is stored",
        answer=render.PolicyCheck,
        body=PolicyPut,
        example={"policy": '{"Version": "2012-10-17", "Statement": []}'},
        tag="buckets",
    )
    def post(self, request: Request, project: str, name: str) -> Response:
        row = buckets.get(self.ctx, name)
        found = policy_drafts.mistakes(self.body(PolicyPut)["policy"], bucket=row.name)
        return self.show({"ok": not found, "mistakes": found}, render.PolicyCheck)


class Ask(Input):
    kind = serializers.ChoiceField(simulator.KINDS, help_text="Who asks: nobody, a user, or an admin of another project.")
    user = Text(default="", allow_blank=True, max_length=254, help_text="An e-mail address, with `user`.")
    project = Text(default="", allow_blank=True, max_length=63, help_text="The short name of a project; empty: this one.")
    action = Text(default="s3:GetObject", max_length=70)
    key = Text(default="", allow_blank=True, max_length=1024)
    secure = Flag(default=True, help_text="Does the request come by TLS?")
    source_ip = serializers.IPAddressField(required=False)
    object_acl = serializers.ChoiceField(
        simulator.OBJECT_ACLS, default=simulator.OWN, help_text="Of the object named by `key`: `own` looks at it, its tags included."
    )
    policy = Text(required=False, allow_blank=True, max_length=policies.POLICY_MAX_BYTES, help_text="A draft to judge by.")


class SimulateView(ApiView):
    @operation(
        "buckets_simulate",
        "Who can do what, and why",
        answer=render.AnswerShape,
        body=Ask,
        example={"kind": "anonymous", "action": "s3:GetObject", "key": "index.html"},
        tag="buckets",
    )
    def post(self, request: Request, project: str, name: str) -> Response:
        return self.show(simulator.ask(self.ctx, buckets.get(self.ctx, name), Question(**self.body(Ask))), render.AnswerShape)


# --- CORS and lifecycle


class CorsRule(Input):
    id = Text(default="", allow_blank=True)
    origins = serializers.ListField(child=Text(), min_length=1, max_length=100)
    methods = serializers.ListField(child=serializers.ChoiceField(configurations.CORS_METHODS), min_length=1, max_length=5)
    headers = serializers.ListField(child=Text(), default=list, max_length=100)
    exposed = serializers.ListField(child=Text(), default=list, max_length=100)
    max_age_seconds = Whole(allow_null=True, default=None)


class CorsPut(Input):
    rules = serializers.ListField(child=CorsRule(), max_length=100)


class CorsView(ApiView):
    @listing("buckets_get_cors", "Which pages of other sites may use it", of=render.CorsRuleShape, query=None, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        return self._shown(buckets.get(self.ctx, name))

    @operation(
        "buckets_set_cors",
        "Set all rules; an empty list takes them away",
        answer=render.CorsRuleShape(many=True),
        body=CorsPut,
        example={"rules": [{"origins": ["https://www.example.org"], "methods": ["GET"]}]},
        tag="buckets",
    )
    def put(self, request: Request, project: str, name: str) -> Response:
        row = configurations.set_cors(self.ctx, buckets.get(self.ctx, name), self.body(CorsPut)["rules"])
        return Response(render.CorsRuleShape(row.documents.get("cors") or [], many=True).data)

    def _shown(self, row: Any) -> Response:
        return self.list_all(row.documents.get("cors") or [], render.CorsRuleShape)


class LifecycleRule(Input):
    id = Text(default="", allow_blank=True)
    enabled = Flag(default=True)
    prefix = Text(default="", allow_blank=True, max_length=1024)
    tags = serializers.DictField(child=TagValue(), default=dict)
    larger_than = Whole(allow_null=True, default=None, max_value=2**53)
    smaller_than = Whole(allow_null=True, default=None, max_value=2**53)
    days = Whole(allow_null=True, default=None, max_value=DAYS_MAX)
    date = serializers.RegexField(r"^\d{4}-\d{2}-\d{2}$", allow_null=True, default=None, help_text="Like 2027-01-31.")
    expired_markers = Flag(default=False)
    noncurrent_days = Whole(allow_null=True, default=None, max_value=DAYS_MAX)
    noncurrent_keep = Whole(allow_null=True, default=None, max_value=1_000_000)
    abort_days = Whole(allow_null=True, default=None, max_value=DAYS_MAX)


class LifecyclePut(Input):
    rules = serializers.ListField(child=LifecycleRule(), max_length=1000)


_RULES = {"rules": [{"prefix": "logs/", "days": 30}]}


class LifecycleView(ApiView):
    @listing("buckets_get_lifecycle", "What it forgets by itself", of=render.LifecycleRuleShape, query=None, tag="buckets")
    def get(self, request: Request, project: str, name: str) -> Response:
        row = buckets.get(self.ctx, name)
        return self.list_all([lifecycle.plain(rule) for rule in row.documents.get("lifecycle") or []], render.LifecycleRuleShape)

    @operation(
        "buckets_set_lifecycle",
        "Set all rules; an empty list takes them away",
        answer=render.LifecycleRuleShape(many=True),
        body=LifecyclePut,
        example=_RULES,
        tag="buckets",
    )
    def put(self, request: Request, project: str, name: str) -> Response:
        rules = [lifecycle.stored(rule) for rule in self.body(LifecyclePut)["rules"]]
        row = configurations.set_lifecycle(self.ctx, buckets.get(self.ctx, name), rules)
        kept = [lifecycle.plain(rule) for rule in row.documents.get("lifecycle") or []]
        return Response(render.LifecycleRuleShape(kept, many=True).data)


class LifecyclePreviewView(ApiView):
    @operation(
        "buckets_preview_lifecycle",
        "What rules would delete today; they need not be the bucket's",
        answer=render.PreviewShape,
        body=LifecyclePut,
        example=_RULES,
        tag="buckets",
    )
    def post(self, request: Request, project: str, name: str) -> Response:
        row = buckets.get(self.ctx, name)
        rules = [lifecycle.stored(rule) for rule in self.body(LifecyclePut)["rules"]]
        if not rules:
            raise Invalid("Send at least one rule.", field="rules")
        return self.show(previews.lifecycle_preview(self.ctx, row, rules), render.PreviewShape)


# --- encryption keys


class KeyCreate(Input):
    name = Text(max_length=128)


class EncryptionKeysView(ApiView):
    @listing("encryption_keys_list", "Keys of the project that objects are encrypted with", of=render.EncryptionKeyShape)
    def get(self, request: Request, project: str) -> Response:
        return self.list_page(keys.list_keys(self.ctx), render.EncryptionKeyShape, self.query(PageQuery))

    @operation(
        "encryption_keys_create",
        "Make a key",
        answer=render.EncryptionKeyShape,
        status=201,
        body=KeyCreate,
        example={"name": "invoices"},
        creates=True,
    )
    @idempotent
    def post(self, request: Request, project: str) -> Response:
        row = keys.create(self.ctx, **self.body(KeyCreate))
        return self.show(keys.get(self.ctx, row.id), render.EncryptionKeyShape, status=201, location=f"{request.path}/{row.id}")


class EncryptionKeyView(ApiView):
    @operation("encryption_keys_get", "One key", answer=render.EncryptionKeyShape)
    def get(self, request: Request, project: str, id: UUID) -> Response:
        return self.show(keys.get(self.ctx, id), render.EncryptionKeyShape)


class _KeyAction(ApiView):
    def answer(self, id: UUID) -> Response:
        return self.show(keys.get(self.ctx, id), render.EncryptionKeyShape)


class RotateKeyView(_KeyAction):
    @operation(
        "encryption_keys_rotate", "Give new objects a new secret; older ones keep theirs", answer=render.EncryptionKeyShape, writes=True
    )
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        keys.rotate(self.ctx, id)
        return self.answer(id)


class EnableKeyView(_KeyAction):
    @operation("encryption_keys_enable", "Let it encrypt and decrypt again", answer=render.EncryptionKeyShape, writes=True)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        keys.set_enabled(self.ctx, id, True)
        return self.answer(id)


class DisableKeyView(_KeyAction):
    @operation("encryption_keys_disable", "Neither encrypt nor decrypt with it", answer=render.EncryptionKeyShape, writes=True)
    def post(self, request: Request, project: str, id: UUID) -> Response:
        self.body(Input)
        keys.set_enabled(self.ctx, id, False)
        return self.answer(id)
