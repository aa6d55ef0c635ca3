"""Temporary credentials: sealed, capped by a role, ended by time or with the membership, useless when altered."""

from __future__ import annotations

import urllib.request
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudbox.common.errors import Invalid, Unauthenticated
from identity import temporary
from identity.models import Membership, Role
from tests.server.running import eventually
from tests.storage.conftest import Cloud
from tests.storage.test_s3 import refused


def client(cloud: Cloud, made: temporary.Temporary, version: str = "s3v4", **changed: str) -> Any:
    parts = {"access_key": made.access_key, "secret_key": made.secret_key, "session_token": made.session_token} | changed
    return boto3.client(
        "s3",
        endpoint_url=cloud.url,
        aws_access_key_id=parts["access_key"],
        aws_secret_access_key=parts["secret_key"],
        aws_session_token=parts["session_token"],
        region_name="us-east-1",
        config=Config(signature_version=version, s3={"addressing_style": "path"}, retries={"max_attempts": 1}, read_timeout=30),
    )


def test_they_act_as_their_user_and_at_most_as_their_role(cloud: Cloud) -> None:
    bucket = cloud.bucket()
    mine = temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600)
    client(cloud, mine).put_object(Bucket=bucket, Key="a", Body=b"hello")
    looks = client(cloud, temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600, role=Role.READER))
    assert looks.get_object(Bucket=bucket, Key="a")["Body"].read() == b"hello"
    assert refused(looks.put_object, Bucket=bucket, Key="a", Body=b"")[0] == 403
    # A cap raises nobody.
    reader = temporary.issue(user=cloud.reader.user.id, project=cloud.me.project.id, seconds=600, role=Role.ADMIN)
    assert refused(client(cloud, reader).put_object, Bucket=bucket, Key="a", Body=b"")[0] == 403
    service = client(cloud, temporary.issue_for_service(project=cloud.me.project.id, seconds=600))
    assert service.put_object(Bucket=bucket, Key="b", Body=b"x")["ETag"]
    stranger = temporary.issue(user=cloud.stranger.user.id, project=cloud.me.project.id, seconds=600)
    assert refused(client(cloud, stranger).list_buckets) == (403, "InvalidAccessKeyId")


def test_an_address_signed_with_them_needs_nothing_else(cloud: Cloud) -> None:
    bucket = cloud.bucket()
    mine = client(cloud, temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600))
    mine.put_object(Bucket=bucket, Key="a b", Body=b"hello")
    made = temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600)
    for version in ("s3", "s3v4"):
        signing = client(cloud, made, version)
        url = signing.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == b"hello"


def test_altered_borrowed_and_late_ones_are_refused(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    made = temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600)
    other = temporary.issue(user=cloud.stranger.user.id, project=cloud.stranger.project.id, seconds=600)
    for changed in (
        {"session_token": made.session_token[:-4] + "AAAA"},
        {"session_token": other.session_token},
        {"session_token": "x" * 5000},
    ):
        assert refused(client(cloud, made, **changed).list_buckets) == (400, "InvalidToken")
    assert refused(client(cloud, made, secret_key=other.secret_key).list_buckets) == (403, "SignatureDoesNotMatch")
    # A lasting key is no temporary one.
    assert refused(client(cloud, made, access_key=cloud.me.key, secret_key=cloud.me.secret).list_buckets) == (400, "InvalidToken")
    with monkeypatch.context() as past:
        past.setattr("identity.temporary.time.time", lambda: 1_000_000_000.0)
        late = temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600)
    assert refused(client(cloud, late).list_buckets) == (400, "ExpiredToken")
    for seconds in (0, temporary.SECONDS_MAX + 1):
        with pytest.raises(Invalid):
            temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=seconds)
    with pytest.raises(Unauthenticated):
        temporary.read("é")


def test_they_end_with_the_membership_and_the_user(cloud: Cloud) -> None:
    reader = client(cloud, temporary.issue(user=cloud.reader.user.id, project=cloud.me.project.id, seconds=600))
    mine = client(cloud, temporary.issue(user=cloud.me.user.id, project=cloud.me.project.id, seconds=600, session=uuid4().hex))
    reader.list_buckets()
    mine.list_buckets()
    Membership.objects.get(user=cloud.reader.user, project=cloud.me.project).delete()
    cloud.me.user.is_active = False
    cloud.me.user.save()

    def closed(one: Any) -> bool:
        try:
            one.list_buckets()
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "InvalidAccessKeyId")
        return False

    eventually(lambda: closed(reader) and closed(mine))
