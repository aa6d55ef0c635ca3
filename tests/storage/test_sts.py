"""boto3's STS and IAM, unmodified: who one is, credentials for a while, a lesser role, and one's own keys."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from storage.api.sts.actions import IAM, STS
from tests.server.running import eventually
from tests.storage.conftest import Cloud, Person
from tests.storage.test_s3 import refused


def client(cloud: Cloud, service: str, who: Person | dict[str, str] | None = None) -> Any:
    who = who or cloud.me
    keys = (who.key, who.secret, None) if isinstance(who, Person) else (who["AccessKeyId"], who["SecretAccessKey"], who["SessionToken"])
    return boto3.client(
        service,
        endpoint_url=cloud.url,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        aws_session_token=keys[2],
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 1}, read_timeout=30),
    )


def test_who_one_is(cloud: Cloud) -> None:
    found = client(cloud, "sts").get_caller_identity()
    account = cloud.me.project.id.hex
    assert (found["Account"], found["UserId"]) == (account, cloud.me.user.id.hex)
    assert found["Arn"] == f"arn:aws:iam::{account}:user/{cloud.me.user.email}"
    url = client(cloud, "sts").generate_presigned_url("get_caller_identity", HttpMethod="GET", ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        assert account in answer.read().decode()
    assert client(cloud, "sts").get_access_key_info(AccessKeyId=cloud.me.key)["Account"] == account
    assert refused(client(cloud, "sts").get_access_key_info, AccessKeyId=cloud.stranger.key) == (404, "NoSuchEntity")


def test_a_session_and_a_lesser_role(cloud: Cloud) -> None:
    sts, account, bucket = client(cloud, "sts"), cloud.me.project.id.hex, cloud.bucket()
    session = sts.get_session_token(DurationSeconds=900)["Credentials"]
    client(cloud, "s3", session).put_object(Bucket=bucket, Key="a", Body=b"x")
    assumed = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/reader", RoleSessionName="audit", DurationSeconds=900)
    assert assumed["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account}:assumed-role/reader/audit"
    reads = client(cloud, "s3", assumed["Credentials"])
    assert reads.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    assert refused(reads.put_object, Bucket=bucket, Key="a", Body=b"") == (403, "AccessDenied")
    again = client(cloud, "sts", assumed["Credentials"])
    assert again.get_caller_identity()["Arn"] == assumed["AssumedRoleUser"]["Arn"]
    # Down is possible, up is not; nor is what only a lasting key may do.
    for role in ("member", "admin"):
        assert refused(again.assume_role, RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="up")[1] == "AccessDenied"
    assert refused(again.get_session_token)[1] == "AccessDenied"
    assert refused(client(cloud, "iam", assumed["Credentials"]).create_access_key)[1] == "AccessDenied"
    reader = client(cloud, "sts", cloud.reader)
    assert refused(reader.assume_role, RoleArn=f"arn:aws:iam::{account}:role/admin", RoleSessionName="up")[1] == "AccessDenied"


def test_what_is_refused(cloud: Cloud) -> None:
    sts, account = client(cloud, "sts"), cloud.me.project.id.hex
    other = cloud.stranger.project.id.hex
    mine = {"RoleArn": f"arn:aws:iam::{account}:role/reader", "RoleSessionName": "one"}
    assert refused(sts.assume_role, **mine | {"RoleArn": f"arn:aws:iam::{other}:role/reader"}) == (403, "AccessDenied")
    assert refused(sts.assume_role, **mine, Policy='{"Version": "2012-10-17", "Statement": []}') == (400, "InvalidParameterCombination")
    assert refused(sts.assume_role, **mine, DurationSeconds=60 * 60 * 24) == (400, "ValidationError")
    assert refused(sts.assume_role, **mine | {"RoleSessionName": "a b"}) == (400, "ValidationError")
    assert refused(sts.decode_authorization_message, EncodedMessage="x") == (400, "InvalidAction")
    wrong = client(cloud, "sts", {"AccessKeyId": cloud.me.key, "SecretAccessKey": cloud.stranger.secret, "SessionToken": ""})
    assert refused(wrong.get_caller_identity) == (403, "SignatureDoesNotMatch")
    nobody = client(cloud, "sts", {"AccessKeyId": "CBXNOBODY", "SecretAccessKey": "x", "SessionToken": ""})
    assert refused(nobody.get_caller_identity) == (403, "InvalidClientTokenId")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, status in (
        (b"Action=GetCallerIdentity", 403),
        (b"\xff=\xfe", 400),
        (b"Action=a&Action=b", 400),
        (b"", 403),
        (b"x" * 70_000, 500),
    ):
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(cloud.url, data=body, headers=form, method="POST"))
        assert caught.value.code == status or (status == 500 and caught.value.code in (400, 413)), (body[:40], caught.value.code)


def test_one_s_own_keys(cloud: Cloud) -> None:
    iam = client(cloud, "iam")
    assert iam.get_user()["User"]["UserName"] == cloud.me.user.email
    assert {row["UserName"] for row in iam.list_users()["Users"]} >= {cloud.me.user.email, cloud.reader.user.email}
    assert refused(client(cloud, "iam", cloud.reader).list_users) == (403, "AccessDenied")
    made = iam.create_access_key()["AccessKey"]
    assert {row["AccessKeyId"] for row in iam.list_access_keys()["AccessKeyMetadata"]} == {cloud.me.key, made["AccessKeyId"]}
    second = client(cloud, "s3", made | {"SessionToken": ""})
    second.list_buckets()

    def closed() -> bool:
        try:
            second.list_buckets()
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "InvalidAccessKeyId")
        return False

    iam.update_access_key(AccessKeyId=made["AccessKeyId"], Status="Inactive")
    eventually(closed)
    iam.update_access_key(AccessKeyId=made["AccessKeyId"], Status="Active")
    eventually(lambda: not closed())
    iam.delete_access_key(AccessKeyId=made["AccessKeyId"])
    eventually(closed)
    assert refused(iam.delete_access_key, AccessKeyId=made["AccessKeyId"]) == (404, "NoSuchEntity")
    assert refused(iam.delete_access_key, AccessKeyId=cloud.stranger.key) == (404, "NoSuchEntity")
    assert refused(iam.list_access_keys, UserName="stranger@example.org") == (404, "NoSuchEntity")


def test_every_action_refuses_nobody(cloud: Cloud) -> None:
    for action in (*STS, *IAM):
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(f"{cloud.url}/?Action={action}")
        assert caught.value.code == 403, action
