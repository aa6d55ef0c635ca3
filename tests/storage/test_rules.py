"""The pure rules of the store: policies, decisions, ACLs, CORS, lifecycle, locks, tags, ranges, names. No server, no table."""

from __future__ import annotations

import datetime as dt
import fnmatch
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import acls, buckets, cors, lifecycle, locks, objects, policies, tags
from storage.access import NO_BLOCK, PublicBlock, Who, decide, role_allows
from storage.errors import BucketNameInvalid, Locked, MalformedDocument, MalformedPolicy, RangeUnsatisfiable, TagInvalid
from storage.policies import ANONYMOUS, Policy, Principal
from storage.properties import Properties, unpack

ME = Principal(anonymous=False, account="a" * 32, account_name="mine", user="u" * 32, user_name="me@example.org", root=True)
OTHER = Principal(anonymous=False, account="b" * 32, account_name="theirs", user="v" * 32, user_name="you@example.org")


def policy(*statements: dict[str, Any]) -> Policy:
    full = [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"} | one for one in statements
    ]
    return policies.parse(json.dumps({"Version": "2012-10-17", "Statement": full}), bucket="bucket")


def allows(one: Policy, who: Principal = OTHER, action: str = "s3:GetObject", resource: str = "bucket/k", **facts: Any) -> bool | None:
    known = {name.replace("__", ":").replace("_", "-").lower(): value for name, value in facts.items()}
    return one.judge(who, action, resource, lambda key: known.get(key)).allowed


# --- policies


@pytest.mark.parametrize(
    ("principal", "who", "expected"),
    [
        ("*", ANONYMOUS, True),
        ({"AWS": "*"}, ANONYMOUS, True),
        ({"AWS": "arn:aws:iam::" + "b" * 32 + ":root"}, OTHER, True),
        ({"AWS": "b" * 32}, OTHER, True),
        ({"AWS": "arn:aws:iam::theirs:user/you@example.org"}, OTHER, True),
        ({"AWS": "arn:aws:iam:::user/" + "b" * 32}, OTHER, True),
        ({"CanonicalUser": "b" * 32}, OTHER, True),
        ({"AWS": ["arn:aws:iam::mine:root", "arn:aws:iam::theirs:root"]}, OTHER, True),
        ({"AWS": "arn:aws:iam::theirs:user/someone@example.org"}, OTHER, None),
        ({"AWS": "arn:aws:iam::mine:root"}, OTHER, None),
        ({"AWS": "arn:aws:iam::mine:root"}, ANONYMOUS, None),
    ],
)
def test_principals(principal: Any, who: Principal, expected: bool | None) -> None:
    assert allows(policy({"Principal": principal}), who) is expected


def test_a_deny_wins_and_is_named() -> None:
    both = policy({"Sid": "open"}, {"Sid": "shut", "Effect": "Deny", "Action": "s3:*"})
    verdict = both.judge(OTHER, "s3:GetObject", "bucket/k", lambda key: None)
    assert verdict.allowed is False
    assert verdict.statement is not None
    assert verdict.statement.sid == "shut"


