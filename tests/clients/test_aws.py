"""aws cli: sync both ways, streams, multipart, versions, presigned addresses."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import BOTH, MIB, Store, grow, program, seen

pytestmark = pytest.mark.slow


class Aws:
    def __init__(self, store: Store) -> None:
        self.store, self.program = store, program("aws", "awscli")
        store.more |= {
            "AWS_ACCESS_KEY_ID": store.me.key,
            "AWS_SECRET_ACCESS_KEY": store.me.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }
        if store.authority:
            store.more["AWS_CA_BUNDLE"] = str(store.authority)

    def __call__(self, *words: str | Path, expect: int = 0, stdin: bytes = b"") -> str:
        return self.store.run(self.program, "--endpoint-url", self.store.url, *words, expect=expect, stdin=stdin)

    def api(self, *words: str | Path, expect: int = 0) -> Any:
        said = self("s3api", *words, "--output", "json", expect=expect)
        return json.loads(said) if said.strip() else {}


@BOTH
def test_aws_cli(store: Store) -> None:
    aws = Aws(store)
    there, back = store.folder / "there", store.folder / "back"
    tree = grow(there)
    aws("s3", "mb", "s3://aws-cli-bucket")
    aws("s3", "sync", there, "s3://aws-cli-bucket/tree", "--no-progress")
    assert store.digests("aws-cli-bucket", "tree/") == tree
    assert aws("s3", "sync", there, "s3://aws-cli-bucket/tree", "--no-progress") == ""  # Nothing has changed.
    aws("s3", "sync", "s3://aws-cli-bucket/tree", back, "--no-progress")
    assert seen(back) == tree

    (there / "one").unlink()
    (there / "empty").write_bytes(b"no more")
    told = aws("s3", "sync", there, "s3://aws-cli-bucket/tree", "--delete", "--no-progress")
    assert sorted(line.split()[0] for line in told.splitlines()) == ["delete:", "upload:"]
    assert store.digests("aws-cli-bucket", "tree/") == seen(there)
    assert "UPPER" in aws("s3", "ls", "s3://aws-cli-bucket/tree/")

    # A stream of unknown length in parts, out again as a stream, and a server-side copy and move of it.
    body = bytes(range(256)) * (17 * MIB // 256)
    aws("s3", "cp", "-", "s3://aws-cli-bucket/stream", stdin=body)
    assert store.digests("aws-cli-bucket", "stream") == {"": hashlib.sha256(body).hexdigest()}
    aws("s3", "cp", "s3://aws-cli-bucket/stream", "s3://aws-cli-bucket/copy", "--no-progress")
    aws("s3", "mv", "s3://aws-cli-bucket/copy", "s3://aws-cli-bucket/moved", "--no-progress")
    aws("s3", "cp", "s3://aws-cli-bucket/moved", store.folder / "moved", "--no-progress")
    assert (store.folder / "moved").read_bytes() == body
    aws("s3", "cp", "s3://aws-cli-bucket/copy", store.folder / "copy", expect=1)
    aws.api("get-object", "--bucket", "aws-cli-bucket", "--key", "moved", "--range", "bytes=1000-1099", store.folder / "range")
    assert (store.folder / "range").read_bytes() == body[1000:1100]

    address = aws("s3", "presign", "s3://aws-cli-bucket/moved", "--expires-in", "60").strip()
    trust = ["--cacert", str(store.authority)] if store.authority else []
    got = subprocess.run(["curl", "--silent", "--show-error", "--fail", *trust, address], capture_output=True, check=True)
    assert got.stdout == body

    aws("s3", "rm", "s3://aws-cli-bucket", "--recursive")
    aws("s3", "rb", "s3://aws-cli-bucket")
    assert aws("s3", "ls") == ""


def test_versions_by_aws_cli(store: Store) -> None:
    """Written over, deleted, and brought back by copying the version."""
    aws, bucket = Aws(store), "aws-cli-versions"
    aws("s3", "mb", f"s3://{bucket}")
    aws.api("put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
    file = store.folder / "file"
    versions = []
    for text in ("first", "second"):
        file.write_text(text)
        versions.append(aws.api("put-object", "--bucket", bucket, "--key", "k/ü", "--body", file)["VersionId"])
    aws("s3", "rm", f"s3://{bucket}/k/ü")
    aws("s3", "cp", f"s3://{bucket}/k/ü", file, expect=1)
    listed = aws.api("list-object-versions", "--bucket", bucket)
    assert [one["VersionId"] for one in listed["Versions"]] == versions[::-1]
    assert len(listed["DeleteMarkers"]) == 1
    source = f"{bucket}/k/ü?versionId={versions[0]}"
    aws.api("copy-object", "--bucket", bucket, "--key", "k/ü", "--copy-source", source)
    aws("s3", "cp", f"s3://{bucket}/k/ü", file)
    assert file.read_text() == "first"


def test_settings_by_aws_cli(store: Store) -> None:
    """Tags, CORS, lifecycle, encryption and policy: what goes in comes out."""
    aws, bucket = Aws(store), "aws-cli-settings"
    aws.api("create-bucket", "--bucket", bucket)
    documents: dict[str, tuple[str, dict[str, Any]]] = {
        "bucket-tagging": ("--tagging", {"TagSet": [{"Key": "team", "Value": "ü"}]}),
        "bucket-cors": ("--cors-configuration", {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"]}]}),
        "bucket-lifecycle-configuration": (
            "--lifecycle-configuration",
            {"Rules": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}]},
        ),
    }
    for name, (option, document) in documents.items():
        aws.api(f"put-{name}", "--bucket", bucket, option, json.dumps(document))
        kept = aws.api(f"get-{name}", "--bucket", bucket)
        assert {key: kept[key] for key in document} == document
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/closed/*"}],
    }
    aws.api("put-bucket-policy", "--bucket", bucket, "--policy", json.dumps(policy))
    assert json.loads(aws.api("get-bucket-policy", "--bucket", bucket)["Policy"]) == policy
    aws("s3", "cp", "-", f"s3://{bucket}/closed/a", stdin=b"x")
    aws("s3", "cp", f"s3://{bucket}/closed/a", "-", expect=1)
    rule = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    aws.api("put-bucket-encryption", "--bucket", bucket, "--server-side-encryption-configuration", json.dumps(rule))
    aws("s3", "cp", "-", f"s3://{bucket}/open", stdin=b"sealed on the drives")
    assert aws.api("head-object", "--bucket", bucket, "--key", "open")["ServerSideEncryption"] == "AES256"
    assert aws("s3", "cp", f"s3://{bucket}/open", "-") == "sealed on the drives"