def test_not_principal_not_action_not_resource() -> None:
    text = {
        "Statement": [
            {
                "Effect": "Deny",
                "NotPrincipal": {"AWS": "arn:aws:iam::mine:root"},
                "NotAction": "s3:List*",
                "NotResource": "arn:aws:s3:::bucket/open/*",
            }
        ]
    }
    one = policies.parse(json.dumps(text), bucket="bucket")
    assert allows(one) is False
    assert allows(one, ME) is None
    assert allows(one, action="s3:ListBucket") is None
    assert allows(one, resource="bucket/open/k") is None


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "facts", "expected"),
    [
        ("StringEquals", "s3:prefix", ["a", "b"], {"s3__prefix": ["b"]}, True),
        ("StringEquals", "s3:prefix", "a", {}, None),
        ("StringEqualsIfExists", "s3:prefix", "a", {}, True),
        ("StringNotEquals", "s3:prefix", "a", {}, True),
        ("StringNotEquals", "s3:prefix", ["a", "b"], {"s3__prefix": ["b"]}, None),
        ("StringLike", "s3:prefix", "home/*", {"s3__prefix": ["home/x/y"]}, True),
        ("StringLike", "s3:prefix", "home/${aws:username}/*", {"s3__prefix": ["home/me/x"], "aws__username": ["me"]}, True),
        ("StringLike", "s3:prefix", "home/${aws:username}/*", {"s3__prefix": ["home/you/x"], "aws__username": ["*"]}, None),
        ("NumericLessThanEquals", "s3:max-keys", "10", {"s3__max_keys": ["10"]}, True),
        ("NumericLessThan", "s3:max-keys", 10, {"s3__max_keys": ["10"]}, None),
        ("NumericLessThan", "s3:max-keys", 10, {"s3__max_keys": ["many"]}, None),
        ("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", {"aws__currenttime": ["2026-01-01T00:00:00Z"]}, True),
        ("Bool", "aws:SecureTransport", "true", {"aws__securetransport": ["true"]}, True),
        ("Bool", "aws:SecureTransport", True, {"aws__securetransport": ["false"]}, None),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", {"aws__sourceip": ["10.1.2.3"]}, True),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", {"aws__sourceip": ["::ffff:10.1.2.3"]}, True),
        ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", {"aws__sourceip": ["10.1.2.3"]}, None),
        ("Null", "s3:x-amz-acl", "true", {}, True),
        ("Null", "s3:x-amz-acl", "true", {"s3__x_amz_acl": ["private"]}, None),
        ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], {"s3__requestobjecttagkeys": ["a", "c"]}, None),
        ("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], {"s3__requestobjecttagkeys": ["a", "c"]}, True),
        ("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a"], {}, None),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/me", {"aws__principalarn": ["arn:aws:iam::1:user/me"]}, True),
    ],
)
def test_conditions(operator: str, key: str, wanted: Any, facts: dict[str, Any], expected: bool | None) -> None:
    assert allows(policy({"Condition": {operator: {key: wanted}}}), **facts) is expected


@pytest.mark.parametrize(
    "broken",
    [
        {"Effect": "Maybe"},
        {"Action": "ec2:RunInstances"},
        {"Action": []},
        {"NotAction": "s3:*"},
        {"Resource": "arn:aws:s3:::another/*"},
        {"Resource": "bucket/*"},
        {"Principal": {"Nobody": "x"}},
        {"Principal": {"AWS": "arn:aws:ec2:::x"}},
        {"Condition": {"StringSoundsLike": {"s3:prefix": "a"}}},
        {"Condition": {"NumericEquals": {"s3:max-keys": "ten"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "here"}}},
        {"Extra": 1},
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_stored(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicy):
        policy(broken)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Statement", "Effect", "Principal", "Action", "Resource", "Condition", "AWS", "StringLike", "x"]),
                x,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_parses_or_is_malformed(document: Any) -> None:
    """Nothing that a client can send as a policy breaks the parser."""
    try:
        policies.parse(json.dumps(document), bucket="bucket")
    except MalformedPolicy:
        pass


@given(st.text(alphabet="ab*?/", max_size=12), st.text(alphabet="ab/", max_size=12))
def test_wildcards_match_as_fnmatch_does(pattern: str, text: str) -> None:
    assert policies.wildcard(pattern, text, lambda key: None) == (fnmatch.fnmatchcase(text, pattern) or pattern == "*")


def test_public() -> None:
    assert policy({}).public
    assert not policy({"Effect": "Deny"}).public
    assert not policy({"Principal": {"AWS": "b" * 32}}).public
    assert not policy({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}).public
    assert policy({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}}).public
    assert policy({"Condition": {"StringLike": {"aws:Referer": "x"}}}).public


# --- decisions


class Bucket:
    name, owner = "bucket", ME.account

    def __init__(self, *, policy: Policy | None = None, acl: Any = None, off: bool = False, block: PublicBlock = NO_BLOCK) -> None:
        self.policy, self.acl, self.acls_off, self.block = policy, acl or acls.default(self.owner), off, block


def test_roles() -> None:
    assert role_allows("reader", "s3:GetObject")
    assert not role_allows("reader", "s3:PutObject")
    assert role_allows("member", "s3:PutObject")
    assert not role_allows("member", "s3:BypassGovernanceRetention")
    assert role_allows("admin", "s3:BypassGovernanceRetention")
    assert not role_allows("", "s3:GetObject")


def test_decisions_name_their_reason() -> None:
    mine, theirs, nobody = Who(ME, "admin"), Who(OTHER, "admin"), Who()
    assert decide(mine, Bucket(), "s3:PutObject", key="k")
    assert not decide(theirs, Bucket(), "s3:GetObject", key="k", permission="READ")
    public = Bucket(acl=acls.canned("public-read", owner=ME.account, bucket_owner=ME.account, for_object=False))
    assert "access control list" in decide(nobody, public, "s3:ListBucket", permission="READ").reason
    assert not decide(nobody, Bucket(acl=public.acl, block=PublicBlock(ignore_acls=True)), "s3:ListBucket", permission="READ")
    assert not decide(nobody, Bucket(acl=public.acl, off=True), "s3:ListBucket", permission="READ")
    opened = Bucket(policy=policy({"Sid": "everybody"}))
    assert decide(nobody, opened, "s3:GetObject", key="k").statement == "everybody"
    assert not decide(nobody, Bucket(policy=opened.policy, block=PublicBlock(restrict=True)), "s3:GetObject", key="k")
    shut = Bucket(policy=policy({"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]}))
    assert decide(mine, shut, "s3:GetObject", key="k").denied
    assert decide(mine, shut, "s3:DeleteBucketPolicy"), "an admin can always take a policy back"
    assert not decide(Who(ME, "admin", suspended=True), Bucket(), "s3:PutObject", key="k")
    assert decide(Who(ME, "admin", suspended=True), Bucket(), "s3:GetObject", key="k")
    assert not decide(mine, Bucket(), "s3:GetObject", key="k", permission="READ", owner=OTHER.account, acl=acls.default(OTHER.account))


@given(
    st.sampled_from(["admin", "member", "reader", ""]),
    st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:PutBucketPolicy", "s3:ListBucket"]),
)
def test_a_stranger_never_gets_into_a_private_bucket(role: str, action: str) -> None:
    for permission in ("", *acls.PERMISSIONS):
        assert not decide(Who(OTHER, role), Bucket(), action, key="k", permission=permission)
        assert not decide(Who(), Bucket(), action, key="k", permission=permission)


# --- CORS


def test_cors() -> None:
    rules = cors.parse(
        [{"origins": ["https://*.example.org"], "methods": ["GET"], "headers": ["x-*"], "exposed": ["ETag"], "max_age_seconds": 5}]
    )
    found = cors.headers_for(rules, origin="https://a.example.org", method="GET", requested=["X-One"])
    assert found is not None
    assert found["Access-Control-Allow-Origin"] == "https://a.example.org"
    assert cors.headers_for(rules, origin="https://example.com", method="GET") is None
    assert cors.headers_for(rules, origin="https://a.example.org", method="PUT") is None
    assert cors.headers_for(rules, origin="https://a.example.org", method="GET", requested=["Authorization"]) is None
    with pytest.raises(MalformedDocument):
        cors.parse([{"origins": ["*a*"], "methods": ["GET"]}])


# --- lifecycle

NOW = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)


def seen(days: float, name: bytes = b"logs/a", size: int = 5, marker: bool = False, **kept: str) -> lifecycle.Seen:
    return lifecycle.Seen(name, NOW - dt.timedelta(days=days), size, kept, marker)


def judged(rule: dict[str, Any], *versions: lifecycle.Seen) -> list[int]:
    rules = lifecycle.parse([{"id": "r", "status": "Enabled"} | rule])
    return [position for position, _ in lifecycle.judge(rules, versions, NOW)]


def test_lifecycle() -> None:
    assert judged({"days": 5}, seen(4.9)) == []
    assert judged({"days": 5}, seen(6)) == [0]
    assert judged({"days": 5}, seen(5.4)) == [], "not before the next midnight"
    assert judged({"days": 5, "status": "Disabled"}, seen(9)) == []
    assert judged({"days": 5, "filter": {"prefix": "other/"}}, seen(9)) == []
    assert judged({"days": 5, "filter": {"tags": [["k", "v"]]}}, seen(9, k="v")) == [0]
    assert judged({"days": 5, "filter": {"tags": [["k", "v"]]}}, seen(9)) == []
    assert judged({"days": 5, "filter": {"larger_than": 4, "smaller_than": 6}}, seen(9)) == [0]
    assert judged({"days": 5, "filter": {"larger_than": 5}}, seen(9)) == []
    assert judged({"date": "2026-06-01T00:00:00Z"}, seen(0)) == [0]
    assert judged({"noncurrent_days": 3}, seen(2), seen(9), seen(20)) == [2], "counted from when it was succeeded"
    assert judged({"noncurrent_days": 3, "noncurrent_keep": 1}, seen(9), seen(10), seen(20)) == [2]
    assert judged({"expired_markers": True}, seen(0, marker=True)) == [0]
    assert judged({"expired_markers": True}, seen(0, marker=True), seen(1)) == []
    assert judged({"days": 5}, seen(9, marker=True)) == [0]
    for wrong in ({"days": 0}, {}, {"date": "2026-06-01T10:00:00Z"}, {"days": 1, "expired_markers": True}, {"id": "x" * 256, "days": 1}):
        with pytest.raises(MalformedDocument):
            judged(wrong)


# --- the small ones


def test_locks() -> None:
    held = Properties(legal_hold=True)
    with pytest.raises(Locked):
        locks.check_deletable(held, now_ns=0, bypass=True)
    soft, strict = Properties(retention=["GOVERNANCE", 10]), Properties(retention=["COMPLIANCE", 10])
    locks.check_deletable(soft, now_ns=5, bypass=True)
    locks.check_deletable(strict, now_ns=10, bypass=False)
    for properties, bypass in ((soft, False), (strict, True)):
        with pytest.raises(Locked):
            locks.check_deletable(properties, now_ns=5, bypass=bypass)
    locks.check_retention_change(strict, ["COMPLIANCE", 11], now_ns=5, bypass=False)
    for new in ([], ["GOVERNANCE", 20], ["COMPLIANCE", 9]):
        with pytest.raises(Locked):
            locks.check_retention_change(strict, new, now_ns=5, bypass=True)
    leap = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)
    assert locks.default_retention({"lock": {"mode": "GOVERNANCE", "years": 1}}, leap)[1] == locks.ns_of(
        dt.datetime(2025, 2, 28, tzinfo=dt.UTC)
    )


def test_tags() -> None:
    assert tags.from_query("a=b&c=&d") == {"a": "b", "c": "", "d": ""}
    for wrong in ("a=1&a=2", "=x", "k" * 129 + "=v", "k=" + "v" * 257, "aws:x=1", "&".join(f"k{i}=v" for i in range(11))):
        with pytest.raises(TagInvalid):
            tags.from_query(wrong)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=5-", [(5, 5)]),
        ("bytes=-3", [(7, 3)]),
        ("bytes=-30", [(0, 10)]),
        ("bytes=8-100", [(8, 2)]),
        ("bytes=0-1, 4-5", [(0, 2), (4, 2)]),
        ("bytes=20-30,0-0", [(0, 1)]),
        ("lines=1-2", None),
        ("bytes=5-1", None),
        ("bytes=a-b", None),
        ("bytes=", None),
        ("bytes=²-3", None),
    ],
)
def test_ranges(header: str, expected: list[tuple[int, int]] | None) -> None:
    found = objects.ranges(header, 10)
    assert (None if found is None else [(one.start, one.length) for one in found]) == expected


def test_ranges_outside() -> None:
    for header in ("bytes=10-", "bytes=10-20", "bytes=-0"):
        with pytest.raises(RangeUnsatisfiable):
            objects.ranges(header, 10)


def test_names_of_buckets() -> None:
    for good in ("abc", "a-b.c", "1bucket", "x" * 63):
        buckets.check_name(good)
    for wrong in ("ab", "x" * 64, "Upper", "a_b", "-ab", "ab-", "a..b", "a.-b", "192.168.1.1", "xn--abc", "abc-s3alias", "a\n", "ü" * 5):
        with pytest.raises(BucketNameInvalid):
            buckets.check_name(wrong)


@given(
    st.builds(
        Properties,
        content_type=st.text(max_size=10),
        headers=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        user=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        retention=st.just([]) | st.just(["COMPLIANCE", 2**62]),
        legal_hold=st.booleans(),
        parts=st.integers(0, 10_000),
    )
)
def test_properties_come_back(properties: Properties) -> None:
    assert unpack(properties.pack()) == properties
